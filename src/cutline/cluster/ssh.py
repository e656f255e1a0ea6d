"""A cluster on hosts that are reached by SSH."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import dask
import msgspec
from distributed import Client, Security

from cutline.cluster.dashboard import check_dashboard_address, scheduler_options
from cutline.cluster.starting import INSECURE, LOOPBACK, Started, class_of
from cutline.cluster.waiting import Waiting
from cutline.errors import UsageError
from cutline.progress import SILENT, Watcher

LOUD: Final = {
    "logging": {"distributed": "info"},
    "distributed.nanny.pre-spawn-environ.DASK_LOGGING": str({"distributed": "info"}),
}
"""Dask learns that a process is there from what it logs, on hosts that inherit this."""


class Ssh(Started, frozen=True, tag_field="kind", tag="ssh"):
    """A cluster on hosts that are reached by SSH, as Dask's ``SSHCluster`` starts it.

    Attributes
    ----------
    hosts
        The host of the scheduler, then those of workers; one may be named again.
    connect_options
        What ``asyncssh.connect`` is called with, for all hosts or for each.
    worker_options, scheduler_options
        What ``Nanny`` and ``Scheduler`` are called with; ``n_workers`` is for each host.
    remote_python
        The interpreter there; without it, the path of the one here.
    dashboard_address
        Where the dashboard listens on the first host, or ``none``.
    patience
        Seconds that the first worker has to come.
    """

    hosts: Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
    connect_options: dict[str, Any] | tuple[dict[str, Any], ...] = msgspec.field(
        default_factory=dict
    )
    worker_options: dict[str, Any] = msgspec.field(default_factory=dict)
    scheduler_options: dict[str, Any] = msgspec.field(default_factory=dict)
    remote_python: str | None = None
    dashboard_address: str = "127.0.0.1:8787"
    patience: Annotated[float, msgspec.Meta(gt=0)] = 60

    def __post_init__(self) -> None:
        """Refuse what strangers could reach, and an address that cannot be one."""
        check_dashboard_address(self.dashboard_address)
        if not (self.tls or self.insecure or self._is_at_home()):
            raise UsageError(f"The scheduler on {self.hosts[0]} {INSECURE}.")

    def _is_at_home(self) -> bool:
        return LOOPBACK.issuperset(self.hosts)

    @contextmanager
    def open(self, watcher: Watcher = SILENT) -> Iterator[Client]:
        """Start the cluster, yield a client of it, and end it.

        Raises
        ------
        CutlineError
            It does not start, or no worker comes.
        """
        class_of("asyncssh", "connect", "cutline[ssh]")
        start = class_of("distributed", "SSHCluster", "cutline[ssh]")
        waiting = Waiting(
            self.patience,
            lambda: "none of " + ", ".join(self.hosts[1:]) + " has joined",
            "see whether these hosts reach the first one, or raise patience",
        )
        with (
            dask.config.set(LOUD),
            self.client(lambda own: start(**self._options(own)), waiting, watcher) as client,
        ):
            yield client

    def _options(self, security: Security) -> dict[str, Any]:
        shared: dict[str, Any] = {"protocol": "tls://" if self.tls else "tcp://"}
        if self._is_at_home():
            shared["host"] = self.hosts[0]
        scheduler = scheduler_options(self.dashboard_address)
        worker = {"nthreads": 1, "dashboard_address": "127.0.0.1:0"}
        connect = self.connect_options
        return {
            "security": security,
            "hosts": list(self.hosts),
            "connect_options": connect if isinstance(connect, dict) else list(connect),
            "scheduler_options": {**shared, "port": 0, **scheduler, **self.scheduler_options},
            "worker_options": {**shared, **worker, **self.worker_options},
            "remote_python": self.remote_python,
        }
