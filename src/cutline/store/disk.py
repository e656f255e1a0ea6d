"""Files and folders of a disk: how a file comes to be, is moved and is removed.

A file is written under a name of its own, synced, and named in one step.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import socket
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import BinaryIO, Final, TypeAlias

from cutline.errors import CutlineError, UsageError, said
from cutline.store.trouble import in_words

LIBC: Final = ctypes.CDLL(None, use_errno=True)

_AT_FDCWD: Final = -100

_RENAME_NOREPLACE: Final = 1
"""From renameat2(2), as is _AT_FDCWD."""

_NO_RENAMEAT2: Final = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a kernel or a file system (such as NFS) without renameat2 answers."""

AnyPath: TypeAlias = str | os.PathLike[str]
"""A path as a user passes it to a function."""

OWN: Final = ".cutline"
"""The folder in DATA for the lock and the attempts of jobs that write there."""

_TRIES: Final = 100
"""How often to try to empty a folder that late workers still add to."""

_CANNOT: Final = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What a kernel or a file system answers that cannot copy in a way."""

_PIECE: Final = 1 << 20
"""Bytes that are copied at once where the kernel cannot copy."""

_NO_SYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}
"""What a file system answers that cannot sync a folder, as CIFS, DrvFs and some of FUSE."""

_NO_FLOCK: Final = {errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EBADF}
"""What a file system answers that cannot lock a folder; NFS locks only files open for writing."""


def data_folder(data: AnyPath) -> str:
    """Return the absolute path of a folder that is there.

    Raises
    ------
    UsageError
        There is no such folder, or it is a URL.
    """
    path = _local_path(data)
    if not os.path.isdir(path):
        raise UsageError(f"There is no folder {os.fspath(data)}: name the folder of the images.")
    return path


def new_data_folder(data: AnyPath) -> str:
    """Return the absolute path of a folder that may not be there yet.

    Raises
    ------
    UsageError
        It is a URL or a file, or there is no folder to make it in.
    """
    path = _local_path(data)
    if os.path.isdir(path):
        return path
    if os.path.lexists(path):
        raise UsageError(f"The folder {os.fspath(data)} is a file: name a folder to unpack into.")
    if not os.path.isdir(os.path.dirname(path)):
        raise UsageError(f"The folder {os.path.dirname(path)} is not there: make it first.")
    return path


def _local_path(data: AnyPath) -> str:
    data = os.fspath(data)
    if "://" in data:
        raise UsageError(f"The folder {data} is a URL: name one on a disk that every worker sees.")
    return absolute(data)


def absolute(path: AnyPath) -> str:
    """Return the absolute path.

    Raises
    ------
    UsageError
        It is not UTF-8, so JSON, a plan or the trainer's file could not hold it.
    """
    whole = os.path.abspath(path)
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The path {whole!a} is not UTF-8: give it another name.") from error
    return whole


def move(source: bytes, target: bytes) -> bool:
    """Rename a file, if nothing has the new name; missing folders are made.

    Returns
    -------
    bool
        False if `source` is not there, or if something is in the way: at `target`, or where one of
        its folders should be.

    Raises
    ------
    UsageError
        The two are on different file systems.
    """
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        rename(source, target)
    except (FileExistsError, FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise other_file_system(os.fsdecode(os.path.dirname(target))) from error
    return True


def rename(source: bytes, target: bytes) -> None:
    """Rename a file; FileExistsError if something has the new name."""
    flags = (_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE)
    if not LIBC.renameat2(*flags):
        return
    code = ctypes.get_errno()
    if code not in _NO_RENAMEAT2:
        raise OSError(code, os.strerror(code), target)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target)


def other_file_system(folder: str) -> UsageError:
    """Return the error for a folder that files cannot be renamed into."""
    return UsageError(
        f"The folder {folder} is on another file system than the images: name one beside them."
    )


@contextmanager
def publish(path: str, staging: str = "") -> Iterator[BinaryIO]:
    """Write a file that appears under its name complete and synced, or not at all.

    Parameters
    ----------
    path
        The final name; a file that is there already is replaced in one step.
    staging
        The folder of this run's attempts, on the same file system; without one, the attempt is a
        hidden file beside the final name, and what killed processes left there is removed.

    Raises
    ------
    CutlineError
        The file cannot be written; what was there under its name is as it was.
    """
    folder, name = os.path.split(path)
    attempt = f"{folder}/.{name}.{_host()}{unique()}"
    if staging:
        attempt = f"{staging}/{name}.{unique()}"
    with in_words(path):
        if not staging:
            remove_attempts(folder, name)
        try:
            with open(attempt, "xb") if staging else _held(attempt) as file:
                if not staging:
                    _keep_mode(file, path)
                yield file
                file.flush()
                sync(file.fileno())
                os.replace(attempt, path)  # while it is held, or another process would remove it
            sync_folder(folder)
            os.stat(path)  # some file systems lose a file when it is closed
        except BaseException as error:
            with suppress(OSError):
                os.unlink(attempt)
            if isinstance(error, OSError):
                refuse_late(error, staging)
                if error.filename == attempt:
                    error.filename = path
            raise


def _keep_mode(file: BinaryIO, path: str) -> None:
    """Copy the mode of the file that is replaced: it may hold passwords."""
    with suppress(FileNotFoundError, PermissionError):  # no such file; a disk without modes
        os.fchmod(file.fileno(), stat.S_IMODE(os.stat(path).st_mode))


def remove_attempts(folder: str, name: str) -> None:
    """Remove the attempts at a file, published without staging folder, that no process holds.

    They are those of this host: the lock on a file may say nothing to another.
    """
    ours = re.compile(rf"\.{re.escape(name)}\.{_host()}[0-9a-f]{{32}}")
    for other in filter(ours.fullmatch, os.listdir(folder)):
        with suppress(OSError), open(f"{folder}/{other}", "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(f"{folder}/{other}")


def _host() -> str:
    return blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


def _held(attempt: str) -> BinaryIO:
    """Open a new file and lock it, so that `remove_attempts` of another process leaves it."""
    while True:
        file = open(attempt, "xb")  # noqa: SIM115 - the caller closes it
        with suppress(OSError):  # a file system without locks: there no attempt is removed
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # it was removed before it was locked


def refuse_late(error: OSError, staging: str) -> None:
    """Raise CutlineError if the run is over: its staging folder is gone."""
    missing = error.errno in {errno.ENOENT, errno.ESTALE}
    if missing and staging and not os.path.isdir(staging):
        raise CutlineError("This run is over: it has ended, or another has its lock.") from error


def unique() -> str:
    """Return a name that no other attempt has, on any host."""
    return uuid.uuid4().hex


def sync(descriptor: int) -> bool:
    """Make a file or a folder survive a power cut; False if the file system has no call for it."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        return False
    return True


