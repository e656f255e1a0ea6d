"""Sidecars in a folder behind an fsspec URL, read many at a time."""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
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
    batches,
    is_sidecar,
    stamp,
    too_large,
    unreadable,
)
from cutline.sources.line_format import Sidecar, Stamp, lines_of
from cutline.sources.local_folder import refuse
from cutline.sources.passing_over import may_hold_sidecars
from cutline.sources.remote_file import open_filesystem, refusals

NO_FILE: Final = -1
"""The size, in a remote listing, of what is not a file, such as a pipe."""


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of sidecars behind an fsspec URL, read many at a time."""

    url: str

    def __str__(self) -> str:
        return self.url

    def list(self, refused: Callable[[OSError], None] = refuse) -> pa.Table:
        """Return a line for each sidecar; parameters are those of `Folder.list`."""
        with _reached(self.url) as (fs, root):
            found = {
                os.fsencode(path[len(root) :].lstrip("/")): info
                for path, info in _found(fs, root, refused).items()
            }
            paths = sorted(path for path in found if is_sidecar(path.split(b"/")))
            infos = [_resolved(fs, found[path]) for path in paths]
        # Without a stamp nobody knows whether a file has changed, so it must always seem changed.
        unknown = f"listed {uuid.uuid4()}"
        stamps = [stamp(info) or (unknown if _is_file(info) else None) for info in infos]
        return lines_of(
            pa.array(paths, pa.binary()),
            pa.array([info.get("size") for info in infos], pa.int64()),
            pa.array(stamps, pa.string()),
        )

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Return the stamps that the listing gave."""
        return list(zip(lines["size"].to_pylist(), lines["stamp"].to_pylist(), strict=True))

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Return whether the stamp is that of a sidecar that cannot be read."""
        return stamp[0] == NO_FILE

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines, many at a time."""
        with _reached(self.url) as (fs, root):
            pass  # a failure from here on concerns one sidecar

        def read_one(line: tuple[bytes, int | None]) -> bytes | Reject:
            path, size = line
            return _read_object(fs, f"{root.rstrip('/')}/{os.fsdecode(path)}", size)

        stamps = iter(self.stamps(lines))
        with ThreadPoolExecutor(CONCURRENT_READS) as readers:
            sizes = lines["size"].to_pylist()
            for batch in batches(zip(lines["path"].to_pylist(), sizes, strict=True)):
                for (path, _), data in zip(batch, readers.map(read_one, batch), strict=True):
                    yield path, data, next(stamps)


def _found(
    fs: fsspec.AbstractFileSystem, root: str, refused: Callable[[OSError], None]
) -> dict[str, dict[str, Any]]:
    """Return what is below a folder; `find` alone passes over what it cannot list, unheard."""
    if type(fs).find is not fsspec.AbstractFileSystem.find:  # an object store has no folders
        found: dict[str, dict[str, Any]] = fs.find(root, withdirs=True, detail=True)
        return found
    found, folders = {}, [root]
    while folders:
        folder = folders.pop()
        try:
            infos = fs.ls(folder, detail=True)
        except OSError as error:
            if folder == root:
                raise
            refused(error)
            continue
        for info in infos:
            name = info["name"].rstrip("/")
            found[name] = info
            held = may_hold_sidecars([os.fsencode(name.rpartition("/")[2])])
            if info["type"] == "directory" and name != folder.rstrip("/") and held:
                folders.append(name)
    return found


@contextmanager
def _reached(url: str) -> Iterator[tuple[fsspec.AbstractFileSystem, str]]:
    """Open the file system of a source; if that fails, a CutlineError says why."""
    try:
        yield open_filesystem(url)
    except refusals(ValueError, ImportError) as error:
        raise CutlineError(
            f"The source {url} cannot be read ({said(error)}): check its server and the packages"
            " that it needs, and run this again."
        ) from error


def _is_file(info: dict[str, Any]) -> bool:
    return info.get("size") != NO_FILE


def _resolved(fs: fsspec.AbstractFileSystem, info: dict[str, Any]) -> dict[str, Any]:
    """Follow a link of a listing, and mark what is not a file: a pipe would never end."""
    if info["type"] != "file":
        with suppress(OSError):
            info = fs.info(info["name"])
    return info if info["type"] == "file" else {"size": NO_FILE}


def _read_object(fs: fsspec.AbstractFileSystem, path: str, size: int | None) -> bytes | Reject:
    """Read one sidecar, whose size may not be known."""
    if size == NO_FILE:
        return Reject("unreadable", "it is not a regular file")
    if size is not None and size > TOO_LARGE:
        return too_large(size)
    try:
        data: bytes = fs.cat_file(path, end=TOO_LARGE + 1 if size is None else None)
    except refusals() as error:
        return unreadable(error)
    return too_large(len(data)) if len(data) > TOO_LARGE else data
