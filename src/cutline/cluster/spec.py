"""A cluster of any class of any package: PBS, Kubernetes, a gateway, Coiled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from distributed import Client

from cutline.cluster.starting import class_of, client_of
from cutline.cluster.tls import Tls, configured
from cutline.cluster.waiting import wait_for_workers
from cutline.errors import UsageError
from cutline.progress import SILENT, Watcher


class Spec(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag="spec",
    rename={"class_": "class"},
):
    """A cluster that a class of another package starts, in the words of dask-ctl.

    Attributes
    ----------
    module, class_
        Where the class is, and its name; in a file its key is ``class``.
    args, kwargs
        What it is called with.
    adapt
        What its ``adapt`` is called with: ``{minimum: 0, maximum: 20}``.
    tls
        Certificates, unless the class has its own.
    insecure
        Whether its scheduler may listen on the network without TLS.
    patience
        Seconds that the first worker has to come.
    """

    module: str
    class_: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    adapt: dict[str, Any] | None = None
    tls: Tls | None = None
    insecure: bool = False
    patience: Annotated[float, msgspec.Meta(gt=0)] = 600

    def __post_init__(self) -> None:
        """Refuse a class that cannot be one."""
        if not all(self.module.split(".")) or not self.class_.isidentifier():
            raise UsageError(
                f"The cluster cannot be {self.class_!r} of {self.module!r}: name a module and a"
                " class in it."
            )

    @property
    def has_dashboard(self) -> bool:
        """Whether the cluster shows a dashboard; it does unless its class was told not to."""
        return True

    @contextmanager
    def open(self, watcher: Watcher = SILENT) -> Iterator[Client]:
        """Start the cluster, yield a client of it, and end it.

        Raises
        ------
        CutlineError
            It does not start, or no worker comes.
        """
        start = class_of(self.module, self.class_, self.module.partition(".")[0].replace("_", "-"))
        with (
            configured(self.tls) as security,
            client_of(
                lambda: start(*self.args, **self.kwargs), security, insecure=self.insecure
            ) as (cluster, client),
        ):
            if self.adapt is not None:
                cluster.adapt(**self.adapt)
            wait_for_workers(
                client,
                watcher,
                self.patience,
                lambda: f"{self.class_} has none yet",
                "see to its logs, or raise patience",
            )
            yield client
