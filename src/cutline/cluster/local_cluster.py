"""A cluster of processes on this machine."""

import multiprocessing
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec
from dask.system import CPU_COUNT
from dask.utils import parse_bytes
from distributed import Client, LocalCluster, Security

from cutline.cluster.dashboard import check_dashboard_address, scheduler_options
from cutline.errors import CutlineError, check_fields, said
from cutline.process import ctrl_c_held, private_api, uncollected
from cutline.progress import SILENT, Watcher

Count = Annotated[int, msgspec.Meta(ge=1)]

HOST: Final = "127.0.0.1"
"""Nothing of a local cluster listens on the network unless it is asked to."""


PATIENT: Final = 1.0
"""Seconds from a Ctrl-C until workers are killed: what one reads from a server may never come."""


def _kill_all_but(others: set[int | None]) -> None:
    for worker in multiprocessing.active_children():
        if worker.pid not in others:
            worker.kill()


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="local"):
    """A cluster on this machine that is started for the job and stopped after it.

    Attributes
    ----------
    workers
        Worker processes; without it one for each core that this process may use.
    threads_per_worker
        One is best: reading and judging records holds Python's lock.
    memory_limit
        Of each worker, as Dask writes it: ``4GiB``, or ``auto`` for its share of the machine.
    dashboard_address
        Where the dashboard listens, or ``none``.
    """

    workers: Count | None = None
    threads_per_worker: Count = 1
    memory_limit: str = "auto"
    dashboard_address: str = f"{HOST}:8787"

    def __post_init__(self) -> None:
        """Refuse an amount of memory that Dask cannot read, and an address that cannot be one."""
        check_fields(self)
        if self.memory_limit != "auto":
            parse_bytes(self.memory_limit)
        check_dashboard_address(self.dashboard_address)

    @contextmanager
    def open(self, watcher: Watcher = SILENT) -> Iterator[Client]:
        """Start the cluster, yield a client of it, and stop it at the end.

        Raises
        ------
        CutlineError
            It does not start.
        """
        threads = (self.workers or CPU_COUNT) * self.threads_per_worker
        if threads > CPU_COUNT:
            watcher.say(
                f"{threads:,} threads of workers share {CPU_COUNT:,} cores: fewer are as fast, and"
                " need less memory."
            )
        others = {child.pid for child in multiprocessing.active_children()}
        killing = threading.Timer(PATIENT, _kill_all_but, [others])
        killing.daemon = True
        try:
            with self._started() as cluster, Client(cluster, set_as_default=False) as client:
                try:
                    yield client
                except KeyboardInterrupt:
                    killing.start()
                    raise
        finally:
            killing.cancel()

    def _started(self) -> LocalCluster:
        if private_api.is_importing_main():
            sys.exit(1)  # the process that runs the script tells what is wrong with it
        started: LocalCluster | None = None
        try:
            with ctrl_c_held(), uncollected(), warnings.catch_warnings():
                # Dask takes another port, and the job says which.
                warnings.filterwarnings("ignore", message="Port .* is already in use")
                started = self._start()
        except KeyboardInterrupt:  # which was held until the processes were there
            if started is not None:
                started.close()
            raise
        except (OSError, ValueError, RuntimeError) as error:
            reason = said(error).rstrip(".")
            raise CutlineError(
                f"The local cluster does not start ({reason}): correct its options, or if this is a"
                ' script, put its work below `if __name__ == "__main__":`.'
            ) from error
        return started

    def _start(self) -> LocalCluster:
        options = scheduler_options(self.dashboard_address)
        return LocalCluster(
            n_workers=self.workers or CPU_COUNT,
            threads_per_worker=self.threads_per_worker,
            memory_limit=self.memory_limit,
            host=HOST,
            # It never leaves this machine, whatever Dask's configuration asks for elsewhere, which
            # may have no certificates for a scheduler and workers.
            protocol="tcp://",
            security=Security(require_encryption=False, tls_ca_file=None),
            dashboard_address=options.pop("dashboard_address"),
            scheduler_kwargs=options,
        )
