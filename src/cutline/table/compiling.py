"""Sidecars to the table: the compile job.

List and plan, make the missing parts, merge. The client lists loose sidecars and merges; workers
walk shards (`plan.shard_index`), check old parts (`plan.receipts`) and make parts (`rows`).
"""

import os
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Any

import pyarrow as pa
from distributed import Client

from cutline.cluster import worker_checks
from cutline.errors import CutlineError, checked, flat
from cutline.plan import Receipt, ledger, planning, receipts, shard_index
from cutline.progress import SILENT, Clock, Load, Summary, Watcher, events
from cutline.sources import Origin, open_source, shard_names
from cutline.store import TableFiles, disk
from cutline.table import advice, merge
from cutline.table.compile_options import DEFAULTS, CompileOptions
from cutline.table.part_files import CompileContext
from cutline.table.rows import make_parts


@dataclass(frozen=True, slots=True, repr=False)
class CompileSummary(Summary):
    """What a compile came to; in every run, sidecars = rows + the sum of the rejects.

    Damage is not among the rejects, because nobody knows what was there: `damaged_shards` counts
    it, and is None for loose sidecars. `shortfall` says in one sentence what was not done.
    """

    table: str
    sidecars: int
    rows: int
    rejects: dict[str, int]
    parts: int
    reused_parts: int
    stem_mismatches: int
    seconds: float
    stages: dict[str, float]
    damaged_shards: int | None = None
    shortfall: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        body = asdict(self)
        del body["stages"], body["shortfall"]
        if self.damaged_shards is None:
            del body["damaged_shards"]
        return {"job": "compile", **body}


@flat
@checked
@events.announced("compile", "compile-rows", "merge")
def compile_table(
    source: shard_names.Where | Origin,
    table: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    lost: pa.Table = ledger.EMPTY,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> CompileSummary:
    """Compile the sidecars of a source into one parquet table.

    Parameters
    ----------
    source
        A folder of sidecars, flat or nested, or of tar shards, which are read in place; or an
        fsspec URL of one. Or a shard, a glob of shards, or a list of shards.
    table
        The path of the table, ``X.parquet``; ``X.parts/`` and ``X.rejects.parquet`` are beside it.
    options
        How to compile.
    lost
        More lines for the ledger: what an extraction could not bring from shards into the folder
        of loose sidecars. Of shards that are read in place a compile finds that itself.
    client
        The Dask cluster to work on; without one, Dask's scheduler of this process.
    watcher
        Who is told how far the job is.

    Raises
    ------
    UsageError
        There is no such source, or no such folder for the table.
    CutlineError
        The job cannot go on. The table that was there is as it was.
    """
    clock = Clock()
    origin = open_source(source)
    if isinstance(origin, shard_names.ShardSet):
        for line in shard_names.passed_over(source):
            watcher.say(line)
    table_files = TableFiles.of(table)
    needed = partial(planning.space_to_finish, table_files)
    with table_files.locked(watcher.say, force=options.force_unlock, needed=needed) as files:
        context = CompileContext(planning.source_of(origin, options.planning), files, options)
        if others := merge.other_options(files, options):
            watcher.say(others)
        written = worker_checks.writes(os.path.dirname(files.table), files.workspace, files.store)
        read = worker_checks.reads_source(origin)
        with worker_checks.checked(client, watcher, written, read):
            with clock.stage("list"):
                plan = planning.make_plan(origin, files, options.planning, client, watcher)
            with clock.stage("rows"):
                made = make_parts(context, plan.missing, client, watcher)
        with clock.stage("merge"):
            done = sorted([*plan.kept, *made], key=lambda receipt: receipt.index)
            receipts.keep_timings(files, done)
            _check_columns(done, options)
            lost = pa.concat_tables([lost, shard_index.damage_lines(plan.indexes or [])])
            merged = _merge(context, plan, done, lost, client)
    return _summed_up(plan, done, merged, context, clock)


def _merge(
    context: CompileContext,
    plan: planning.Plan,
    receipts: list[Receipt],
    lost: pa.Table,
    client: Client | None,
) -> merge.Merged:
    """Merge, as a stage whose figures on the Captions page are those of the summary."""
    began = perf_counter()
    load = Load(sum(receipt.sidecars for receipt in receipts), "sidecars")
    with events.of_client(client, events.Stage("merge", 1, load)) as tell:
        merged = merge.merge(
            context.files, receipts, context.options, lost, _advise(context, plan, receipts)
        )
        made = {"rows": merged.rows}
        took = perf_counter() - began
        tell(events.Done(load.amount, made, merged.rejects, took, task="the table"))
    return merged


def _advise(context: CompileContext, plan: planning.Plan, receipts: list[Receipt]) -> merge.Advise:
    return partial(advice.advice, context, plan.parts, receipts)


def _check_columns(receipts: list[Receipt], options: CompileOptions) -> None:
    """Refuse an extra column whose field no record has: its name is probably wrong."""
    rows = sum(receipt.rows for receipt in receipts)
    for index, (name, field) in enumerate(options.rules.columns):
        if rows and not any(receipt.column_values[index] for receipt in receipts):
            raise CutlineError(
                f"No record has a field {field!r} for the column {name!r}: correct --column."
            )


def _summed_up(
    plan: planning.Plan,
    receipts: list[Receipt],
    merged: merge.Merged,
    context: CompileContext,
    clock: Clock,
) -> CompileSummary:
    allowed = context.options.allow_damaged
    named = context.options.rules.fields.image  # of `x.jpg.json`, the image has another stem
    no_row = merge.no_row(merged, _advise(context, plan, receipts))
    damage = "" if allowed else shard_index.shortfall(plan.indexes or [], "the table has")
    return CompileSummary(
        table=context.files.table,
        sidecars=merged.sidecars,
        rows=merged.rows,
        rejects=merged.rejects,
        parts=len(plan.parts),
        reused_parts=len(plan.kept),
        stem_mismatches=sum(receipt.stem_mismatches for receipt in receipts) if named else 0,
        seconds=clock.total(),
        stages=clock.stages,
        damaged_shards=None if plan.indexes is None else len(shard_index.damaged(plan.indexes)),
        shortfall=" ".join(filter(None, [no_row, damage, plan.unlisted])),
    )
