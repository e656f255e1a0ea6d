"""Sidecars to parts: the stage of a compile that a million records pass.

The driver on top wires the bag; the small functions below it run on a worker, one task a part, as a
stream: read, judge, write.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from time import perf_counter
from typing import TypeAlias

import dask.bag as db
from distributed import Client
from distributed.metrics import context_meter

from cutline import events, parts, watch
from cutline.errors import CutlineError
from cutline.ordinary import judge_by
from cutline.parts import Job
from cutline.plan import Part, Receipt, Timing, digest, shown_source
from cutline.records import Outcome, Reject, Rules
from cutline.resume import kept_receipt
from cutline.running import DeadlyTaskError, results
from cutline.sidecars import Sidecar

Stream: TypeAlias = tuple[Part, Iterator[Sidecar]]
"""One element of the bag: a part, and its sidecars as they are read."""

JudgedStream: TypeAlias = tuple[Part, Iterator[parts.Judged]]
"""And then what they are judged to be; a part in each tuple of a sidecar would cost 0.3 us more."""


def make_parts(
    job: Job, missing: list[Part], client: Client | None, watcher: watch.Watcher
) -> list[Receipt]:
    """Read, judge and write the parts that are missing."""
    if not missing:
        return []
    load = watch.Load(sum(part.sidecars for part in missing), "sidecars")
    try:
        return list(results(rows_bag(job, missing), client, watcher, load))
    except DeadlyTaskError as error:
        raise CutlineError(deadly(missing[error.partitions[0]], len(error.partitions))) from error


def deadly(part: Part, count: int) -> str:
    """Name a part that kills workers."""
    paths = part.lines()["path"]
    first, last = (shown_source(part.shard, paths[place].as_py()) for place in (0, -1))
    others = f" and {count - 1} more parts have" if count > 1 else " has"
    return (
        f"Part {part.index}, from {first} to {last},{others} killed each worker that tried, and all"
        " other parts are done and kept: give the workers more memory, or take out the sidecar that"
        " does it, and run this again."
    )


def rows_bag(job: Job, missing: list[Part]) -> db.Bag:
    """Wire the bag: sidecars, then rows and rejects, then a receipt a part.

    The steps fuse to one task a part, through which the sidecars stream. A reject travels as a
    value, and not through `filter`: the writer counts it, and hears of a part that has no row.
    """
    sidecars = db.from_sequence(missing, partition_size=1).map(read_sidecars, job=job)
    judged = sidecars.map(judge_sidecars, rules=job.options.rules)
    stale = {part.index for part in missing if os.path.exists(job.outputs.part(part.index))}
    receipts: db.Bag = judged.map_partitions(write_parts, job, stale, token="compile-rows")
    return receipts


# On a worker from here on.


def read_sidecars(part: Part, job: Job) -> Stream:
    """Read the sidecars of a part, one by one as they are asked for."""
    with context_meter.meter("list"):
        lines = part.lines()
    return part, job.source.read(lines)


def judge_sidecars(stream: Stream, rules: Rules) -> JudgedStream:
    """Decide what each sidecar of a part is, one by one as they are asked for."""
    part, sidecars = stream
    return part, judge_each(sidecars, rules)


def judge_each(sidecars: Iterable[Sidecar], rules: Rules) -> Iterator[parts.Judged]:
    """Decide what each sidecar is, if it could be read."""
    judge = judge_by(rules)
    reading = judging = 0.0
    size = 0
    asked = perf_counter()
    for path, data, stamp in sidecars:
        had = perf_counter()
        if isinstance(data, Reject):
            outcome: Outcome = data
        else:
            size += len(data)
            outcome = judge(path, data)
        # Two looks at the clock a sidecar, and the sum of sizes: 0.14 us. What the writer does
        # with the one before, which is to append it to lists, counts as reading.
        knew = perf_counter()
        reading += had - asked
        judging += knew - had
        yield path, outcome, stamp
        asked = knew
    context_meter.digest_metric("read", reading, "seconds")
    context_meter.digest_metric("judge", judging, "seconds")
    context_meter.digest_metric("read", size, "bytes")


def write_parts(streams: Iterable[JudgedStream], job: Job, stale: set[int]) -> list[Receipt]:
    """Write the rejects and rows of each part, and give its receipt.

    A worker that is lost takes its results with it, and Dask has all of its tasks done again, even
    those whose results had been taken. So a part that is there, and was not when the stage began,
    is made already.
    """
    return [
        made_before(part, job, stale) or write_part(part, judged, job) for part, judged in streams
    ]


def made_before(part: Part, job: Job, stale: set[int]) -> Receipt | None:
    """Give the receipt of a part that a task before this one has made."""
    return None if part.index in stale else kept_receipt(part, job)


def write_part(part: Part, judged: Iterable[parts.Judged], job: Job) -> Receipt:
    """Collect what a part came to, publish it, and tell of it."""
    began = perf_counter()
    sheet = parts.Sheet()
    sheet.fill(judged, part.shard)
    with context_meter.meter("write"):
        receipt = publish_part(part, sheet, job)
    seconds = perf_counter() - began
    done = events.Done(
        task=f"part {part.index:05}",
        amount=receipt.sidecars,
        made={"rows": receipt.rows},
        rejects=receipt.rejects,
        seconds=seconds,
        examples=sheet.examples(),
    )
    events.count(done)
    events.tell(done)
    ends = [shown_source(part.shard, sheet.paths[place]) for place in (0, -1)]
    timing = Timing(receipt.index, receipt.digest, receipt.sidecars, seconds, *ends)
    return replace(receipt, timing=timing)


def publish_part(part: Part, sheet: parts.Sheet, job: Job) -> Receipt:
    """Publish the rejects of a part, then its rows with the receipt in their footer."""
    rows = sheet.rows(job.options)
    receipt = Receipt(
        index=part.index,
        digest=digest(sheet.paths, sheet.stamps, job.options.identity()),
        rows=len(rows),
        rejects=sheet.reject_counts(),
        stem_mismatches=sheet.stem_mismatches,
        column_values=tuple(len(rows) - column.null_count for column in rows.columns[4:]),
    )
    parts.publish(job.outputs, receipt, rows, sheet.rejects)
    return receipt
