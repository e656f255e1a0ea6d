"""The receipt of a part: what it was made from, and what came of it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import msgspec
import orjson

from cutline.plan import ledger
from cutline.plan.plan_file import Part
from cutline.progress import events
from cutline.sources import Source, line_format
from cutline.store import TableFiles, TableStore, parquet

FORMAT: Final = 3
"""The version of the part files; a part of another version is made anew."""

RECEIPT_KEY: Final = b"cutline"


class Timing(msgspec.Struct, frozen=True):
    """How long it took to make one part, from its first sidecar to its last."""

    index: int
    digest: str
    sidecars: int
    seconds: float
    first: str
    last: str

    @property
    def rate(self) -> float:
        """Sidecars a second."""
        return self.sidecars / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one part: its counts, and the digest of what it was made from.

    The footer of the part's file holds it, so that one atomic object says both what and whether.
    `timing` comes from the worker that made the part and is in no footer, whose bytes are to be the
    same each time.
    """

    index: int
    digest: str
    rows: int
    rejects: dict[str, int]
    stem_mismatches: int
    column_values: tuple[int, ...]
    timing: Timing | None = field(default=None, compare=False)

    @property
    def sidecars(self) -> int:
        """How many sidecars went in."""
        return self.rows + sum(self.rejects.values())

    def footer(self) -> dict[bytes, bytes]:
        """Write the receipt as metadata of a parquet file."""
        own = {"index", "timing"}
        body = {name: getattr(self, name) for name in self.__slots__ if name not in own}
        return {RECEIPT_KEY: json.dumps({"format": FORMAT, **body}).encode()}


def read_receipt(store: TableStore, path: str, index: int) -> Receipt | None:
    """Read the receipt of a part's file, or None if there is none of this format."""
    try:
        footer = (parquet.footer_of(store, path).metadata or {}).get(RECEIPT_KEY, b"")
        body = msgspec.json.decode(footer, type=dict[str, Any])
        receipt = msgspec.convert({**body, "index": index}, Receipt)
    except parquet.UNSOUND:
        return None
    return receipt if receipt.footer()[RECEIPT_KEY] == footer else None


def digest(paths: Sequence[bytes], stamps: Sequence[int | str | None], options: bytes) -> str:
    """Digest what a part is made from.

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
    for piece in (b"\0".join(paths), seen):
        state.update(b"%d:" % len(piece))
        state.update(piece)
    return state.hexdigest()


def has_rejects(files: TableFiles, receipt: Receipt) -> bool:
    """Return whether the rejects of a part are there, which somebody may have removed."""
    if not receipt.rejects:
        return True
    try:
        path = files.part_rejects(receipt.index, receipt.digest)
        metadata = parquet.footer_of(files.store, path)
    except parquet.UNSOUND:
        return False
    as_told = metadata.num_rows == sum(receipt.rejects.values())
    return bool(as_told and metadata.schema.to_arrow_schema() == ledger.REJECTS)


@dataclass(frozen=True, slots=True)
class PartsContext:
    """What decides whether a part has to be made: its source, its files and the options.

    `identity` is every option that changes the bytes of a part, written down.
    """

    source: Source
    files: TableFiles
    identity: bytes


# On a worker from here on.


def check_parts(suspects: Iterable[Part], context: PartsContext) -> list[Receipt]:
    """Give the receipts of those parts that need not be made again."""
    suspects = list(suspects)
    kept = [receipt for part in suspects if (receipt := kept_receipt(part, context))]
    events.tell(checked(suspects, kept))
    return kept


def kept_receipt(part: Part, context: PartsContext) -> Receipt | None:
    """Give the receipt of a part if it need not be made again."""
    files = context.files
    receipt = read_receipt(files.store, files.part(part.index), part.index)
    if receipt is None or not has_rejects(files, receipt):
        return None
    try:
        lines = part.lines()
        lines.validate(full=True)
        stamps = context.source.stamps(lines)
    except parquet.UNSOUND:
        return None
    if receipt.digest != digest(lines["path"].to_pylist(), [*chain(*stamps)], context.identity):
        return None
    return None if may_be_readable(receipt, context.source, stamps) else receipt


def may_be_readable(receipt: Receipt, source: Source, stamps: Sequence[line_format.Stamp]) -> bool:
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
