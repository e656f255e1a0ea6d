"""The whole recipe on one dataset folder: from shards to the trainer's entry and the report."""

import os
from dataclasses import dataclass
from typing import Any

from distributed import Client

from cutline.captions import CaptionsSummary, write_captions
from cutline.errors import CutlineError, UsageError
from cutline.extract import ExtractOptions, ExtractSummary, extract
from cutline.plan import ledger
from cutline.progress import SILENT, Clock, Summary, Watcher
from cutline.report import ReportSummary, write_report
from cutline.sources import local_folder, shard_names
from cutline.store import disk
from cutline.table import DEFAULTS, CompileOptions, CompileSummary, compile_table
from cutline.trainers import EntrySummary, add_entry
from cutline.verify import VerifyOptions, VerifySummary, verify_dataset


@dataclass(frozen=True, slots=True, repr=False)
class RunSummary(Summary):
    """What each step of a run came to; None for a step that there was no need of."""

    compile: CompileSummary
    captions: CaptionsSummary | None
    seconds: float
    extract: ExtractSummary | None = None
    verify: VerifySummary | None = None
    loader: EntrySummary | None = None
    report: ReportSummary | None = None

    def steps(self) -> list[Summary]:
        """Give the summaries of the steps that were done."""
        every = (self.extract, self.compile, self.captions, self.verify, self.loader, self.report)
        return [step for step in every if step]

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints: each step that was done under its own name."""
        done = {body["job"]: body for body in (step.as_json() for step in self.steps())}
        return {"job": "run", **done, "seconds": self.seconds}

    @property
    def shortfall(self) -> str:
        """What was not done or will not do, in a sentence a step; empty if all is well."""
        return " ".join(step.shortfall for step in self.steps() if step.shortfall)


def run(
    root: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> RunSummary:
    """Do all that the recipe does for one dataset.

    Parameters
    ----------
    root
        The folder of the dataset. Images and sidecars are in ``ROOT/data``, and what of the tar
        shards in ROOT and in ``ROOT/data`` is not there yet is unpacked first; the table becomes
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
        There is no such folder, or it has neither ``data`` nor shards.
    CutlineError
        The job cannot go on; the same call goes on from where it stopped.
    """
    clock = Clock()
    table, data = layout(root)
    shards = shards_of(root)
    chosen = ExtractOptions(
        max_rejects=options.max_rejects,
        allow_damaged=options.allow_damaged,
        force_unlock=options.force_unlock,
    )
    extracted = extract(shards, data, chosen, client=client, watcher=watcher) if shards else None
    lost = extracted.lost if extracted else ledger.EMPTY
    try:
        compiled = compile_table(
            local_folder.Folder(data), table, options, lost=lost, client=client, watcher=watcher
        )
    except CutlineError as error:
        if extracted and extracted.shortfall:  # which may be why
            raise CutlineError(f"{error} {extracted.shortfall}") from error
        raise
    captions = write_captions(table, data, options, client=client, watcher=watcher)
    checked = VerifyOptions(force_unlock=options.force_unlock)
    verified = verify_dataset(table, data, checked, client=client, watcher=watcher)
    entry = add_entry(table, data)
    for line in entry.lines:
        watcher.say(line)
    report = write_report(table, verified, client=client, watcher=watcher)
    return RunSummary(compiled, captions, clock.total(), extracted, verified, entry, report)


def run_in_place(
    root: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> RunSummary:
    """Make the table of a dataset from its shards alone; arguments are as for `run`.

    There are no caption files then: the images that they would stand beside are in the shards.

    Raises
    ------
    UsageError
        There is no such folder, or no shard in it.
    CutlineError
        The job cannot go on; the same call goes on from where it stopped.
    """
    clock = Clock()
    table, data = layout(root)
    shards = shards_of(root)
    if not shards:
        raise UsageError(f"There is no .tar file in {root} or {data}: leave --no-extract out.")
    compiled = compile_table(shards, table, options, client=client, watcher=watcher)
    report = write_report(table, None, client=client, watcher=watcher)
    return RunSummary(compiled, None, clock.total(), report=report)


def layout(root: disk.AnyPath) -> tuple[str, str]:
    """Give the paths of a dataset's table and of its data."""
    path = disk.absolute(root)
    data = os.path.join(path, "data")
    if not os.path.isdir(data) and not (os.path.isdir(path) and shards_of(path)):
        raise UsageError(f"The folder {data} is not there: put images and sidecars into it.")
    return os.path.join(path, os.path.basename(path) + ".parquet"), data


def shards_of(root: disk.AnyPath) -> list[str]:
    """Find the shards of a dataset: a plain download puts them into ``ROOT/data``."""
    folders = (os.fspath(root), os.path.join(root, "data"))
    return [
        path
        for folder in folders
        if os.path.isdir(folder)
        for path in shard_names.shard_paths(folder)
    ]
