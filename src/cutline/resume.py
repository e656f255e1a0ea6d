"""What a run before this one has done, and need not be done again.

Its parts are looked at by the plan that it left, and meanwhile the source is listed: both take
about as long, and wait for different things. A receipt holds if nothing that the part was made from
has changed, and if the new plan has the same sidecars in the same part.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
from distributed import Client

from cutline import events, parts, watch
from cutline.parquet import UNSOUND
from cutline.parts import Job
from cutline.plan import Part, Receipt, Stamp, digest, pieces, read_plan, read_receipt
from cutline.running import bag_of, sent, things_a_task
from cutline.sidecars import Source


@dataclass(frozen=True, slots=True)
class Before:
    """What the run before has left: its plan, and the receipts of parts that have not changed."""

    planned: list[Part]
    found: Iterator[Receipt]
    partition_size: int

    def receipts(self, lines: pa.Table) -> list[Receipt]:
        """Wait for the receipts that hold for a plan of these lines."""
        now = list(pieces(lines, self.partition_size))
        return [
            receipt
            for receipt in self.found
            if receipt.index < len(now)
            and now[receipt.index].equals(self.planned[receipt.index].lines())
        ]

    def plan_of(self, lines: pa.Table, held: list[Receipt]) -> list[Part]:
        """Give the plan if it is also that of these lines, because all of its receipts hold."""
        covered = sum(part.sidecars for part in self.planned)
        same = len(held) == len(self.planned) and covered == len(lines)
        return self.planned if same else []


@contextmanager
def look(job: Job, client: Client | None, watcher: watch.Watcher) -> Iterator[Before]:
    """Look at the parts that are there, while the block runs."""
    planned = [] if job.options.fresh else read_plan(job.outputs.plan)
    there = [part for part in planned if os.path.exists(job.outputs.part(part.index))]
    if not there:
        yield Before(planned, iter(()), job.options.partition_size)
        return
    each = things_a_task(len(there), client)
    bag = bag_of(there, check_parts, job, stage="check-parts", each=each)
    with sent(bag, client, watcher) as found:
        yield Before(planned, found, job.options.partition_size)


# On a worker from here on.


def check_parts(suspects: Iterable[Part], job: Job) -> list[Receipt]:
    """Give the receipts of those parts that need not be made again."""
    suspects = list(suspects)
    kept = [receipt for part in suspects if (receipt := kept_receipt(part, job))]
    events.tell(checked(suspects, kept))
    return kept


def kept_receipt(part: Part, job: Job) -> Receipt | None:
    """Give the receipt of a part if it need not be made again."""
    receipt = read_receipt(job.outputs.part(part.index), part.index)
    if receipt is None or not parts.has_rejects(job.outputs, receipt):
        return None
    try:
        lines = part.lines()
        lines.validate(full=True)
        stamps = job.source.stamps(lines)
    except UNSOUND:
        return None
    if receipt.digest != digest(
        lines["path"].to_pylist(), [*chain(*stamps)], job.options.identity()
    ):
        return None
    return None if may_be_readable(receipt, job.source, stamps) else receipt


def may_be_readable(receipt: Receipt, source: Source, stamps: Sequence[Stamp]) -> bool:
    """Tell whether a sidecar that could not be read, though it looked well, may be readable now."""
    count = receipt.rejects.get("unreadable")
    return count is not None and count > sum(map(source.is_unreadable, stamps))


def checked(suspects: list[Part], kept: list[Receipt]) -> events.Done:
    """Say what is to be told of parts: which need not be made again, and how many have to."""
    made = Counter({"parts to make again": len(suspects) - len(kept)})
    rejects = Counter[str]()
    for receipt in kept:
        made["rows kept"] += receipt.rows
        rejects.update(receipt.rejects)
    return events.Done(
        task=f"parts {suspects[0].index:05} to {suspects[-1].index:05}",
        amount=sum(part.sidecars for part in suspects),
        made=dict(+made),
        rejects=dict(rejects),
        seconds=0,
    )
