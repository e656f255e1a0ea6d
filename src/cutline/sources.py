"""Where sidecars are, and their bytes.

A source lists its sidecars once, on the client; workers read them, and tell of each what it was
like before it was read, so that a file that changes meanwhile is found changed by the next run.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cutline.errors import CutlineError, UsageError
from cutline.plan import Stamp
from cutline.records import TOO_LARGE, Reject, shown_path
from cutline.shardset import ShardSet, Where, holds_shards, is_pattern, is_shard_name, open_shards
from cutline.sidecars import (
    CONCURRENT_READS,
    Sidecar,
    batches,
    lines_of,
    stamp,
    too_large,
    unreadable,
)

OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""How a sidecar is opened; O_NONBLOCK, because a pipe of that name would wait for a writer."""

NO_FILE: Final = -1
"""What stands for the size of something that is no file, such as a pipe, in a remote listing."""

UNSEEN: Final = (0, 0, 0)
"""The stamp of a local file that cannot be looked at."""


WIDE: Final = 2**26
"""Bytes that a listing may take as strings of one width; the real dataset's takes 2**25."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A local folder of sidecars, flat or nested.

    Names that start with a dot are passed over, as the recipe's glob did, and folders that are
    symbolic links are not entered.
    """

    root: str

    def __str__(self) -> str:
        return self.root

    def list(self) -> pa.Table:
        """Find the sidecars."""
        try:
            paths = walk_folder(os.fsencode(self.root))
        except OSError as error:  # nobody knows how many sidecars are in there
            folder = shown_path(error.filename)
            raise CutlineError(
                f"The folder {folder} cannot be listed: {error.strerror}. Mend it or move it away."
            ) from error
        return lines_of(sorted_array(paths))

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Look at the sidecars of some lines."""
        with open_folder(self.root) as root:
            return [stamp_of(root, path) for path in lines["path"].to_pylist()]

    def unreadable(self, stamp: Stamp) -> bool:
        """Tell from its stamp that a sidecar cannot be read."""
        return not is_regular(stamp)

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines."""
        with open_folder(self.root) as root:
            for path in lines["path"].to_pylist():
                yield read_file(root, path)


@contextmanager
def open_folder(path: str) -> Iterator[int]:
    """Keep a folder open, and name the files in it relative to that: less to walk for each.

    Opened and read this way a file costs 5 us, against 10 for `open().read()` and 21 through
    fsspec.
    """
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


def sorted_array(paths: list[bytes]) -> pa.Array:
    """Sort paths, none of which has a NUL, into an array, and drop what comes twice.

    Some file systems list a name again that is replaced meanwhile. Sorted as numpy's strings of one
    width: 0.4 us a path in a million, where to sort a list and to make an array of it takes 0.9.
    """
    width = max(map(len, paths), default=0)
    if width * len(paths) > WIDE:  # a few long paths among many would take memory like long ones
        return binary_array(sorted(set(paths)))
    table = np.array(paths, "S")
    table.sort()
    again = table[1:] == table[:-1]
    if again.any():
        table = np.delete(table, np.flatnonzero(again))
    lengths = np.char.str_len(table)
    used = np.arange(table.itemsize) < lengths[:, np.newaxis]
    data = table.view(np.uint8).reshape(used.shape)[used]
    return array_of(lengths, pa.py_buffer(data))


def walk_folder(root: bytes) -> list[bytes]:
    """Find the sidecars below a folder, as paths relative to it, in no order."""
    found, prefixes = [], [b""]
    while prefixes:
        prefix = prefixes.pop()
        for entry in os.scandir(os.path.join(root, prefix)):
            name = entry.name
            if name.startswith(b"."):
                continue
            if name.endswith(b".json"):
                found.append(prefix + name)
            elif entry.is_dir(follow_symlinks=False):
                prefixes.append(prefix + name + b"/")
    return found


def read_file(root: int, path: bytes) -> Sidecar:
    """Read a sidecar of a local folder that is open."""
    try:
        descriptor = os.open(path, OPEN_FLAGS, dir_fd=root)
    except OSError as error:
        return path, unreadable(error), stamp_of(root, path)
    try:
        # Of the open file and before it is read; a `stat` by name costs 2 us more.
        status = os.fstat(descriptor)
        stamp = (status.st_mode, status.st_size, status.st_mtime_ns)
        return path, read_descriptor(descriptor, status), stamp
    except OSError as error:
        return path, unreadable(error), UNSEEN
    finally:
        os.close(descriptor)


def read_descriptor(descriptor: int, status: os.stat_result) -> bytes | Reject:
    """Read a file, if it is one and not too large."""
    size = status.st_size
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        return Reject("unreadable", f"it is {kind}")
    if size > TOO_LARGE:
        return too_large(size)
    # No larger than it must be: Dask's nanny makes every buffer of 128 KiB an mmap, whose page
    # faults cost 15 us a file.
    data = os.read(descriptor, size + 1)
    return data if len(data) == size else read_rest(descriptor, data)


def stamp_of(root: int, path: bytes) -> Stamp:
    """Stamp a sidecar by its name."""
    try:
        status = os.stat(path, dir_fd=root)
    except OSError:
        return UNSEEN
    return status.st_mode, status.st_size, status.st_mtime_ns


