"""What a file system can do: tried once in a run's folder on each host, not believed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from cutline.errors import CutlineError
from cutline.store.disk import sync, unique
from cutline.store.trouble import file_system_of

_NO_TMPFILE: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS}
"""What a kernel or a file system without O_TMPFILE answers."""

NO_LINK: Final = {
    *(errno.EOPNOTSUPP, errno.EPERM, errno.ENOENT, errno.EINVAL, errno.ENOSYS),
    *(errno.EMLINK, errno.EXDEV, errno.EACCES),
}
"""What one answers that cannot link a file, or name one that has no name; Lustre says ENOENT."""

_MARK: Final = 1_000_000_001_123_456_789
"""A time of modification, in nanoseconds, that shows what a file system keeps of one.

FAT keeps every second second, sshfs whole seconds, CIFS tenths of microseconds.
"""

_BYTES: Final = b"cutline"

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_known: dict[tuple[str, int], "Abilities"] = {}
"""What was tried, by staging folder, which is one run's, and device."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a file system can do.

    Attributes
    ----------
    links_unnamed
        A file that is made by O_TMPFILE and linked is there, also after it was closed. Lustre and
        CephFS have no O_TMPFILE. On FUSE it is not tried: on JuiceFS 1.4 the file is gone then,
        and its name, which nothing lists or removes, keeps the folder from being removed for ever.
    links
        A file in another folder can be given a second name, and keeps its bytes without the first.
        FAT has no such links, nor have most file systems in front of an object store. Only tried
        where `links_unnamed` is false.
    keeps_nanoseconds
        A file's time of modification is kept to the nanosecond, however the file is made.
    """

    links_unnamed: bool = False
    links: bool = False
    keeps_nanoseconds: bool = False


def abilities_of(staging: str, folder: int, place: str) -> Abilities:
    """Try in an open folder what its file system can do, once for each run in each process.

    Parameters
    ----------
    staging
        The run's staging folder.
    folder
        The descriptor of the folder; nothing stays in it.
    place
        Its path, for messages.

    Raises
    ------
    CutlineError
        It cannot replace a file in one step, or does not keep two processes from making one file.
    OSError
        It refuses to write at all.
    """
    key = staging, os.fstat(folder).st_dev
    if key not in _known:
        replaced = _replace(folder, place)
        unnamed = None if file_system_of(place).startswith("fuse") else _link_unnamed(folder)
        linked = _link(folder) if unnamed is None else None
        kept = all(time == _MARK for time in (replaced, unnamed, linked) if time is not None)
        _known[key] = Abilities(unnamed is not None, linked is not None, kept)
    return _known[key]


def open_unnamed(folder: int) -> int | None:
    """Open a new file without a name for writing; None if the file system has no O_TMPFILE."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_TMPFILE:
            return None
        raise


def link_unnamed(file: int, name: str, folder: int) -> None:
    """Name a file that has no name, by its name in /proc, as open(2) has it."""
    os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=folder, follow_symlinks=True)


def _replace(folder: int, place: str) -> int:
    """Replace a file in one step, and return the time of modification that is kept of the new."""
    old, new = unique(), unique()
    try:
        os.close(os.open(old, _NEW, 0o666, dir_fd=folder))
        with suppress(FileExistsError):
            os.close(os.open(old, _NEW, 0o666, dir_fd=folder))
            raise _unsafe(place, "lets two processes make one file")
        file = os.open(new, _NEW, 0o666, dir_fd=folder)
        try:
            _write(file)
            sync(file)
        finally:
            os.close(file)
        with suppress(OSError):
            os.rename(new, old, src_dir_fd=folder, dst_dir_fd=folder)
            if (kept := _read_back(old, folder)) is not None:
                return kept
        raise _unsafe(place, "does not replace a file in one step")
    finally:
        for name in (old, new):
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _link(folder: int) -> int | None:
    """Link a file of a folder below; return its kept time, or None if the link does not hold."""
    below, name = unique(), unique()
    first = f"{below}/{name}"
    os.mkdir(below, dir_fd=folder)
    try:
        with _tried(folder, first, name):
            file = os.open(first, _NEW, 0o666, dir_fd=folder)
            try:
                _write(file)
            finally:
                os.close(file)
            os.link(first, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.unlink(first, dir_fd=folder)
            return _read_back(name, folder)
    finally:
        with suppress(OSError):
            os.rmdir(below, dir_fd=folder)
    return None


def _link_unnamed(folder: int) -> int | None:
    """Link a file without a name; return its kept time of modification, or None if it is gone."""
    file = open_unnamed(folder)
    if file is None:
        return None
    name = unique()
    with _tried(folder, name):
        try:
            _write(file)
            link_unnamed(file, name, folder)
        finally:
            os.close(file)
        return _read_back(name, folder)
    return None


@contextmanager
def _tried(folder: int, *names: str) -> Iterator[None]:
    """Pass over it if the file system cannot link, and remove the files of these names."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
    finally:
        for name in names:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _write(file: int) -> None:
    os.write(file, _BYTES)
    with suppress(OSError):  # a file system on which nobody sets times keeps none
        os.utime(file, ns=(_MARK, _MARK))


def _read_back(name: str, folder: int) -> int | None:
    """Return the time of modification of a file that has what was written, or None.

    It is opened, since on FUSE a status comes from the kernel's memory for a second after the file
    itself is gone.
    """
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.fstat(file).st_mtime_ns if os.read(file, 2 * len(_BYTES)) == _BYTES else None
    finally:
        os.close(file)


def _unsafe(place: str, fault: str) -> CutlineError:
    return CutlineError(
        f"The file system of {place} {fault}, so files could be lost: name a folder on another one."
    )
