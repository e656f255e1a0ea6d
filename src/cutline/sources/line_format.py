"""The format of a listing: a line a sidecar."""

from collections.abc import Callable
from typing import Final, TypeAlias

import pyarrow as pa

from cutline.record import Reject, judging, texts

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
"""A line of a listing: where a sidecar is, and what the listing says of it at no cost.

`path` is relative to the source and ``/``-separated, in the bytes of the file system; `size` is in
bytes; `stamp` is an ETag or a time of modification. The last two are null where asking would
cost a call a file, as on a local disk; there the worker of each part asks.

In a shard, `path` is the member's, `stamp` is the shard's, its bytes are at `offset` of `shard`,
and `fault` says why they cannot be read, if so. The last three are null for loose files.
"""

Stamp: TypeAlias = tuple[int | str | None, ...]
"""What changes when a sidecar does.

Local file: mode, size, and the times of modification, which tar and cp set, and of change, which
nobody can set. Behind a URL: size and ETag. In a shard: the shard, the shard's stamp, and why the
sidecar cannot be read.
"""

Sidecar: TypeAlias = tuple[bytes, bytes | Reject, Stamp]
"""A sidecar's path, its bytes or why it cannot be read, and its stamp from before it was read.

A plain tuple: a million of them pass, and a named one costs 0.25 us more.
"""

PicturedSidecar: TypeAlias = tuple[bytes, bytes | judging.Pictured | Reject, Stamp]
"""The same where the bytes may come with the image that is beside."""

Head: TypeAlias = Callable[[bytes, int | None, int], bytes]
"""Reads the beginning of a file by its path, its offset in a shard, and how many bytes to read.

What cannot be read is empty.
"""


def shown_source(shard: str | None, path: bytes) -> str:
    """Return a sidecar's path in the source, as the ledger has it."""
    return texts.shown_path(path) if shard is None else f"{shard}/{texts.shown_path(path)}"


def lines_of(
    paths: pa.Array, sizes: pa.Array | None = None, stamps: pa.Array | None = None
) -> pa.Table:
    """Build a listing of loose files; columns that are not given are null."""
    columns = {"path": paths, "size": sizes, "stamp": stamps}
    told = {name: column for name, column in columns.items() if column is not None}
    nulls = {field.name: pa.nulls(len(paths), field.type) for field in LINES}
    return pa.table({**nulls, **told}, LINES)