def is_regular(stamp: Stamp) -> bool:
    """Tell from its stamp whether a local path is that of a regular file."""
    mode = stamp[0]
    return isinstance(mode, int) and stat.S_ISREG(mode)


def read_rest(descriptor: int, data: bytes) -> bytes | Reject:
    """Read on in a file that has another size than it had, or that comes in pieces."""
    pieces, total = [data], len(data)
    while total <= TOO_LARGE and (piece := os.read(descriptor, 2**16)):
        pieces.append(piece)
        total += len(piece)
    return too_large(total) if total > TOO_LARGE else b"".join(pieces)


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of sidecars behind an fsspec URL, read many at a time."""

    url: str

    def __str__(self) -> str:
        return self.url

    def list(self) -> pa.Table:
        """Find the sidecars."""
        fs, root = fsspec.url_to_fs(self.url)
        found = {
            os.fsencode(path[len(root) :].lstrip("/")): info
            for path, info in fs.find(root, withdirs=True, detail=True).items()
        }
        paths = sorted(path for path in found if is_sidecar(path))
        infos = [resolved(fs, found[path]) for path in paths]
        return lines_of(
            binary_array(paths),
            pa.array([info.get("size") for info in infos], pa.int64()),
            pa.array([stamp(info) for info in infos], pa.string()),
        )

    def stamps(self, lines: pa.Table) -> Sequence[Stamp]:
        """Take the stamps that the listing gave."""
        return list(zip(lines["size"].to_pylist(), lines["stamp"].to_pylist(), strict=True))

    def unreadable(self, stamp: Stamp) -> bool:
        """Tell from its stamp that a sidecar cannot be read."""
        return stamp[0] == NO_FILE

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines, many at a time."""
        fs, root = fsspec.url_to_fs(self.url)

        def read_one(line: tuple[bytes, int | None]) -> bytes | Reject:
            path, size = line
            return read_object(fs, f"{root.rstrip('/')}/{os.fsdecode(path)}", size)

        stamps = iter(self.stamps(lines))
        with ThreadPoolExecutor(CONCURRENT_READS) as readers:
            sizes = lines["size"].to_pylist()
            for batch in batches(zip(lines["path"].to_pylist(), sizes, strict=True)):
                for (path, _), data in zip(batch, readers.map(read_one, batch), strict=True):
                    yield path, data, next(stamps)


def is_sidecar(path: bytes) -> bool:
    """Tell whether a path that is relative to the source is one that `walk_folder` would find."""
    *folders, name = path.split(b"/")
    hidden = any(part.startswith(b".") for part in (*folders, name))
    return name.endswith(b".json") and not hidden and not any(map(is_sidecar, folders))


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
    except OSError as error:
        return unreadable(error)
    return too_large(len(data)) if len(data) > TOO_LARGE else data


def binary_array(values: Sequence[bytes]) -> pa.Array:
    """Make an array; `pa.array` would import pandas for it, where that is installed: 0.17 s."""
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    return array_of(lengths, pa.py_buffer(b"".join(values)))


def array_of(lengths: npt.NDArray[np.int64], data: pa.Buffer) -> pa.Array:
    """Make an array of bytes that are one behind the other."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    buffers = [None, pa.py_buffer(offsets), data]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers).cast(pa.binary())


Origin: TypeAlias = Folder | RemoteFolder | ShardSet


def open_source(source: Where | Origin) -> Origin:
    """Take a SOURCE argument.

    Parameters
    ----------
    source
        A local folder or an fsspec URL of one, that holds sidecars or, directly in it, tar shards;
        one shard; a glob of shards; a list of shards; or what this function gave. A folder that
        holds both sidecars and shards is a folder of sidecars.

    Raises
    ------
    UsageError
        There is no such thing, or a shard is packed.
    """
    if isinstance(source, Origin):
        return source
    if not isinstance(source, str | os.PathLike):
        return open_shards(source)
    path = os.fspath(source)
    if "://" in path:
        return open_remote(path)
    if os.path.isdir(path):
        return open_shards(path) if holds_shards(path) else Folder(os.path.abspath(path))
    if is_shard_name(path) or is_pattern(path):
        return open_shards(path)
    if os.path.exists(path):
        raise UsageError(f"The source {path} is a file: name the folder that holds the sidecars.")
    raise UsageError(f"The source {path} is not there: name the folder that holds the sidecars.")


def open_remote(url: str) -> Origin:
    """Take the URL of a folder of sidecars or of shards, or of shards by name or glob."""
    if is_shard_name(url) or is_pattern(url):
        return open_shards(url)
    try:
        fs, root = fsspec.url_to_fs(url)
        there = fs.isdir(root)
        shards = there and holds_shards(url)
    # An unknown protocol; a package that it needs; a server that does not answer.
    except (ValueError, ImportError, OSError) as error:
        raise UsageError(
            f"The source {url} cannot be opened ({error}): correct the URL."
        ) from error
    if not there:
        raise UsageError(f"The source {url} is not there: name the folder that holds the sidecars.")
    return open_shards(url) if shards else RemoteFolder(url)
