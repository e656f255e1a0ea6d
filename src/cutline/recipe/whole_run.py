"""The whole recipe on one dataset folder: from shards to the trainer's entry and the report."""

import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal

import pyarrow.compute as pc
from distributed import Client
from msgspec import Meta

from cutline.captions import CaptionsSummary, write_captions
from cutline.errors import CutlineError, UsageError, as_typed, check_fields, checked, flat
from cutline.extract import ExtractOptions, ExtractSummary, extract
from cutline.plan import ledger
from cutline.progress import SILENT, Clock, Load, Summary, Watcher, events
from cutline.recipe.dataset_root import check_shards, layout
from cutline.report import ReportSummary, write_report
from cutline.sources import Origin, local_folder, shard_names
from cutline.store import disk
from cutline.table import DEFAULTS, CompileOptions, CompileSummary, compile_table
from cutline.trainers import EntrySummary, LoaderOptions, loader, webshart
from cutline.verify import (
    VerifyOptions,
    VerifySummary,
    caption_orphans,
    move_orphans,
    verify_dataset,
)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run goes: the options of each of its steps but the compile.

    What a step shares with the compile is that of the compile: `max_rejects`, `allow_damaged` and
    `force_unlock`.

    Attributes
    ----------
    extract, verify, loader
        How to unpack, to verify, and to make the trainer's entry.
    orphans
        Move images without row to the folder orphans beside the table, numbered if that is taken;
        or caption them.
    in_place
        Unpack nothing: make the table from the shards, and an index with which the trainer reads
        them in place, as with the strategy webshart.
    """

    extract: ExtractOptions = field(default_factory=ExtractOptions)
    verify: VerifyOptions = field(default_factory=VerifyOptions)
    loader: LoaderOptions = field(default_factory=LoaderOptions)
    orphans: Literal["move", "caption"] | None = None
    in_place: Annotated[bool, Meta(extra={"flag": "--no-extract"})] = False

    def __post_init__(self) -> None:
        """Raise UsageError for values that are out of range or contradict each other."""
        check_fields(self)
        if self.verify.strategy != self.loader.strategy:
            raise UsageError("The trainer is verified as it will train: choose one strategy.")
        if self.in_place and self.loader.strategy == "parquet":
            raise UsageError("The trainer finds no images: leave --no-extract or --strategy out.")
        if self.without_files and (self.orphans or self.extract.overwrite):
            raise UsageError("Only files can be replaced or moved: leave --no-extract out.")

    @property
    def without_files(self) -> bool:
        """Whether the trainer reads the shards, and nothing is unpacked."""
        return self.in_place or self.loader.strategy == "webshart"

    def unpacking(self, options: CompileOptions) -> ExtractOptions:
        """Return how to unpack, with what that shares with the compile."""
        return replace(
            self.extract,
            selection=options.selection,
            max_rejects=options.max_rejects,
            allow_damaged=options.allow_damaged,
            force_unlock=options.force_unlock,
        )


RUN_DEFAULTS: Final = RunOptions()

STEPS: Final = ("extract", "compile", "captions", "verify", "loader", "report")
"""The steps of a run, in order; without shards it begins with the second."""

STAGES: Final = (
    *("index-shards", "extract-files", "compile-rows", "merge"),
    *("write-caption-files", "verify-rows", "verify-files", "report-rows"),
)
"""The stages of a run, in order, for whoever watches it."""

STEPS_IN_PLACE: Final = ("compile", "index", "verify", "loader", "report")
STAGES_IN_PLACE: Final = (
    *("index-shards", "compile-rows", "merge"),
    *("write-index", "verify-index", "verify-rows", "report-rows"),
)
"""The same of a run that unpacks nothing."""


@dataclass(frozen=True, slots=True, repr=False)
class RunSummary(Summary):
    """What each step of a run came to; None for a step that was not needed."""

    compile: CompileSummary
    captions: CaptionsSummary | None
    seconds: float
    extract: ExtractSummary | None = None
    index: webshart.IndexSummary | None = None
    verify: VerifySummary | None = None
    loader: EntrySummary | None = None
    report: ReportSummary | None = None

    def steps(self) -> list[Summary]:
        """Return the summaries of the steps that were done, in order."""
        made = (self.extract, self.compile, self.captions, self.index)
        return [step for step in (*made, self.verify, self.loader, self.report) if step]

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints: each step that was done under its own name."""
        done = {body["job"]: body for body in (step.as_json() for step in self.steps())}
        return {"job": "run", **done, "seconds": self.seconds}

    @property
    def shortfall(self) -> str:
        """What went wrong, in a sentence for each step; empty if all is well."""
        return " ".join(step.shortfall for step in self.steps() if step.shortfall)

    @property
    def sequel(self) -> str:
        """That the trainer can start, and with which file."""
        if self.loader is None or self.shortfall:
            return ""
        return f"Ready to train: name {self.loader.out} as data_backend_config."


@flat
@checked
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
        ``ROOT/data``, unless the trainer is to read them in place; what is there is kept. The table
        is ``ROOT/X.parquet`` of a ROOT X.
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
    if chosen.without_files:
        return _run_in_place(root, options, chosen, client=client, watcher=watcher)
    return _run_unpacked(root, options, chosen, client=client, watcher=watcher)


