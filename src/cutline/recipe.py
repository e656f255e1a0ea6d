"""The whole recipe on one dataset folder: from the table to the trainer's entry and the report."""

import os
from dataclasses import asdict, dataclass
from typing import Any

from distributed import Client

from cutline import watch
from cutline.captions import CaptionsSummary, write_captions
from cutline.checks import VerifyOptions
from cutline.errors import UsageError
from cutline.loader import beside, loader_entry, read_entries, write_loader
from cutline.options import DEFAULTS, CompileOptions
from cutline.report.write import ReportSummary, write_report
from cutline.table import CompileSummary, compile_table
from cutline.trainer import LoaderOptions
from cutline.verdict import VerifySummary
from cutline.verify import verify_dataset


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """The trainer's file, and whether the entry was added; one of the same id is left as it is."""

    out: str
    id: str
    written: bool

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints."""
        return {"job": "loader", **asdict(self)}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What each step of a run came to."""

    compile: CompileSummary
    captions: CaptionsSummary
    verify: VerifySummary
    loader: EntrySummary
    report: ReportSummary
    seconds: float

    def steps(self) -> list[watch.Summary]:
        """Give the summaries of the steps, for people to read."""
        return [self.compile, self.captions, self.verify, self.loader, self.report]

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints: each step under its own name."""
        steps = {body["job"]: body for body in (step.as_json() for step in self.steps())}
        return {"job": "run", **steps, "seconds": self.seconds}

    @property
    def shortfall(self) -> str:
        """What was not done or will not do, in a sentence a step; empty if all is well."""
        return " ".join(filter(None, (self.captions.shortfall, self.verify.shortfall)))


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
    checked = VerifyOptions(force_unlock=options.force_unlock)
    verified = verify_dataset(table, data, checked, client=client, watcher=watcher)
    entry = add_entry(table, data, watcher)
    report = write_report(table, verified, client=client, watcher=watcher)
    return RunSummary(compiled, captions, verified, entry, report, clock.total())


def add_entry(table: str, data: str, watcher: watch.Watcher) -> EntrySummary:
    """Add the dataset's entry to the trainer's file, unless there is one that says otherwise.

    Whatever somebody has changed in an entry stays; `cutline loader` replaces it.
    """
    out = beside(table, "multidatabackend.json")
    name = os.path.basename(table).removesuffix(".parquet")
    try:
        options = LoaderOptions(id=name)
        mine = [entry for entry in read_entries(out) if entry.get("id") == name]
        if not mine:
            write_loader(table, data, out, options)
        elif mine != [loader_entry(table, data, options)]:
            watcher.say(f"{out} has an entry {name!r} of its own: left as it is.")
    except UsageError as error:  # the table and the caption files are there all the same
        watcher.say(f"The trainer's file {out} was not written: {error}")
        return EntrySummary(out, name, written=False)
    return EntrySummary(out, name, written=not mine)


def layout(root: str) -> tuple[str, str]:
    """Give the paths of a dataset's table and of its data."""
    path = os.path.abspath(root)
    data = os.path.join(path, "data")
    if not os.path.isdir(data):
        raise UsageError(f"The folder {data} is not there: put images and sidecars into it.")
    return os.path.join(path, os.path.basename(path) + ".parquet"), data
