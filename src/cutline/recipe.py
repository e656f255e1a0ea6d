"""The whole recipe on one dataset folder: the table, then the caption files."""

import os
from dataclasses import dataclass
from typing import Any

from distributed import Client

from cutline import watch
from cutline.captions import CaptionsSummary, write_captions
from cutline.errors import UsageError
from cutline.options import DEFAULTS, CompileOptions
from cutline.table import CompileSummary, compile_table


@dataclass(frozen=True, slots=True, repr=False)
class RunSummary:
    """What each step of a run came to."""

    compile: CompileSummary
    captions: CaptionsSummary
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints: each step under its own name."""
        steps = {"compile": self.compile.as_json(), "captions": self.captions.as_json()}
        return {"job": "run", **steps, "seconds": self.seconds}

    def __repr__(self) -> str:
        return "\n".join(watch.readable(self))

    @property
    def shortfall(self) -> str:
        """What was not done, in one sentence; empty if all was."""
        return self.captions.shortfall


def run(
    root: str,
    options: CompileOptions = DEFAULTS,
    *,
    client: Client | None = None,
    watcher: watch.Watcher = watch.SILENT,
) -> RunSummary:
    """Do all that the recipe does for one dataset.

    Parameters
    ----------
    root
        The folder of the dataset. Images and sidecars are in ``ROOT/data``; the table becomes
        ``ROOT/X.parquet``, where X is the name of the folder.
    options
        How to compile.
    client
        The Dask cluster to work on; without one, Dask's scheduler of this process.
    watcher
        Who is told how far the job is.

    Raises
    ------
    UsageError
        There is no such folder, or it has no ``data``.
    CutlineError
        The job cannot go on; the same call goes on from where it stopped.
    """
    clock = watch.Clock()
    table, data = layout(root)
    compiled = compile_table(data, table, options, client=client, watcher=watcher)
    captions = write_captions(table, data, options, client=client, watcher=watcher)
    return RunSummary(compiled, captions, clock.total())


def layout(root: str) -> tuple[str, str]:
    """Give the paths of a dataset's table and of its data."""
    path = os.path.abspath(root)
    data = os.path.join(path, "data")
    if not os.path.isdir(data):
        raise UsageError(f"The folder {data} is not there: put images and sidecars into it.")
    return os.path.join(path, os.path.basename(path) + ".parquet"), data
