"""Sidecars to parts: the stage of a compile that a million records pass.

The driver comes first and wires the bag; the functions below it run on a worker, one task a part,
as a stream: read, judge, write.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from time import perf_counter
from typing import TypeAlias

import dask.bag as db
from distributed import Client
from distributed.metrics import context_meter

from cutline.cluster import running, worker_checks
from cutline.errors import CutlineError
from cutline.plan import Receipt, plan_file, receipts
from cutline.progress import Load, Watcher, events
from cutline.record import Reject, Rules, judging
from cutline.sources import line_format
from cutline.table import part_files, unread_on_worker
from cutline.table.part_files import CompileContext

Stream: TypeAlias = tuple[plan_file.Part, Iterator[line_format.PicturedSidecar]]
"""One element of the bag: a part, and its sidecars as they are read."""

JudgedStream: TypeAlias = tuple[plan_file.Part, Iterator[part_files.Judged]]
"""The same once judged; a part in the tuple of each sidecar would cost 0.3 us more."""


def make_parts(
    context: CompileContext, missing: list[plan_file.Part], client: Client | None, watcher: Watcher
) -> list[Receipt]:
    """Read, judge and write the parts that are missing; return their receipts.

    A part with sidecars that its worker could not read, and this process can, is made again.

    Raises
    ------
    CutlineError
        A part has killed each worker that tried it, or no worker can read what this process can.
    """
    made: dict[int, Receipt] = {}
    rounds = 0
    while missing:
        made |= {receipt.index: receipt for receipt in _make(context, missing, client, watcher)}
        again = unread_on_worker.unread_of(context, missing, made) if client else []
        rounds += 1
        unread_on_worker.blame(again, context, rounds)
        missing = [one.part for one in again]
    return list(made.values())


def _make(
    context: CompileContext, missing: list[plan_file.Part], client: Client | None, watcher: Watcher
) -> list[Receipt]:
    load = Load(sum(part.sidecars for part in missing), "sidecars")
    try:
        return list(running.results(rows_bag(context, missing), client, watcher, load))
    except running.DeadlyTaskError as error:
        raise CutlineError(_deadly(missing[error.partitions[0]], len(error.partitions))) from error


def _deadly(part: plan_file.Part, count: int) -> str:
    paths = part.lines()["path"]
    first, last = (line_format.shown_source(part.shard, paths[place].as_py()) for place in (0, -1))
    others = f" and {count - 1} more parts have" if count > 1 else " has"
    return (
        f"Part {part.index}, from {first} to {last},{others} killed each worker that tried, and all"
        " other parts are done and kept: give the workers more memory, or take out the sidecar that"
        " does it, and run this again."
    )


def rows_bag(context: CompileContext, missing: list[plan_file.Part]) -> db.Bag:
    """Build the bag: sidecars, then rows and rejects, then a receipt a part.

    The steps fuse to one task a part, through which the sidecars stream. A reject is a value, and
    not dropped by `filter`: the writer counts it, and a part without a row has its receipt too.
    """
    sidecars = db.from_sequence(missing, partition_size=1).map(read_sidecars, context=context)
    judged = sidecars.map(judge_sidecars, rules=context.options.rules)
    names = context.files.store.sizes(context.files.parts)
    stale = {part.index for part in missing if context.files.part_name(part.index) in names}
    written: db.Bag = judged.map_partitions(write_parts, context, stale, token="compile-rows")
    return written


# On a worker from here on.


def read_sidecars(part: plan_file.Part, context: CompileContext) -> Stream:
    """Read the sidecars of a part, one at a time on demand."""
    with context_meter.meter("list"):
        lines = part.lines()
    return part, context.source.read(lines)


def judge_sidecars(stream: Stream, rules: Rules) -> JudgedStream:
    """Judge the sidecars of a part, one at a time on demand."""
    part, sidecars = stream
    return part, _judge_each(sidecars, rules)


def _judge_each(
    sidecars: Iterable[line_format.PicturedSidecar], rules: Rules
) -> Iterator[part_files.Judged]:
    judge = judging.judge_by(rules)
    reading_time = judging_time = 0.0
    size = 0
    asked = perf_counter()
    for path, data, stamp in sidecars:
        had = perf_counter()
        if isinstance(data, Reject):
            outcome: judging.Outcome = data
        else:
            size += len(data)
            outcome = judge(path, data)
        # Two readings of the clock and the sum of sizes cost 0.14 us a sidecar. What the writer
        # does meanwhile with the one before, an append to lists, counts as reading.
        knew = perf_counter()
        reading_time += had - asked
        judging_time += knew - had
        yield path, outcome, stamp
        asked = knew
    context_meter.digest_metric("read", reading_time, "seconds")
    context_meter.digest_metric("judge", judging_time, "seconds")
    context_meter.digest_metric("read", size, "bytes")


def write_parts(
    streams: Iterable[JudgedStream], context: CompileContext, stale: set[int]
) -> list[Receipt]:
    """Write the rejects and rows of each part, and return its receipt.

    When a worker is lost, Dask runs all of its tasks again, even those whose results have arrived.
    So a part that is there, and was not when the stage began, is not made again. `stale` has the
    parts that were there.
    """
    return [
        _made_before(part, context, stale) or write_part(part, judged, context)
        for part, judged in streams
    ]


def _made_before(part: plan_file.Part, context: CompileContext, stale: set[int]) -> Receipt | None:
    return None if part.index in stale else receipts.kept_receipt(part, context.parts)


def write_part(
    part: plan_file.Part, judged: Iterable[part_files.Judged], context: CompileContext
) -> Receipt:
    """Collect what a part came to, publish it, and report it."""
    began = perf_counter()
    columns = part_files.PartColumns()
    columns.fill(judged, part.shard)
    with context_meter.meter("write"):
        receipt = _publish_part(part, columns, context)
    seconds = perf_counter() - began
    done = events.Done(
        task=f"part {part.index:05}",
        amount=receipt.sidecars,
        made={"rows": receipt.rows},
        rejects=receipt.rejects,
        seconds=seconds,
        examples=columns.examples(),
    )
    events.count(done)
    events.tell(done)
    timing = receipts.Timing(
        index=receipt.index,
        digest=receipt.digest,
        sidecars=receipt.sidecars,
        seconds=seconds,
        first=line_format.shown_source(part.shard, columns.paths[0]),
        last=line_format.shown_source(part.shard, columns.paths[-1]),
        worker=worker_checks.this_worker(),
    )
    return replace(receipt, timing=timing)


def _publish_part(
    part: plan_file.Part, columns: part_files.PartColumns, context: CompileContext
) -> Receipt:
    rows = columns.rows(context.options)
    receipt = Receipt(
        index=part.index,
        digest=receipts.digest(columns.paths, columns.stamps, context.options.identity()),
        rows=len(rows),
        rejects=columns.reject_counts(),
        stem_mismatches=columns.stem_mismatches,
        column_values=tuple(len(rows) - column.null_count for column in rows.columns[4:]),
    )
    rejects = part_files.rejects_table(columns.rejects)
    part_files.publish(context.files, receipt, rows, rejects)
    return receipt
