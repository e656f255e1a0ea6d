"""Sidecars to the table: the compile job.

List, plan, have the missing parts made, merge. The client does it, but for the shards, which
`index` has the workers walk, and the parts, which `rows` has them make.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
from distributed import Client

from cutline import ledger, merge, resume, store, timings, watch
from cutline.errors import CutlineError
from cutline.index import (
    ShardIndex,
    damage_lines,
    damaged,
    index_shards,
    shortfall,
    sidecar_lines,
)
from cutline.options import DEFAULTS, CompileOptions
from cutline.parts import Job
from cutline.plan import Part, Receipt, missing, read_plan, write_plan
from cutline.rows import make_parts
from cutline.shardset import ShardSet, Where
from cutline.sources import Origin, open_source
from cutline.summary import Summary


@dataclass(frozen=True, slots=True, repr=False)
class CompileSummary(Summary):
    """What a compile came to; for every run, sidecars = rows + the sum of the rejects.

    Damage is none of the rejects, because nobody knows what was there: `damaged_shards` counts it,
    and is None for loose sidecars. `shortfall` says in one sentence what was not done.
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
        """Give the object that ``--json`` prints."""
        body = asdict(self)
        del body["stages"], body["shortfall"]
        if self.damaged_shards is None:
            del body["damaged_shards"]
        return {"job": "compile", **body}


@dataclass(frozen=True, slots=True)
class Listed:
    """What a compile starts from: the sidecars, and what is in the shards if they are in any."""

    lines: pa.Table
    indexes: list[ShardIndex]
    damaged_shards: int | None


def compile_table(
    source: Where | Origin,
    table: store.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    lost: pa.Table = ledger.EMPTY,
    client: Client | None = None,
    watcher: watch.Watcher = watch.SILENT,
) -> CompileSummary:
    """Compile the sidecars of a source into one parquet table.

    Parameters
    ----------
    source
        A folder of sidecars, flat or nested, or of tar shards, which are read in place; or an
        fsspec URL of one. Or a shard, a glob of shards, or a list of shards.
    table
        The path of the table, ``X.parquet``; ``X.parts/`` and ``X.rejects.parquet`` stand beside.
    options
        How to compile.
    lost
        What did not get from shards into a folder of loose sidecars, for the ledger: see
        `ExtractSummary`. Of shards that are read in place the compile finds that itself.
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
    clock = watch.Clock()
    origin = open_source(source)
    outputs = store.Outputs.of(table)
    with store.locked(
        outputs.workspace,
        watcher.say,
        force=options.force_unlock,
        needed=lambda: space_to_finish(outputs),
    ) as staging:
        outputs = replace(outputs, staging=staging)
        job = Job(origin.source if isinstance(origin, ShardSet) else origin, outputs, options)
        with clock.stage("list"):
            with resume.look(job, client, watcher) as before:
                listing = listed(origin, job, client, watcher)
                done = before.receipts(listing.lines)
            # Not written again if it is the same: 0.1 s for a million sidecars.
            same = before.plan_of(listing.lines, done)
            parts = plan_parts(job, listing.lines, same)
            drop_rejects(job, done)
        with clock.stage("rows"):
            made = make_parts(job, missing(parts, done), client, watcher)
            receipts = sorted([*done, *made], key=lambda receipt: receipt.index)
            timings.keep(outputs, receipts)
        with clock.stage("merge"):
            check_columns(receipts, options)
            lost = pa.concat_tables([lost, damage_lines(listing.indexes)])
            merged = merge.merge(outputs, receipts, options, lost)
    shortfalls = [
        merge.no_row(merged),
        "" if options.allow_damaged else shortfall(listing.indexes, "the table"),
    ]
    return CompileSummary(
        table=outputs.table,
        sidecars=merged.sidecars,
        rows=merged.rows,
        rejects=merged.rejects,
        parts=len(parts),
        reused_parts=len(done),
        stem_mismatches=sum(receipt.stem_mismatches for receipt in receipts),
        seconds=clock.total(),
        stages=clock.stages,
        damaged_shards=listing.damaged_shards,
        shortfall=" ".join(filter(None, shortfalls)),
    )


def listed(origin: Origin, job: Job, client: Client | None, watcher: watch.Watcher) -> Listed:
    """List the sidecars; shards are indexed for it."""
    if not isinstance(origin, ShardSet):
        return Listed(origin.list(), [], None)
    indexes = index_shards(origin, job.outputs, client, watcher, fresh=job.options.fresh)
    lines = sidecar_lines(indexes)
    if not len(lines) and damaged(indexes):
        raise CutlineError(shortfall(indexes, "the table"))
    return Listed(lines, indexes, len(damaged(indexes)))


def plan_parts(job: Job, lines: pa.Table, same: Sequence[Part] = ()) -> list[Part]:
    """Freeze the plan, unless the `same` is there, and drop part files that it has no use for."""
    if not len(lines):
        raise CutlineError(f"There is no .json file in {job.source}: name another folder.")
    job.outputs.make_folders()
    parts = list(same) or write_plan(lines, job.options.partition_size, job.outputs)
    names = {store.part_name(part.index) for part in parts}
    for name in os.listdir(job.outputs.parts):
        if store.is_part_name(name) and name not in names:
            store.remove(f"{job.outputs.parts}/{name}")
    return parts


def drop_rejects(job: Job, done: list[Receipt]) -> None:
    """Remove the rejects of parts that will be made anew, or are no more."""
    outputs = job.outputs
    kept = {outputs.part_rejects(receipt.index, receipt.digest) for receipt in done}
    for name in os.listdir(outputs.rejects):
        if f"{outputs.rejects}/{name}" not in kept:
            store.remove(f"{outputs.rejects}/{name}")


def space_to_finish(outputs: store.Outputs) -> int:
    """Estimate what the parts that are missing take, in bytes, and then the table.

    By the parts that are done; a table is about as large as all of its parts together.
    """
    try:
        sizes = [entry.stat().st_size for entry in os.scandir(outputs.parts)]
    except OSError:  # it was asked because of another one, which is what the user has to hear of
        return 0
    left = max(0, 2 * len(read_plan(outputs.plan)) - len(sizes))
    return left * sum(sizes) // max(len(sizes), 1)


def check_columns(receipts: list[Receipt], options: CompileOptions) -> None:
    """Refuse an extra column whose field no record has: its name is likely wrong."""
    rows = sum(receipt.rows for receipt in receipts)
    for index, (name, field) in enumerate(options.rules.columns):
        if rows and not any(receipt.column_values[index] for receipt in receipts):
            raise CutlineError(
                f"No record has a field {field!r} for the column {name!r}: correct --column."
            )
