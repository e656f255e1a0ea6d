"""The format of a listing: a line a sidecar."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
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

WIDE: Final = 2**26
"""Bytes that a listing may take as strings of one width; the real dataset's takes 2**25."""

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


def sorted_paths(paths: list[bytes]) -> pa.Array:
    """Sort paths, none of which has a NUL, into an array, without duplicates.

    Some file systems list a name again that is replaced meanwhile. As numpy's strings of one width
    a path among a million costs 0.4 us; a sorted list made into an array costs 0.9.
    """
    width = max(map(len, paths), default=0)
    if width * len(paths) > WIDE:  # a few long paths would make all as wide
        return pa.array(sorted(set(paths)), pa.binary())
    table = np.array(paths, "S")
    table.sort()
    again = table[1:] == table[:-1]
    if again.any():
        table = np.delete(table, np.flatnonzero(again))
    lengths = np.char.str_len(table)
    used = np.arange(table.itemsize) < lengths[:, np.newaxis]
    data = table.view(np.uint8).reshape(used.shape)[used]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers).cast(pa.binary())


def lines_of(
    paths: pa.Array, sizes: pa.Array | None = None, stamps: pa.Array | None = None
) -> pa.Table:
    """Build a listing of loose files; columns that are not given are null."""
    columns = {"path": paths, "size": sizes, "stamp": stamps}
    told = {name: column for name, column in columns.items() if column is not None}
    nulls = {field.name: pa.nulls(len(paths), field.type) for field in LINES}
    return pa.table({**nulls, **told}, LINES)