@contextmanager
def open_folder(path: str | bytes) -> Iterator[int]:
    """Open a folder, so that the files in it can be opened by shorter paths."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


def sync_folder(folder: str) -> bool:
    """Make the names in a folder survive a power cut, as `sync` does."""
    with open_folder(folder) as descriptor:
        return sync(descriptor)


def sync_all(root: int) -> None:
    """Make all files of the file system of an open folder survive a power cut."""
    if LIBC.syncfs(root):
        number = ctypes.get_errno()
        if number not in _NO_SYNC:
            raise OSError(number, os.strerror(number))
        os.sync()


def make_folder(folder: str) -> None:
    """Make one folder, if it is not there, so that it survives a power cut.

    Raises
    ------
    CutlineError
        It is a symbolic link: files would be written, and removed, somewhere else.
    """
    try:
        os.mkdir(folder)
    except FileExistsError:
        if os.path.islink(folder):
            raise CutlineError(
                f"{folder} is a link, where cutline needs a folder of its own: remove the link."
            ) from None
    # Even if it was there: a run that was killed may have made it and got no further.
    sync_folder(os.path.dirname(folder))


def remove(path: str) -> None:
    """Remove a file; it may be gone already."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove_tree(path: str) -> None:
    """Remove the attempts of a run: a folder with all that is in it, a file, or a link itself.

    Raises
    ------
    CutlineError
        Something stays: on NFS a file that is open, or what another user has put there.
    """
    if os.path.islink(path) or not os.path.isdir(path):
        remove(path)
        return
    for _ in range(_TRIES):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
    try:
        shutil.rmtree(path)  # once more, to hear why
    except OSError as error:
        raise CutlineError(
            f"{path} cannot be removed ({said(error)}), so workers of an earlier run could still"
            " publish files from there: end them, or remove the folder, and run this again."
        ) from error


def remove_folder(folder: str) -> None:
    """Remove a folder if it is empty."""
    with suppress(OSError):
        os.rmdir(folder)


def copy_range(source: int, offset: int, size: int, target: int) -> int:
    """Copy a piece of an open file to where another one is written.

    The kernel does it, so that no bytes pass through Python: with `copy_file_range`, for which some
    file systems need not copy, or with `sendfile`, which more of them support.

    Parameters
    ----------
    source, target
        File descriptors.
    offset, size
        The piece, in bytes.

    Returns
    -------
    int
        The bytes that were there to be copied; fewer than `size` where the source ends earlier.

    Raises
    ------
    OSError
        The source cannot be read, or the target cannot be written.
    """
    left = size
    while left and (copied := _copy_some(source, offset, left, target)):
        offset, left = offset + copied, left - copied
    return size - left


def _copy_some(source: int, offset: int, size: int, target: int) -> int:
    try:
        return os.copy_file_range(source, target, size, offset_src=offset)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    try:
        return os.sendfile(target, source, offset, size)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    data = os.pread(source, min(size, _PIECE), offset)
    write_all(target, data)
    return len(data)


def write_all(file: int, data: bytes) -> None:
    """Write all bytes to a descriptor: a disk that is nearly full takes some without an error."""
    while len(data) > (written := os.write(file, data)):
        data = data[written:]


@contextmanager
def one_at_a_time(folder: str) -> Iterator[None]:
    """Keep other processes of this host out of such a block for a folder, if it can be locked."""
    with open_folder(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
        yield
