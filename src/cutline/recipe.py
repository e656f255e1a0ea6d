"""The whole recipe on one dataset folder: from shards to the trainer's entry and the report."""

import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

import pyarrow.compute as pc
from distributed import Client
from msgspec import Meta

from cutline.captions import CaptionsSummary, write_captions
from cutline.errors import CutlineError, UsageError, as_typed, check_fields, checked, flat
from cutline.extract import ExtractOptions, ExtractSummary, extract
from cutline.plan import ledger
from cutline.progress import SILENT, Clock, Load, Summary, Watcher, events
from cutline.record import texts
from cutline.report import ReportSummary, write_report
from cutline.sources import local_folder, passing_over, shard_names
from cutline.store import disk
from cutline.table import DEFAULTS, CompileOptions, CompileSummary, compile_table
from cutline.trainers import EntrySummary, add_entry, simpletuner
from cutline.verify import VerifyOptions, VerifySummary, move_orphans, verify_dataset


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run does besides compiling.

    Attributes
    ----------
    overwrite
        Replace also files that somebody made or edited.
    orphans
        Move images without row to the folder orphans beside the table, numbered if that is taken.
    check_sizes
        Compare all of the table's sizes with what the images' own headers say.
    sample
        Compare so many sizes, evenly spread over the table.  [default: 1,000]
    """

    overwrite: bool = False
    orphans: Literal["move"] | None = None
    check_sizes: bool = False
    sample: Annotated[int | None, Meta(ge=1)] = None

    def __post_init__(self) -> None:
        """Raise UsageError for values that are out of range."""
        check_fields(self)
        self.verifying(force_unlock=False)

    def verifying(self, *, force_unlock: bool) -> VerifyOptions:
        """Return how to verify."""
        return VerifyOptions(sizes=self.check_sizes, sample=self.sample, force_unlock=force_unlock)


RUN_DEFAULTS: Final = RunOptions()

STEPS: Final = ("extract", "compile", "captions", "verify", "loader", "report")
"""The steps of a run, in order; without shards it begins with the second."""

STAGES: Final = (
    *("index-shards", "extract-files", "compile-rows", "merge"),
    *("write-caption-files", "verify-rows", "verify-files", "report-rows"),
)
"""The stages of a run, in order, for whoever watches it."""


@dataclass(frozen=True, slots=True, repr=False)
class RunSummary(Summary):
    """What each step of a run came to; None for a step that was not needed."""

    compile: CompileSummary
    captions: CaptionsSummary | None
    seconds: float
    extract: ExtractSummary | None = None
    verify: VerifySummary | None = None
    loader: EntrySummary | None = None
    report: ReportSummary | None = None

    def steps(self) -> list[Summary]:
        """Return the summaries of the steps that were done, in order."""
        every = (self.extract, self.compile, self.captions, self.verify, self.loader, self.report)
        return [step for step in every if step]

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints: each step that was done under its own name."""
        done = {body["job"]: body for body in (step.as_json() for step in self.steps())}
        return {"job": "run", **done, "seconds": self.seconds}

    @property
    def shortfall(self) -> str:
        """What went wrong, in a sentence for each step; empty if all is well."""
        return " ".join(step.shortfall for step in self.steps() if step.shortfall)


