"""Files and folders of a disk: how a file comes to be, is moved and is removed.

A file is written under a name of its own, synced, and named in one step.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final, TypeAlias

from cutline.errors import CutlineError, UsageError
from cutline.store.trouble import in_words

LIBC: Final = ctypes.CDLL(None, use_errno=True)

AT_FDCWD: Final = -100

RENAME_NOREPLACE: Final = 1
"""Of renameat2(2), as is AT_FDCWD."""

NO_RENAMEAT2: Final = {errno.EINVAL, errno.ENOSYS}
"""What a file system (NFS is one) or a kernel without renameat2 answers."""

AnyPath: TypeAlias = str | os.PathLike[str]
"""A path as users of the functions give it."""

OWN: Final = ".cutline"
"""The folder in DATA that is cutline's: of jobs that write there, the lock and the attempts."""

TRIES: Final = 100
"""How often a folder is emptied that late workers still add to; each time, they may be faster."""

CANNOT: Final = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What a kernel or a file system answers that does not copy in the way that it is asked to."""

PIECE: Final = 1 << 20

NO_FLOCK: Final = {errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EBADF}
"""What a file system answers that cannot lock a folder; NFS wants a file open for writing."""


def data_folder(data: AnyPath) -> str:
    """Take a folder that is there.

    Raises
    ------
    UsageError
        It is none, or a URL.
    """
    path = local_path(data)
    if not os.path.isdir(path):
        raise UsageError(f"There is no folder {os.fspath(data)}: name the folder of the images.")
    return path


def new_data_folder(data: AnyPath) -> str:
    """Take a folder that may not be there yet.

    Raises
    ------
    UsageError
        It is a URL or a file, or there is no folder to make it in.
    """
    path = local_path(data)
    if os.path.isdir(path):
        return path
    if os.path.lexists(path):
        raise UsageError(f"The folder {os.fspath(data)} is a file: name a folder to unpack into.")
    if not os.path.isdir(os.path.dirname(path)):
        raise UsageError(f"The folder {os.path.dirname(path)} is not there: make it first.")
    return path


def local_path(data: AnyPath) -> str:
    """Take a path of this machine."""
    data = os.fspath(data)
    if "://" in data:
        raise UsageError(f"The folder {data} is a URL: name one on a disk that every worker sees.")
    return absolute(data)


def absolute(path: AnyPath) -> str:
    """Make a path absolute.

    Raises
    ------
    UsageError
        It is not UTF-8, and could not be written down: in JSON, in a plan, in the trainer's file.
    """
    whole = os.path.abspath(path)
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"The path {whole!a} is not UTF-8: give it another name.") from error
    return whole


def move(source: bytes, target: bytes) -> bool:
    """Give a file another name on its file system; folders on the way are made.

    Returns
    -------
    bool
        False if `source` is not there, or something has the name `target` already, or that of a
        folder on the way.

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
    """Rename a file, if nothing has the new name."""
    flags = (AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE)
    if not LIBC.renameat2(*flags):
        return
    code = ctypes.get_errno()
    if code not in NO_RENAMEAT2:
        raise OSError(code, os.strerror(code), target)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target)


