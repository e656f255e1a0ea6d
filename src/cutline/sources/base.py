"""What every source gives: a sidecar's bytes, or why there are none, and what it was like."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from cutline.errors import said
from cutline.record import TOO_LARGE, Reject
from cutline.sources.line_format import Stamp

CONCURRENT_READS: Final = 32
"""Reads asked for at once from a file system that is not local: latency is what costs there."""

BATCH_BYTES: Final = 2**26
"""What one batch of concurrent reads may hold in memory."""

UNTOLD: Final = 2**20
"""Bytes that a sidecar counts for in its batch whose size nobody tells: few have so many."""

STAMPS: Final = (
    *("ETag", "etag", "Content-MD5", "blob_id", "xet_hash", "mtime", "LastModified"),
    *("Last-Modified", "last_modified", "updated", "created"),
)
"""Under which names the file systems of fsspec tell that a file has changed; the best come first.
"""

Sidecar: TypeAlias = tuple[bytes, bytes | Reject, Stamp]
"""A sidecar's path, its bytes or why it cannot be read, and its stamp from before it was read.

A plain tuple: a million of them pass, and a named one costs 0.25 us more.
"""

Sized = TypeVar("Sized", bound=tuple[Any, ...])


class Source(Protocol):
    """A place that holds sidecars; it travels to the workers, so it is small."""

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Look at the sidecars of some lines: the stamps that `read` would give."""

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Tell from its stamp that a sidecar cannot be read."""

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines."""


def is_sidecar(path: Sequence[bytes]) -> bool:
    """Tell by the components of its path whether a file is a sidecar, as `walk_folder` finds them.

    Hidden ones are none, and a folder named ``x.json`` is itself one, which cannot be read.
    """
    *folders, name = path
    hidden = any(part.startswith(b".") and part != b".." for part in path)
    named = name.endswith(b".json") and not any(part.endswith(b".json") for part in folders)
    return named and not hidden


def too_large(size: int) -> Reject:
    """Reject a sidecar that is too large."""
    return Reject("too_large", f"{size:,} bytes are more than {TOO_LARGE:,}")


def unreadable(error: Exception) -> Reject:
    """Say why a sidecar cannot be read, without this machine's paths."""
    return Reject("unreadable", said(error))


def stamp(info: dict[str, Any]) -> str | None:
    """Take from an fsspec listing what tells that a file has changed."""
    return next((str(info[name]) for name in STAMPS if info.get(name) is not None), None)


def batches(items: Iterable[Sized]) -> Iterator[list[Sized]]:
    """Cut items into batches that fit in memory; the second field of each is its size."""
    batch: list[Sized] = []
    held = 0
    for item in items:
        batch.append(item)
        held += min(TOO_LARGE, max(0, UNTOLD if item[1] is None else item[1]))
        if held >= BATCH_BYTES or len(batch) >= 8 * CONCURRENT_READS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
