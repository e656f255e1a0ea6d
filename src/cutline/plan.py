"""The plan of a compile: the frozen listing cut into parts, and what each part came to.

The plan is a file on the shared storage, one row group a part, so that a task carries only where
its part is: a million paths in a Dask graph would be 49 MB, against Dask's warning at 10.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import Any, Final, TypeAlias

import msgspec
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cutline import store
from cutline.parquet import UNSOUND
from cutline.records import shown_path

FORMAT: Final = 3
"""The version of the part files; a part of another version is made anew."""

LINES: Final = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),
        pa.field("size", pa.int64()),
        pa.field("stamp", pa.string()),
        pa.field("shard", pa.string()),
        pa.field("offset", pa.int64()),
        pa.field("fault", pa.string()),
    ]
)
"""A line of a listing: where a sidecar is, and what of it the listing told at no cost.

`path` is relative to the source and ``/``-separated, in the bytes of the file system; `size` is in
bytes; `stamp` is an ETag or a time of modification. The last two are null where asking for them
would cost a call a file, as on a local disk: there each part's worker asks.

In a shard, `path` is the member's, `stamp` is the shard's, its bytes are at `offset` of `shard`,
and `fault` says why they cannot be read, if so. The last three are null for loose files.
"""

Stamp: TypeAlias = tuple[int | str | None, ...]
"""What tells that a sidecar has changed.

Of a local file mode, size and the times of modification and of change, of which tar and cp set the
first to what they like and nobody sets the second; of one behind a URL size and ETag; of one in a
shard the shard, that one's stamp, and why it cannot be read.
"""

RECEIPT_KEY: Final = b"cutline"


@dataclass(frozen=True, slots=True)
class Part:
    """Where to find one part of the plan: a row group of the plan's file, of one shard if any."""

    plan: str
    index: int
    sidecars: int
    shard: str | None = None

    def lines(self) -> pa.Table:
        """Read the part's lines."""
        footer = plan_footer(self.plan, store.version_of(self.plan))
        with pq.ParquetFile(self.plan, metadata=footer) as plan:
            return plan.read_row_group(self.index)


@lru_cache(1)  # of 1,160 parts it takes 20 ms to read, and a part's lines 1
def plan_footer(path: str, version: store.Version) -> pq.FileMetaData:  # noqa: ARG001
    """Read the footer of a version of a plan, which has an entry for each part."""
    return pq.read_metadata(path)


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


def read_receipt(path: str, index: int) -> Receipt | None:
    """Read the receipt of a part's file, or None if there is none of this format."""
    try:
        footer = (pq.read_metadata(path).metadata or {}).get(RECEIPT_KEY, b"")
        body = msgspec.json.decode(footer, type=dict[str, Any])
        receipt = msgspec.convert({**body, "index": index}, Receipt)
    except UNSOUND:
        return None
    return receipt if receipt.footer()[RECEIPT_KEY] == footer else None


def write_plan(lines: pa.Table, partition_size: int, outputs: store.Outputs) -> list[Part]:
    """Freeze a listing as the plan's file, at most `partition_size` lines a part.

    No part is of two shards: a shard that has changed costs its own parts and no other.
    """
    parts: list[Part] = []
    with (
        store.publish(outputs.plan, outputs.staging) as file,
        pq.ParquetWriter(file, LINES, use_dictionary=["stamp", "shard", "fault"]) as plan,
    ):
        for piece in pieces(lines, partition_size):
            plan.write_table(piece, row_group_size=len(piece))
            parts.append(Part(outputs.plan, len(parts), len(piece), piece["shard"][0].as_py()))
    return parts


def read_plan(path: str) -> list[Part]:
    """Read which parts a plan has; none if it is damaged, of another version, or not there."""
    try:
        with pq.ParquetFile(path) as plan:
            if plan.schema_arrow != LINES:
                return []
            shards = plan.read(["shard"])["shard"].to_pylist()
            groups = [plan.metadata.row_group(index) for index in range(plan.num_row_groups)]
    except UNSOUND:
        return []
    sizes = [group.num_rows for group in groups]
    if sum(sizes) != len(shards) or not all(sizes):
        return []
    starts = accumulate(sizes, initial=0)
    return [
        Part(path, index, size, shards[start])
        for index, (size, start) in enumerate(zip(sizes, starts, strict=False))
    ]


def pieces(lines: pa.Table, partition_size: int) -> Iterator[pa.Table]:
    """Cut a listing into those of its parts."""
    for start, stop in pairwise(cuts(lines["shard"], partition_size)):
        yield lines.slice(start, stop - start)


def cuts(shards: pa.ChunkedArray, partition_size: int) -> list[int]:
    """Say where lines are cut: where another shard begins, and after `partition_size` lines."""
    ends = [0, *pc.run_end_encode(shards.combine_chunks()).run_ends.to_pylist()]
    spans = (range(start, stop, partition_size) for start, stop in pairwise(ends))
    return [*chain.from_iterable(spans), len(shards)]


def shown_source(shard: str | None, path: bytes) -> str:
    """Name a sidecar in the ledger: by its path in the source."""
    return shown_path(path) if shard is None else f"{shard}/{shown_path(path)}"


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


def missing(parts: list[Part], done: list[Receipt]) -> list[Part]:
    """Say which parts are left to do."""
    finished = {receipt.index for receipt in done}
    return [part for part in parts if part.index not in finished]
