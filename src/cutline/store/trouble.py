"""Errors of a file system, as one sentence that says what to do."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from cutline.errors import CutlineError
from cutline.store.space import shown_room, shown_size

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}

_UNWRITABLE: Final = {*_FULL, errno.EROFS}
"""What a file system answers only to those who write."""

_MENDS: Final = {
    errno.ENOENT: "check that it is there on the host of every worker",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room or have the quota raised",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "get permission for it",
    errno.EPERM: "get permission for it",
    errno.EIO: "check the disk",
}

LAG: Final = 60
"""Seconds after which an entry that another host has made is seen: NFS keeps what it knows of a
folder for so long, see acdirmax in nfs(5)."""

_OF_OTHER_HOSTS: Final = (
    *("nfs", "cifs", "smb", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "fhgfs"),
    *("glusterfs", "orangefs", "pvfs", "virtiofs", "wekafs", "fuse"),
)
"""How the names of file systems begin whose files other hosts write, too."""

MOUNTS: Final = "/proc/self/mountinfo"

BLOCKED: Final = {
    *(errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.ELOOP, errno.EACCES, errno.EPERM),
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),  # names that some file systems do not take
}
"""What keeps one file from being written, but not the next one."""


class StorageError(CutlineError):
    """The file system refuses what a job needs.

    Attributes
    ----------
    fault
        What it refuses, and where.
    number
        The `errno`.
    needed
        Bytes that the rest of the job needs; 0 if that is not known.
    """

    def __init__(self, fault: str, number: int, needed: int = 0) -> None:
        super().__init__(fault, number, needed)  # so that it can be pickled on a worker
        self.fault = fault
        self.number = number
        self.needed = needed

    def __str__(self) -> str:
        more = f", and about {shown_size(self.needed)} are needed to finish" if self.needed else ""
        mend = _MENDS.get(self.number, "correct that")
        return f"{self.fault}{more}: {mend} and run this again, which goes on from what is done."


@contextmanager
def in_words(
    path: str, needed: Callable[[], int] = lambda: 0, done: str = "written"
) -> Iterator[None]:
    """Turn an OSError into a `StorageError`.

    Parameters
    ----------
    path
        The file, for an error that names none.
    needed
        Estimates the bytes that the rest of the job needs; called when space has run out.
    done
        What the block does with its files, as a participle.
    """
    try:
        yield
    except StorageError as error:  # from a worker, or from a job inside this one
        if error.number in _FULL and not error.needed:
            error.needed = needed()
        raise
    except OSError as error:
        number = error.errno or 0
        needs = needed() if number in _FULL else 0
        raise StorageError(_fault(error, path, done), number, needs) from error


def looks(path: str) -> Iterator[None]:
    """Yield for each look that a file deserves which another host has just written.

    It is one where hosts see the same entries at once. On NFS and its kin they may lag: there the
    file is looked for again, for up to `LAG` seconds.
    """
    yield
    if "://" in path or not lags(path):
        return
    deadline = time.monotonic() + LAG
    while time.monotonic() < deadline:
        time.sleep(1)
        with suppress(OSError), os.scandir(os.path.dirname(path)) as entries:
            next(entries, None)  # who opens a folder has NFS ask its server anew
        yield


def lags(path: str) -> bool:
    """Return whether a path is on a file system that other hosts write to, too."""
    return file_system_of(path).startswith(_OF_OTHER_HOSTS)


def file_system_of(path: str) -> str:
    """Return what kind of file system a path is on, such as ``ext4`` or ``fuse.sshfs``.

    Parameters
    ----------
    path
        Of a file, which need not be there.
    """
    place = os.path.realpath(path)
    kind, longest = "", -1
    with open(MOUNTS, "rb") as file:
        for line in file:
            before, _, after = line.partition(b" - ")
            point = os.fsdecode(before.split()[4].decode("unicode_escape").encode("latin-1"))
            if len(point) >= longest and f"{place}/".startswith(point.rstrip("/") + "/"):
                kind, longest = after.split()[0].decode(), len(point)
    return kind


def unwritten(count: int, kind: str, folder: str) -> str:
    """Write one sentence about `count` files that could not be written; empty if there are none."""
    if not count:
        return ""
    return (
        f"{count:,} {kind}{'' if count == 1 else 's'} could not be written below {folder}, where a"
        " folder, a link for a folder or a forbidden file is in the way: move it and run this"
        " again."
    )


def _fault(error: OSError, path: str, done: str) -> str:
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else path
    place = name if os.path.isabs(name) else path
    done = "written" if error.errno in _UNWRITABLE else done
    refused = f"{place} cannot be {done}: {error.strerror or ' '.join(str(error).split())}"
    return f"{refused} ({shown_room(place)})" if error.errno in _FULL else refused
