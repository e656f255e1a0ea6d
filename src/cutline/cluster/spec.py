"""A cluster of any class of any package: PBS, Kubernetes, a gateway, Coiled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from distributed import Client

from cutline.cluster.starting import Started, class_of
from cutline.cluster.waiting import Waiting
from cutline.errors import UsageError
from cutline.progress import SILENT, Watcher


class Spec(Started, frozen=True, tag_field="kind", tag="spec", rename={"class_": "class"}):
    """A cluster that a class of another package starts, in the words of dask-ctl.

    Attributes
    ----------
    module, class_
        Where the class is, and its name; in a file its key is ``class``.
    args, kwargs
        What it is called with.
    adapt
        What its ``adapt`` is called with: ``{minimum: 0, maximum: 20}``.
    patience
        Seconds that the first worker has to come.
    """

    module: str
    class_: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = msgspec.field(default_factory=dict)
    adapt: dict[str, Any] | None = None
    patience: Annotated[float, msgspec.Meta(gt=0)] = 600

    def __post_init__(self) -> None:
        """Refuse a class that cannot be one."""
        if not all(self.module.split(".")) or not self.class_.isidentifier():
            raise UsageError(
                f"The cluster cannot be {self.class_!r} of {self.module!r}: name a module and a"
                " class in it."
            )

    @contextmanager
    def open(self, watcher: Watcher = SILENT) -> Iterator[Client]:
        """Start the cluster, yield a client of it, and end it.

        Raises
        ------
        CutlineError
            It does not start, or no worker comes.
        """
        start = class_of(self.module, self.class_, self.module.partition(".")[0].replace("_", "-"))
        waiting = Waiting(
            self.patience,
            lambda: f"{self.class_} has none yet",
            "see to its logs, or raise patience",
        )
        with self.client(
            lambda _: start(*self.args, **self.kwargs), waiting, watcher, self._scale
        ) as client:
            yield client

    def _scale(self, cluster: Any) -> None:  # noqa: ANN401 - of any class
        if self.adapt is not None:
            cluster.adapt(**self.adapt)
