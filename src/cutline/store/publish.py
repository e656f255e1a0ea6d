"""How a file comes to be: written under a name of its own, synced, and named in one step."""

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

from cutline.errors import CutlineError
from cutline.store.trouble import in_words

TRIES: Final = 100
"""How often a folder is emptied that late workers still add to; each time, they may be faster."""

Version: TypeAlias = tuple[int, int, int]


def version_of(path: str) -> Version:
    """Tell a file from those that have been published under its name before and since."""
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


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
