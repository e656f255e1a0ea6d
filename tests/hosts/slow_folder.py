# ruff: noqa: ARG002 - these are the signatures that FUSE calls
"""Mount a folder elsewhere, where each operation waits first, as it does on a network.

python slow_folder.py FOLDER MOUNTPOINT MILLISECONDS
"""

import os
import sys
import time

import mfusepy

STAT = ("mode", "nlink", "size", "uid", "gid", "ino")
TIMES = ("atime", "mtime", "ctime")
SPACE = (
    *("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail"),
    *("f_ffree", "f_files", "f_flag", "f_frsize", "f_namemax"),
)


class SlowFolder(mfusepy.Operations):
    """Everything is done in a folder, after a while."""

    use_ns = True

    def __init__(self, folder, seconds):
        self.folder = folder
        self.seconds = seconds

    def there(self, path):
        time.sleep(self.seconds)
        return self.folder + path

    def getattr(self, path, fh=None):
        stat = os.lstat(self.there(path))
        return {f"st_{name}": getattr(stat, f"st_{name}") for name in STAT} | {
            f"st_{name}": getattr(stat, f"st_{name}_ns") for name in TIMES
        }

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(self.there(path))]

    def readlink(self, path):
        return os.readlink(self.there(path))

    def open(self, path, flags):
        return os.open(self.there(path), flags)

    def create(self, path, mode, fi=None):
        return os.open(self.there(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path, size, offset, fh):
        time.sleep(self.seconds)
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def flush(self, path, fh):
        time.sleep(self.seconds)
        return 0

    def fsync(self, path, datasync, fh):
        time.sleep(self.seconds)
        os.fsync(fh)
        return 0

    def release(self, path, fh):
        os.close(fh)
        return 0

    def rename(self, old, new):
        os.rename(self.there(old), self.folder + new)
        return 0

    def unlink(self, path):
        os.unlink(self.there(path))
        return 0

    def mkdir(self, path, mode):
        os.mkdir(self.there(path), mode)
        return 0

    def rmdir(self, path):
        os.rmdir(self.there(path))
        return 0

    def link(self, target, source):
        os.link(self.there(source), self.folder + target)
        return 0

    def truncate(self, path, length, fh=None):
        os.truncate(self.there(path), length)
        return 0

    def chmod(self, path, mode):
        os.chmod(self.there(path), mode)
        return 0

    def utimens(self, path, times=None):
        os.utime(self.there(path), ns=times)
        return 0

    def statfs(self, path):
        space = os.statvfs(self.there(path))
        return {name: getattr(space, name) for name in SPACE}


if __name__ == "__main__":
    _, folder, at, milliseconds = sys.argv
    operations = SlowFolder(folder, float(milliseconds) / 1000)
    mfusepy.FUSE(operations, at, foreground=True, nothreads=False, attr_timeout=0, entry_timeout=0)
