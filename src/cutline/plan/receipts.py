"""The receipt of a part: what it was made from, and what came of it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import chain
from operator import attrgetter
from typing import Any, Final

import msgspec
import orjson

from cutline.plan import ledger
from cutline.plan.plan_file import Part
from cutline.progress import events
from cutline.sources import Source, line_format
from cutline.store import TableFiles, TableStore, parquet

FORMAT: Final = 4
"""The version of the part files; a part of another version is made anew."""

RECEIPT_KEY: Final = b"cutline"

SHOWN: Final = 5
"""How many of the slowest and of the fastest parts are shown."""


class Timing(msgspec.Struct, frozen=True):
    """How long it took to make one part, from its first sidecar to its last, and who made it."""

    index: int
    digest: str
    sidecars: int
    seconds: float
    first: str
    last: str
    worker: str = ""

    @property
    def rate(self) -> float:
        """Sidecars a second."""
        return self.sidecars / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one part: its counts, and the digest of what it was made from.

    It is in the footer of the part's file, so that a part and its receipt appear together or not at
    all. `timing` comes from the worker that made the part; it is not in the footer, because the
    bytes of a part must be the same each time.

    `stem_mismatches` and `column_values` are of all rows that the sidecars gave. If the merge has
    made some of these duplicates, `settled` is the digest of all parts up to this one: the rows
    that were kept instead are in those.
    """

    index: int
    digest: str
    rows: int
    rejects: dict[str, int]
    stem_mismatches: int
    column_values: tuple[int, ...]
    settled: str = ""
    timing: Timing | None = field(default=None, compare=False)

    @property
    def sidecars(self) -> int:
        """The number of sidecars that the part was made from."""
        return self.rows + sum(self.rejects.values())

    def footer(self) -> dict[bytes, bytes]:
        """Return the receipt as metadata of a parquet file."""
        own = {"index", "timing"}
        body = {name: getattr(self, name) for name in self.__slots__ if name not in own}
        return {RECEIPT_KEY: json.dumps({"format": FORMAT, **body}).encode()}


def read_receipt(store: TableStore, path: str, index: int) -> Receipt | None:
    """Read the receipt of a part's file; None if there is none of this format."""
    try:
        footer = (parquet.footer_of(store, path).metadata or {}).get(RECEIPT_KEY, b"")
        body = msgspec.json.decode(footer, type=dict[str, Any])
        receipt = msgspec.convert({**body, "index": index}, Receipt)
    except parquet.UNSOUND:
        return None
    return receipt if receipt.footer()[RECEIPT_KEY] == footer else None


def digest(paths: Sequence[bytes], stamps: Sequence[int | str | None], options: bytes) -> str:
    """Return a digest of what a part is made from.

    Parameters
    ----------
    paths
        The paths of its sidecars, in order.
    stamps
        Their stamps, one after the other.
    options
        Every option that changes the bytes of the part.
    """
    try:
        seen = orjson.dumps(stamps)
    except orjson.JSONEncodeError:  # some file systems keep times after the year 2554
        seen = json.dumps(stamps).encode()
    state = hashlib.blake2b(options, digest_size=20)
    for data in (b"\0".join(paths), seen):
        state.update(b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()


def prefixes(receipts: Iterable[Receipt]) -> Iterator[str]:
    """Yield for each receipt, in order, the digest of all parts up to its own."""
    state = hashlib.blake2b(digest_size=20)
    for receipt in receipts:
        state.update(receipt.digest.encode())
        yield state.hexdigest()


def still_settled(held: list[Receipt]) -> list[Receipt]:
    """Return the receipts, in order, whose duplicates are duplicates still.

    A row that was kept in their place may be gone if any part up to theirs is not as it was.
    """
    held = sorted(held, key=lambda receipt: receipt.index)
    return [
        receipt
        for place, (receipt, prefix) in enumerate(zip(held, prefixes(held), strict=True))
        if not receipt.settled or (receipt.index, receipt.settled) == (place, prefix)
    ]


@dataclass(frozen=True, slots=True)
class PartsContext:
    """What decides whether a part has to be made: its source, its files and the options.

    `identity` is every option that changes the bytes of a part, written down.
    """

    source: Source
    files: TableFiles
    identity: bytes


def keep_timings(files: TableFiles, receipts: list[Receipt]) -> None:
    """Publish how long each part took; a part that was used again keeps its timing.

    A part has none if the run that made it was stopped before it got here.
    """
    before = {(timing.index, timing.digest): timing for timing in read_timings(files)}
    each = (one.timing or before.get((one.index, one.digest)) for one in receipts)
    with files.store.publish(files.timings) as file:
        file.write(msgspec.json.encode([timing for timing in each if timing]))


def read_timings(files: TableFiles) -> list[Timing]:
    """Read the timings of the parts, as far as they are known."""
    try:
        with files.store.open(files.timings) as file:
            return msgspec.json.decode(file.read(), type=list[Timing])
    except (FileNotFoundError, ValueError):  # damaged: it may not even be UTF-8
        return []


def slowest(timings: list[Timing]) -> list[Timing]:
    """Return the parts that took the longest, the slowest first."""
    return nlargest(SHOWN, timings, key=attrgetter("seconds"))


def fastest(timings: list[Timing]) -> list[Timing]:
    """Return the parts that did the most sidecars a second, except the slowest.

    Those of the fewest seconds would be the ends of shards, which hold hardly anything.
    """
    slow = slowest(timings)
    return nlargest(SHOWN, (one for one in timings if one not in slow), key=attrgetter("rate"))


# On a worker from here on.


def check_parts(suspects: Iterable[Part], context: PartsContext) -> list[Receipt]:
    """Return the receipts of those parts that need not be made again."""
    suspects = list(suspects)
    kept = [receipt for part in suspects if (receipt := kept_receipt(part, context))]
    events.tell(_checked(suspects, kept))
    return kept


def kept_receipt(part: Part, context: PartsContext) -> Receipt | None:
    """Return the receipt of a part if it need not be made again."""
    files = context.files
    receipt = read_receipt(files.store, files.part(part.index), part.index)
    if receipt is None or not _has_rejects(files, receipt):
        return None
    try:
        lines = part.lines()
        lines.validate(full=True)
        stamps = context.source.stamps(lines)
    except parquet.UNSOUND:
        return None
    if receipt.digest != digest(lines["path"].to_pylist(), [*chain(*stamps)], context.identity):
        return None
    return None if _may_be_readable(receipt, context.source, stamps) else receipt


def _has_rejects(files: TableFiles, receipt: Receipt) -> bool:
    """Return whether the rejects of a part are there; somebody may have removed them."""
    if not receipt.rejects:
        return True
    try:
        path = files.part_rejects(receipt.index, receipt.digest)
        metadata = parquet.footer_of(files.store, path)
    except parquet.UNSOUND:
        return False
    whole = metadata.num_rows == sum(receipt.rejects.values())
    return bool(whole and metadata.schema.to_arrow_schema() == ledger.REJECTS)


def _may_be_readable(receipt: Receipt, source: Source, stamps: Sequence[line_format.Stamp]) -> bool:
    """Return whether a read failed though the stamp was good; it may succeed now."""
    count = receipt.rejects.get("unreadable")
    return count is not None and count > sum(map(source.is_unreadable, stamps))


def _checked(suspects: list[Part], kept: list[Receipt]) -> events.Done:
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
