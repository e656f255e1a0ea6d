"""Files moved to another folder of the same file system: one step each, and nothing replaced."""

import ctypes
import errno
import os
from typing import Final

from cutline.errors import UsageError

LIBC: Final = ctypes.CDLL(None, use_errno=True)
AT_FDCWD: Final = -100
RENAME_NOREPLACE: Final = 1
"""Of renameat2(2), as is AT_FDCWD."""

NO_RENAMEAT2: Final = {errno.EINVAL, errno.ENOSYS}
"""What a file system (NFS is one) or a kernel without renameat2 answers."""


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
