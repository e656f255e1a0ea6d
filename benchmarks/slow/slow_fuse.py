"""A folder seen through a file system that answers slowly, as shared storage does.

    python slow_fuse.py FOLDER MOUNT MILLISECONDS

Runs until it is unmounted. Each operation that a network file system asks its server waits first;
what such a client keeps to itself does not: bytes go out when a file is closed (flush) or synced,
and nobody waits for a release. Nothing is cached (timeouts of 0), and as many operations are
answered at once as libfuse has threads, which is 10.

What was asked is told in a file of the root that is not listed, `.asked`, a JSON object of counts;
to unlink it begins to count anew.
"""

# ruff: noqa: D101, D102, ARG002 - the methods and arguments are those of mfusepy

import json
import os
import stat
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from time import sleep

import mfusepy as fuse

ASKED = "/.asked"
ATTRIBUTES = ["mode", "nlink", "size", "uid", "gid", "atime_ns", "mtime_ns", "ctime_ns", "ino"]
ROOM = ["bavail", "bfree", "blocks", "bsize", "favail", "ffree", "files", "flag", "frsize"]


class SlowFolder(fuse.Operations):
    use_ns = True

    def __init__(self, folder: str, milliseconds: float) -> None:
        self.folder = folder
        self.seconds = milliseconds / 1000
        self.asked: Counter[str] = Counter()
        self.counting = threading.Lock()

    def wait(self, operation: str) -> None:
        self.count(operation)
        sleep(self.seconds)

    def count(self, operation: str) -> None:
        with self.counting:
            self.asked[operation] += 1

    def place(self, path: str) -> str:
        return self.folder + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        if path == ASKED:
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": len(self.told())}
        self.wait("getattr" if fh is None else "fgetattr")
        status = os.lstat(self.place(path)) if fh is None else os.fstat(fh)
        return {
            f"st_{name.removesuffix('_ns')}": getattr(status, f"st_{name}") for name in ATTRIBUTES
        }

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        self.wait("readdir")
        yield from (".", "..", *os.listdir(self.place(path)))

    def open(self, path: str, flags: int) -> int:
        if path == ASKED:
            return 0
        self.wait("open")
        return os.open(self.place(path), flags)

    def create(self, path: str, mode: int, fi: int) -> int:
        self.wait("create")
        return os.open(self.place(path), fi | os.O_CREAT, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        if path == ASKED:
            return self.told()[offset : offset + size]
        self.wait("read")
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self.count("write")
        return os.pwrite(fh, data, offset)

    def flush(self, path: str, fh: int) -> int:
        if path == ASKED:
            return 0
        self.wait("flush")
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self.wait("fsync")
        return 0  # what is behind it is memory; this is the server's answer

    def release(self, path: str, fh: int) -> int:
        if path == ASKED:
            return 0
        self.count("release")
        os.close(fh)
        return 0

    def rename(self, old: str, new: str) -> int:
        self.wait("rename")
        os.rename(self.place(old), self.place(new))
        return 0

    def link(self, target: str, source: str) -> int:
        self.wait("link")
        os.link(self.place(source), self.place(target))
        return 0

    def symlink(self, target: str, source: str) -> int:
        self.wait("symlink")
        os.symlink(source, self.place(target))
        return 0

    def readlink(self, path: str) -> str:
        self.wait("readlink")
        return os.readlink(self.place(path))

    def unlink(self, path: str) -> int:
        if path == ASKED:
            self.count_anew()
            return 0
        self.wait("unlink")
        os.unlink(self.place(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self.wait("mkdir")
        os.mkdir(self.place(path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        self.wait("rmdir")
        os.rmdir(self.place(path))
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self.wait("truncate")
        os.truncate(self.place(path) if fh is None else fh, length)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self.wait("chmod")
        os.chmod(self.place(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self.wait("chown")
        os.chown(self.place(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self.wait("utimens")
        os.utime(self.place(path), ns=times)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        self.wait("statfs")
        room = os.statvfs(self.place(path))
        return {f"f_{name}": getattr(room, f"f_{name}") for name in ROOM}

    def told(self) -> bytes:
        with self.counting:
            return json.dumps(self.asked).encode()

    def count_anew(self) -> None:
        with self.counting:
            self.asked.clear()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, mount, milliseconds = sys.argv[1:]
    # A server would be another machine, which the contenders do not keep waiting for a processor.
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    fuse.FUSE(
        SlowFolder(folder, float(milliseconds)),
        mount,
        foreground=True,
        nothreads=False,
        attr_timeout=0,
        entry_timeout=0,
    )
