"""Sidecars in a folder behind an fsspec URL, read many at a time."""

import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import fsspec
import pyarrow as pa

from cutline.errors import CutlineError, said
from cutline.record import TOO_LARGE, Reject
from cutline.sources.base import (
    CONCURRENT_READS,
    Sidecar,
    batches,
    is_sidecar,
    stamp,
    too_large,
    unreadable,
)
from cutline.sources.line_format import Stamp, lines_of
from cutline.sources.remote_file import open_filesystem, refusals

NO_FILE: Final = -1
"""What stands for the size of something that is no file, such as a pipe, in a remote listing."""


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of sidecars behind an fsspec URL, read many at a time."""

    url: str

    def __str__(self) -> str:
        return self.url

    def list(self) -> pa.Table:
        """Find the sidecars."""
        with reached(self.url) as (fs, root):
            found = {
                os.fsencode(path[len(root) :].lstrip("/")): info
                for path, info in fs.find(root, withdirs=True, detail=True).items()
            }
            paths = sorted(path for path in found if is_sidecar(path.split(b"/")))
            infos = [resolved(fs, found[path]) for path in paths]
        # What cannot be known again must never seem to be what it was.
        unknown = f"listed {uuid.uuid4()}"
        stamps = [stamp(info) or (unknown if is_file(info) else None) for info in infos]
        return lines_of(
            pa.array(paths, pa.binary()),
            pa.array([info.get("size") for info in infos], pa.int64()),
            pa.array(stamps, pa.string()),
        )

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Take the stamps that the listing gave."""
        return list(zip(lines["size"].to_pylist(), lines["stamp"].to_pylist(), strict=True))

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Tell from its stamp that a sidecar cannot be read."""
        return stamp[0] == NO_FILE

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines, many at a time."""
        with reached(self.url) as (fs, root):
            pass  # what goes wrong from here on is one sidecar's fault

        def read_one(line: tuple[bytes, int | None]) -> bytes | Reject:
            path, size = line
            return read_object(fs, f"{root.rstrip('/')}/{os.fsdecode(path)}", size)

        stamps = iter(self.stamps(lines))
        with ThreadPoolExecutor(CONCURRENT_READS) as readers:
            sizes = lines["size"].to_pylist()
            for batch in batches(zip(lines["path"].to_pylist(), sizes, strict=True)):
                for (path, _), data in zip(batch, readers.map(read_one, batch), strict=True):
                    yield path, data, next(stamps)


@contextmanager
def reached(url: str) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """Open the file system of a source, and say in one sentence if it does not do as it is asked.

    Raises
    ------
    CutlineError
        A server does not answer, or a package for it is missing on this host.
    """
    try:
        yield open_filesystem(url)
    except refusals(ValueError, ImportError) as error:
        raise CutlineError(
            f"The source {url} cannot be read ({said(error)}): see to it and run this again."
        ) from error


def is_file(info: dict[str, Any]) -> bool:
    """Tell a file of a listing from what is none."""
    return info.get("size") != NO_FILE


def resolved(fs: fsspec.AbstractFileSystem, info: dict[str, Any]) -> dict[str, Any]:
    """Follow a link of a listing, and mark what is no file: a pipe would never end."""
    if info["type"] != "file":
        with suppress(OSError):
            info = fs.info(info["name"])
    return info if info["type"] == "file" else {"size": NO_FILE}


def read_object(fs: fsspec.AbstractFileSystem, path: str, size: int | None) -> bytes | Reject:
    """Read one sidecar from a file system that is not local; its size may not be known."""
    if size == NO_FILE:
        return Reject("unreadable", "it is not a regular file")
    if size is not None and size > TOO_LARGE:
        return too_large(size)
    try:
        data: bytes = fs.cat_file(path, end=TOO_LARGE + 1 if size is None else None)
    except refusals() as error:
        return unreadable(error)
    return too_large(len(data)) if len(data) > TOO_LARGE else data