def other_file_system(folder: str) -> UsageError:
    """Say that files cannot be moved to a folder."""
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
        hidden file beside the final name.

    Raises
    ------
    CutlineError
        The file cannot be written; what was there under its name is as it was.
    """
    folder, name = os.path.split(path)
    attempt = f"{staging}/{name}.{unique()}" if staging else f"{folder}/.{name}.{unique()}"
    with in_words(path):
        if not staging:
            remove_attempts(folder, name)
        try:
            with open(attempt, "xb") if staging else held(attempt) as file:
                if not staging:
                    keep_mode(file, path)
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(attempt, path)  # while it is held, or another would take it for left
            sync_folder(folder)
        except BaseException as error:
            with suppress(OSError):
                os.unlink(attempt)
            if isinstance(error, OSError):
                refuse_late(error, staging)
                if error.filename == attempt:
                    error.filename = path
            raise


def keep_mode(file: BinaryIO, path: str) -> None:
    """Let nobody read a file whom the one that it replaces kept out: it may hold passwords."""
    with suppress(FileNotFoundError, PermissionError):  # no such file; or no modes there
        os.fchmod(file.fileno(), stat.S_IMODE(os.stat(path).st_mode))


def remove_attempts(folder: str, name: str) -> None:
    """Remove what killed processes left of a file: attempts that nobody holds."""
    ours = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{32}}")
    for other in filter(ours.fullmatch, os.listdir(folder)):
        with suppress(OSError), open(f"{folder}/{other}", "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(f"{folder}/{other}")


def held(attempt: str) -> BinaryIO:
    """Open a new file, and hold it, so that nobody takes it for what a killed process left."""
    while True:
        file = open(attempt, "xb")  # noqa: SIM115 - the caller closes it
        with suppress(OSError):  # a file system that cannot lock: there nobody removes attempts
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # it was taken for that before it was held


def refuse_late(error: OSError, staging: str) -> None:
    """Tell a worker that Dask gave up long ago that its run is over: its folder is gone."""
    missing = error.errno in {errno.ENOENT, errno.ESTALE}
    if missing and staging and not os.path.isdir(staging):
        raise CutlineError("This run is over: it has ended, or another has its lock.") from error


def unique() -> str:
    """Make a name that no other attempt has, on any host."""
    return uuid.uuid4().hex


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: str) -> None:
    """Make one folder, if it is not there, so that it survives a power cut.

    Raises
    ------
    CutlineError
        Its name is that of a symbolic link: files would be written, and removed, somewhere else.
    """
    try:
        os.mkdir(folder)
    except FileExistsError:
        if os.path.islink(folder):
            raise CutlineError(
                f"{folder} is a link, and cutline keeps its files in a folder there: remove it."
            ) from None
    # Also if it was there: a run that was killed may have made it and not got further.
    sync_folder(os.path.dirname(folder))


def remove(path: str) -> None:
    """Remove a file, which may be gone already."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def empty_folder(folder: str) -> None:
    """Remove the files of a folder that only cutline writes to."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if not os.path.isdir(f"{folder}/{name}"):
                remove(f"{folder}/{name}")


def remove_tree(path: str) -> None:
    """Remove a run's attempts: a folder with all that is in it; a file; a link, not followed.

    Raises
    ------
    CutlineError
        Something in it stays: on NFS, a file that is open; a folder of somebody else.
    """
    if os.path.islink(path) or not os.path.isdir(path):
        remove(path)
        return
    for _ in range(TRIES):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):
            return
    raise CutlineError(
        f"{path} cannot be removed, and what still works for the run before this one could publish"
        " files from there: end that, or remove the folder, and run this again."
    )


def remove_folder(folder: str) -> None:
    """Remove a folder if it is empty."""
    with suppress(OSError):
        os.rmdir(folder)


def copy_range(source: int, offset: int, size: int, target: int) -> int:
    """Copy a piece of an open file to the end of another, and say how many bytes of it there were.

    The kernel does it, and its bytes do not pass through Python: by `copy_file_range`, which some
    file systems do without copying, or by `sendfile`, which more can.

    Raises
    ------
    OSError
        The source cannot be read, or the target cannot be written.
    """
    left = size
    while left and (copied := copy_some(source, offset, left, target)):
        offset, left = offset + copied, left - copied
    return size - left


def copy_some(source: int, offset: int, size: int, target: int) -> int:
    """Copy as much as goes in one call."""
    try:
        return os.copy_file_range(source, target, size, offset_src=offset)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
    try:
        return os.sendfile(target, source, offset, size)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
    data = os.pread(source, min(size, PIECE), offset)
    write_all(target, data)
    return len(data)


def write_all(file: int, data: bytes) -> None:
    """Write all bytes: a disk that is nearly full takes a part of them without an error."""
    while len(data) > (written := os.write(file, data)):
        data = data[written:]


@contextmanager
def one_at_a_time(folder: str) -> Iterator[None]:
    """Hold a folder, for which the other processes of this host wait, where it can be held."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
        yield
    finally:
        os.close(descriptor)
