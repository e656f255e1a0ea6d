"""Mount a folder elsewhere, slow, where what becomes of a read depends on the file's name.

python faulty_folder.py FOLDER MOUNTPOINT MILLISECONDS

A file with ``eio`` in its name cannot be read, and one with ``stall`` not for 30 seconds. A read
that never ends would have to be waited for: no signal ends a process that waits for such a daemon.
"""

import errno
import os
import sys
import time

import mfusepy

from slow.slow_fuse import SlowFolder

STALL = 30  # seconds


class FaultyFolder(SlowFolder):
    """A slow folder with faults."""

    def read(self, path, size, offset, fh):
        name = os.path.basename(path)
        if "eio" in name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if "stall" in name:
            time.sleep(STALL)
        return super().read(path, size, offset, fh)


if __name__ == "__main__":
    folder, mount, milliseconds = sys.argv[1:]
    mfusepy.FUSE(
        FaultyFolder(folder, float(milliseconds)),
        mount,
        foreground=True,
        nothreads=False,
        attr_timeout=0,
        entry_timeout=0,
    )
