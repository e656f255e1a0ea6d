"""A piece of one file to another, copied by the kernel."""

import errno
import os
from typing import Final

from cutline.store.smallfiles import write_all

CANNOT: Final = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What a kernel or a file system answers that does not copy in the way that it is asked to."""

PIECE: Final = 1 << 20


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
