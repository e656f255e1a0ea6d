"""What a file system refuses, in one sentence with the mend."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from cutline.errors import CutlineError
from cutline.store.space import shown_room, shown_size

FULL: Final = {errno.ENOSPC, errno.EDQUOT}

UNWRITABLE: Final = {*FULL, errno.EROFS}
"""What a file system answers to nobody who reads."""

MENDS: Final = {
    errno.ENOENT: "see that it is there on the host of every worker",
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room or have the quota raised",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "get the right to it",
    errno.EPERM: "get the right to it",
    errno.EIO: "look after the disk",
}

BLOCKED: Final = {
    *(errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.ELOOP, errno.EACCES, errno.EPERM),
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),  # names that some file systems do not take
}
"""What keeps one file from being written, and not the next one."""


class StorageError(CutlineError):
    """A file system refuses what a job needs.

    Attributes
    ----------
    fault
        What is refused, and where.
    number
        The system's number of the error.
    needed
        Bytes that the rest of the job needs, if somebody knows.
    """

    def __init__(self, fault: str, number: int, needed: int = 0) -> None:
        super().__init__(fault, number, needed)  # which is how it travels from a worker
        self.fault = fault
        self.number = number
        self.needed = needed

    def __str__(self) -> str:
        more = f", and about {shown_size(self.needed)} are needed to finish" if self.needed else ""
        mend = MENDS.get(self.number, "mend that")
        return f"{self.fault}{more}: {mend} and run this again, which goes on from what is done."


@contextmanager
def in_words(
    path: str, needed: Callable[[], int] = lambda: 0, done: str = "written"
) -> Iterator[None]:
    """Turn what a file system refuses into a `StorageError`.

    Parameters
    ----------
    path
        What is being written, where the error itself does not say.
    needed
        Estimates the bytes that the rest of the job needs; asked when space has run out.
    done
        What is being done with the files, as a participle.
    """
    try:
        yield
    except StorageError as error:  # of a worker, or of a job within this one, which has its own
        if error.number in FULL and not error.needed:
            error.needed = needed()
        raise
    except OSError as error:
        number = error.errno or 0
        needs = needed() if number in FULL else 0
        raise StorageError(fault(error, path, done), number, needs) from error


def unwritten(count: int, kind: str, folder: str) -> str:
    """Say in one sentence how many files something kept from being written; empty if none."""
    if not count:
        return ""
    return (
        f"{count:,} {kind}{'' if count == 1 else 's'} could not be written below {folder}, where a"
        " folder, a link for a folder or a forbidden file is in the way: move it and run this"
        " again."
    )


def fault(error: OSError, path: str, done: str) -> str:
    """Say what a file system refuses."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else path
    place = name if os.path.isabs(name) else path
    done = "written" if error.errno in UNWRITABLE else done
    refused = f"{place} cannot be {done}: {error.strerror or ' '.join(str(error).split())}"
    return f"{refused} ({shown_room(place)})" if error.errno in FULL else refused