@flat
@checked
@events.announced("run", *STAGES)
def run(
    root: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    chosen: RunOptions = RUN_DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> RunSummary:
    """Prepare one dataset: unpack, compile, write captions, verify, add the entry, report.

    Parameters
    ----------
    root
        The folder of the dataset. Tar shards in ROOT and ``ROOT/data`` are unpacked into
        ``ROOT/data``; what is there is kept. The table is ``ROOT/X.parquet`` of a ROOT X.
    options, chosen
        How to compile, and what else to do.
    client
        The Dask cluster to work on; without one, Dask's scheduler of this process.
    watcher
        Told how far the job is.

    Raises
    ------
    UsageError
        There is no such folder, or it has neither ``data`` nor shards.
    CutlineError
        The job cannot go on; the same call goes on from where it stopped.
    """
    clock = Clock()
    steps = STEPS if _shards_of(root) else STEPS[1:]
    job = _Run(os.fspath(root), *layout(root), options, chosen, steps, client, watcher)
    job.tell_passed_over()
    extracted = job.extract()
    compiled = job.compile(extracted)
    captions = job.write_captions()
    verified = job.verify()
    entry = job.add_entry()
    step = job.watch("report")
    report = write_report(job.table, verified, options, client=client, watcher=step)
    return RunSummary(compiled, captions, clock.total(), extracted, verified, entry, report)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A watcher of one step of a run, whose stages have the step's number before their names."""

    watcher: Watcher
    number: str

    def stage(self, name: str, load: Load) -> AbstractContextManager[Any]:
        """Follow a stage."""
        return self.watcher.stage(f"{self.number} {name}", load)

    def say(self, line: str) -> None:
        """Tell a line."""
        self.watcher.say(line)

    def report(self, summary: Summary) -> None:
        """Tell what it came to."""
        self.watcher.report(summary)


@dataclass(frozen=True, slots=True)
class _Run:
    """What the steps of a run share; each is a method, in order."""

    root: str
    table: str
    data: str
    options: CompileOptions
    chosen: RunOptions
    steps: tuple[str, ...]
    client: Client | None
    watcher: Watcher

    def watch(self, step: str) -> Watcher:
        return _Numbered(self.watcher, f"{self.steps.index(step) + 1}/{len(self.steps)}")

    def tell_passed_over(self) -> None:
        for folder in ([self.root, self.data], [self.data]):
            for line in shard_names.passed_over(*folder):
                self.watcher.say(line)

    def extract(self) -> ExtractSummary | None:
        if not (shards := _shards_of(self.root)):
            return None
        unpacking = ExtractOptions(
            overwrite=self.chosen.overwrite,
            max_rejects=self.options.max_rejects,
            allow_damaged=self.options.allow_damaged,
            force_unlock=self.options.force_unlock,
        )
        watcher = self.watch("extract")
        return extract(shards, self.data, unpacking, client=self.client, watcher=watcher)

    def compile(self, extracted: ExtractSummary | None) -> CompileSummary:
        with _blamed_on(extracted):
            compiled = compile_table(
                local_folder.Folder(self.data),
                self.table,
                self.options,
                lost=extracted.lost if extracted else ledger.EMPTY,
                client=self.client,
                watcher=self.watch("compile"),
            )
        _check_listed(compiled, extracted)
        return compiled

    def write_captions(self) -> CaptionsSummary:
        return write_captions(
            self.table,
            self.data,
            self.options,
            overwrite=self.chosen.overwrite,
            client=self.client,
            watcher=self.watch("captions"),
        )

    def verify(self) -> VerifySummary:
        how = self.chosen.verifying(force_unlock=self.options.force_unlock)
        watcher = self.watch("verify")
        verified = verify_dataset(self.table, self.data, how, client=self.client, watcher=watcher)
        folder = verified.orphan_folder
        if folder and self.chosen.orphans == "move":
            return move_orphans(
                self.table, self.data, folder, how, client=self.client, watcher=watcher
            )
        chosen = replace(self.chosen, orphans="move")
        again = ["cutline", "run", self.root, *as_typed(self.options, chosen)]
        return replace(verified, mover=shlex.join(again))

    def add_entry(self) -> EntrySummary:
        entry = add_entry(self.table, self.data)
        for line in entry.lines:
            self.watcher.say(line)
        return entry


@flat
@events.announced("run", "index-shards", "compile-rows", "merge", "report-rows")
def run_in_place(
    root: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> RunSummary:
    """Make the table and the report from the shards alone; parameters are those of `run`.

    No caption files are written: the images that they belong beside are in the shards.

    Raises
    ------
    UsageError
        There is no such folder, or no shard in it.
    CutlineError
        The job cannot go on; the same call goes on from where it stopped.
    """
    clock = Clock()
    table, data = layout(root)
    shards = _shards_of(root)
    if not shards:
        raise UsageError(f"There is no .tar file in {root} or {data}: leave --no-extract out.")
    compiled = compile_table(shards, table, options, client=client, watcher=watcher)
    report = write_report(table, None, options, client=client, watcher=watcher)
    return RunSummary(compiled, None, clock.total(), report=report)


def layout(root: disk.AnyPath) -> tuple[str, str]:
    """Return the paths of a dataset's table and of its data.

    Raises
    ------
    UsageError
        There is no such folder, or it has neither ``data`` nor shards, or it is the data folder of
        a dataset itself.
    """
    path = disk.absolute(root)
    if not os.path.isdir(path):
        above = os.path.dirname(os.fspath(root)) or "."
        command = shlex.join(["cutline", "run", above])
        mend = f"run `{command}`" if os.path.exists(path) else "correct the name"
        raise UsageError(f"There is no folder {path}: {mend}.")
    data = os.path.join(path, "data")
    _check_root(path, data)
    if not os.path.isdir(data) and not (os.path.isdir(path) and _shards_of(path)):
        hints = shard_names.passed_over(root)
        raise UsageError(
            " ".join([f"The folder {data} is not there: put images and sidecars into it.", *hints])
        )
    return os.path.join(path, os.path.basename(path) + ".parquet"), data


def _check_root(path: str, data: str) -> None:
    """Refuse what is in a dataset already, and a dataset that a run has made there by mistake."""
    dataset = _dataset_above(path)
    sample = _loose_sample(path, alone=not os.path.isdir(data)) if os.path.isdir(path) else None
    above, name = os.path.split(path)
    if name == "data" and (sample or (not os.path.isdir(data) and _shards_of(path))):
        dataset = dataset or above  # nothing but a plain download of the hub may be there yet
    if dataset:
        raise UsageError(
            f"The folder {path} belongs to the data of {dataset}: run"
            f" `{shlex.join(['cutline', 'run', dataset])}`, or rename it if it is a dataset of its"
            " own."
        )
    if sample:
        table = shlex.join(["cutline", "compile", path, f"{path}.parquet"])
        raise UsageError(
            f"The folder {path} holds images and sidecars itself, such as {sample}: move them into"
            f" {data}, run the folder whose data they are, or make a table alone with `{table}`."
        )
    if os.path.isdir(f"{data}/data") and os.path.exists(f"{data}/data.parquet"):
        raise UsageError(
            f"The folder {data} holds a dataset that a run has made in it, so each sample would"
            f" come twice: move {data}/data and {data}/data.* away."
        )


def _dataset_above(path: str) -> str | None:
    """Return the dataset in whose data a folder is, if there is one that has a table."""
    while path != (above := os.path.dirname(path)):
        name = os.path.basename(above)
        if os.path.basename(path) == "data" and os.path.exists(f"{above}/{name}.parquet"):
            return above
        path = above
    return None


def _loose_sample(folder: str, *, alone: bool) -> str | None:
    """Return the name of a sidecar directly in a folder that is beside its image, or `alone`."""
    names: dict[bool, dict[bytes, bytes]] = {True: {}, False: {}}
    for entry in local_folder.scanned(os.fsencode(folder), b"", local_folder.refuse):
        stem, extension = os.path.splitext(entry.name)
        is_sidecar = passing_over.is_sidecar_name(entry.name)
        if is_sidecar or extension[1:].lower() in simpletuner.IMAGES:
            names[is_sidecar][stem] = entry.name
            if stem in names[not is_sidecar] or (alone and is_sidecar):
                return texts.shown_path(names[True][stem])
    return None


def _shards_of(root: disk.AnyPath) -> list[str]:
    # A plain download of the hub puts them into ROOT/data.
    folders = (os.fspath(root), os.path.join(root, "data"))
    return [
        path
        for folder in folders
        if os.path.isdir(folder)
        for path in shard_names.shard_paths(folder)
    ]


def _check_listed(compiled: CompileSummary, extracted: ExtractSummary | None) -> None:
    """Raise CutlineError if what was unpacked is not there any more."""
    if extracted is None:
        return
    damages = pc.sum(pc.equal(extracted.lost["reason"], ledger.DAMAGED)).as_py() or 0
    lost = len(extracted.lost) - damages
    if compiled.sidecars < extracted.sidecars + lost:
        raise CutlineError(
            f"Of {extracted.sidecars:,} sidecars that were unpacked into {extracted.data},"
            f" {compiled.sidecars - lost:,} are listed there: look whether something removes files,"
            " or use another file system, and run this again."
        )


@contextmanager
def _blamed_on(extracted: ExtractSummary | None) -> Iterator[None]:
    """Add to an error what the extraction fell short of, which may be the cause."""
    try:
        yield
    except CutlineError as error:
        if extracted and extracted.shortfall:
            raise CutlineError(f"{error} {extracted.shortfall}") from error
        raise