@events.announced("run", *STAGES)
def _run_unpacked(
    root: disk.AnyPath,
    options: CompileOptions,
    chosen: RunOptions,
    *,
    client: Client | None,
    watcher: Watcher,
) -> RunSummary:
    clock = Clock()
    first = 0 if shard_names.shards_in_root(root) else 1
    steps = tuple(
        step for step in STEPS[first:] if step != "captions" or chosen.loader.strategy == "textfile"
    )
    job = _Run(os.fspath(root), *layout(root), options, chosen, steps, client, watcher)
    job.tell_passed_over()
    extracted, compiled, captions, verified = job.prepare(chosen.verify)
    while verified.moved_rows:  # the table is made anew without them; what was unpacked stays true
        how = chosen.verify
        if verified.has_moved_broken:  # the sample of a smaller table is another, with others in it
            how = replace(how, sizes=True, headers=None)
        _, compiled, captions, verified = job.prepare(how)
    entry = job.add_entry(job.data, chosen.loader)
    report = job.report(verified)
    return RunSummary(compiled, captions, clock.total(), extracted, None, verified, entry, report)


@events.announced("run", *STAGES_IN_PLACE)
def _run_in_place(
    root: disk.AnyPath,
    options: CompileOptions,
    chosen: RunOptions,
    *,
    client: Client | None,
    watcher: Watcher,
) -> RunSummary:
    clock = Clock()
    job = _Run(os.fspath(root), *layout(root), options, chosen, STEPS_IN_PLACE, client, watcher)
    shards = check_shards(root)
    compiled = job.compile(shards, None)
    index = verified = entry = None
    if compiled.rows:
        index = job.write_index(shards)
        job = replace(job, data=shards.root)
        verified = job.verify(replace(chosen.verify, strategy="webshart"))
        entry = job.add_entry(shards.root, replace(chosen.loader, strategy="webshart"))
    report = job.report(verified)
    return RunSummary(compiled, None, clock.total(), None, index, verified, entry, report)


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

    def prepare(
        self, how: VerifyOptions
    ) -> tuple[ExtractSummary | None, CompileSummary, CaptionsSummary | None, VerifySummary]:
        """Do all that has to be done again once samples of the table were moved away."""
        extracted = self.extract()
        compiled = self.compile(local_folder.Folder(self.data), extracted)
        captions = self.write_captions() if "captions" in self.steps else None
        return extracted, compiled, captions, self.verify(how)

    def extract(self) -> ExtractSummary | None:
        if not (shards := shard_names.shards_in_root(self.root)):
            return None
        unpacking, watcher = self.chosen.unpacking(self.options), self.watch("extract")
        return extract(shards, self.data, unpacking, client=self.client, watcher=watcher)

    def compile(self, source: Origin, extracted: ExtractSummary | None) -> CompileSummary:
        with _blamed_on(extracted):
            compiled = compile_table(
                source,
                self.table,
                self.options,
                lost=extracted.lost if extracted else ledger.EMPTY,
                client=self.client,
                watcher=self.watch("compile"),
            )
        _check_listed(compiled, extracted)
        unmeasured = compiled.rejects.get("no_width", 0)
        if unmeasured and not self.options.rules.measure:
            measuring = replace(self.options, rules=replace(self.options.rules, measure=True))
            again = ["cutline", "run", self.root, *as_typed(measuring, self.chosen)]
            self.watcher.say(
                "A record without a width is left out, as in the recipe"
                f" ({unmeasured:,} of {compiled.sidecars:,}): `{shlex.join(again)}` reads it from"
                " the image."
            )
        return compiled

    def write_captions(self) -> CaptionsSummary:
        return write_captions(
            self.table,
            self.data,
            self.options,
            overwrite=self.chosen.extract.overwrite,
            client=self.client,
            watcher=self.watch("captions"),
        )

    def write_index(self, shards: shard_names.ShardSet) -> webshart.IndexSummary:
        return webshart.write_index(
            self.table,
            shards,
            client=self.client,
            watcher=self.watch("index"),
            force_unlock=self.options.force_unlock,
        )

    def verify(self, how: VerifyOptions) -> VerifySummary:
        how = replace(how, force_unlock=self.options.force_unlock)
        watcher = self.watch("verify")
        if self.chosen.orphans == "move":
            return move_orphans(
                self.table, self.data, options=how, client=self.client, watcher=watcher
            )
        verified = verify_dataset(self.table, self.data, how, client=self.client, watcher=watcher)
        if not verified.orphan_folder:
            return verified
        if self.chosen.orphans == "caption":
            rules = self.options.rules
            return caption_orphans(
                self.table, self.data, rules, how, client=self.client, watcher=watcher
            )
        chosen = replace(self.chosen, orphans="move")
        again = ["cutline", "run", self.root, *as_typed(self.options, chosen)]
        return replace(verified, mover=shlex.join(again))

    def add_entry(self, data: str, options: LoaderOptions) -> EntrySummary:
        entry = loader.add_entry(self.table, data, options)
        for line in entry.lines:
            self.watcher.say(line)
        return entry

    def report(self, verified: VerifySummary | None) -> ReportSummary:
        watcher = self.watch("report")
        return write_report(self.table, verified, self.options, client=self.client, watcher=watcher)


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
