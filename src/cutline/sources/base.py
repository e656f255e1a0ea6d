"""What every source returns: a sidecar's bytes or why it has none, and its stamp."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import pyarrow as pa

from cutline.errors import said
from cutline.record import TOO_LARGE, Reject
from cutline.sources.line_format import Head, PicturedSidecar, Stamp

STAMPS: Final = (
    *("ETag", "etag", "Content-MD5", "blob_id", "xet_hash", "mtime", "LastModified"),
    *("Last-Modified", "last_modified", "updated", "created"),
)
"""Names under which fsspec's file systems list what changes with a file; the best first."""


class Source(Protocol):
    """A place that holds sidecars; it travels to the workers, so it is small."""

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Return the stamps of the sidecars of some lines, as `read` would."""

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Return whether the stamp is that of a sidecar that cannot be read."""

    def read(self, lines: pa.Table) -> Iterator[PicturedSidecar]:
        """Read the sidecars of some lines."""

    def heads(self, lines: pa.Table) -> AbstractContextManager[Head]:
        """Open what reads the first bytes of images that are beside the sidecars of some lines."""


def too_large(size: int) -> Reject:
    """Reject a sidecar that is too large."""
    return Reject("too_large", f"{size:,} bytes are more than {TOO_LARGE:,}")


def unreadable(error: Exception) -> Reject:
    """Reject a sidecar that cannot be read, without this machine's paths."""
    return Reject("unreadable", said(error))


def stamp(info: dict[str, Any]) -> str | None:
    """Return what changes with a file, from its entry in an fsspec listing, if anything does."""
    return next((str(info[name]) for name in STAMPS if info.get(name) is not None), None)
