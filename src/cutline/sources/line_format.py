"""The format of a listing: a line a sidecar."""

from typing import Final, TypeAlias

import pyarrow as pa

from cutline.record import texts

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


def shown_source(shard: str | None, path: bytes) -> str:
    """Name a sidecar in the ledger: by its path in the source."""
    return texts.shown_path(path) if shard is None else f"{shard}/{texts.shown_path(path)}"


def lines_of(
    paths: pa.Array, sizes: pa.Array | None = None, stamps: pa.Array | None = None
) -> pa.Table:
    """Make a listing of loose files; what it does not tell is null."""
    columns = {"path": paths, "size": sizes, "stamp": stamps}
    told = {name: column for name, column in columns.items() if column is not None}
    nulls = {field.name: pa.nulls(len(paths), field.type) for field in LINES}
    return pa.table({**nulls, **told}, LINES)
