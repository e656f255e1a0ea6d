"""A million small files below one folder, each of them whole."""

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Self, TypeAlias

from cutline.store.disk import unique, write_all
from cutline.store.space import Room, room_for

NO_TMPFILE = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}
"""What a file system (or a kernel) without O_TMPFILE answers."""

Write: TypeAlias = Callable[[int], object]
"""Writes what a file shall hold, to its descriptor."""

Look: TypeAlias = Callable[[str], str | None]
"""Says of a name in a word why what has it may stay: "" if it may not, None if nothing has it."""

IsDebris: TypeAlias = Callable[[int, int], bool]
"""Tells of a descriptor, and the length of its file, whether it is nothing that somebody made."""

LIBC = ctypes.CDLL(None, use_errno=True)


class SmallFiles:
    """Puts small files below a folder, and nowhere else.

    Folders below it are opened one by one and never through a symbolic link, so that no name leads
    out of it. A new file is written without a name and then linked: no attempt is left behind by a
    crash, and it costs less than a rename. A file that has other bytes is replaced by a rename.
    """

    def __init__(self, root: str, staging: str = "") -> None:
        self.place = root
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self.staging = staging
        self.path = ""
        self.folder = os.dup(self.root)
        self.expects_new = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.folder)
        os.close(self.root)

    def put(self, path: str, data: bytes) -> str:
        """Make a file hold some bytes, and say whether it was written, replaced or unchanged.

        Parameters
        ----------
        path
            Relative to the folder, ``/``-separated; folders on the way are made.

        Raises
        ------
        OSError
            Something is in the way: a folder of that name, a symbolic link for a folder. Or the
            path has a ``..``.
        """

        def look(name: str) -> str | None:
            found = self.read(name, len(data) + 1)
            return None if found is None else "unchanged" if found == data else ""

        return self.settle(path, partial(write_all, data=data), look)

    def put_made(
        self, path: str, length: int, write: Write, is_debris: IsDebris, *, overwrite: bool
    ) -> str:
        """Make a file of a known length, as `put` does, or leave alone what is there.

        A file of this length is unchanged; one of another length is kept, because somebody has
        changed it, unless it is debris. What is no file is replaced.

        Parameters
        ----------
        path
            As for `put`.
        length
            Bytes in the file.
        write
            Writes them to the file of a descriptor.
        is_debris
            Tells whether a file of another length may be replaced.
        overwrite
            Replace whatever is there.
        """

        def look(name: str) -> str | None:
            found = self.length(name)
            if found is None:
                return None
            if overwrite or found < 0:
                return ""
            if found == length:
                return "unchanged"
            return "" if self.look_into(name, found, is_debris) else "kept"

        return self.settle(path, write, look)

    def settle(self, path: str, write: Write, look: Look) -> str:
        """Make a file, new or in place of another, unless what has its name may stay."""
        folder, _, name = path.rpartition("/")
        try:
            if folder != self.path:
                self.enter(folder)
            # Where the file before was new, so is this one, almost always: to look first costs
            # 3.5 us of 20, and where it is there after all, the link says so.
            expected_new = self.expects_new
            if expected_new and self.link(name, write):
                return "written"
            found = look(name)
            self.expects_new = found is None
            if found:
                return found
            if found is None and not expected_new and self.link(name, write):
                return "written"
            self.replace(name, write)
        except OSError as error:  # which may name a descriptor, or nothing
            error.filename = f"{self.place}/{path}"
            raise
        return "written" if found is None else "replaced"

    def length(self, name: str) -> int | None:
        """Tell the length of a file: None if there is nothing, and -1 if it is no file."""
        try:
            status = os.stat(name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else -1

    def enter(self, path: str) -> None:
        """Go to a folder below the root."""
        folder = os.dup(self.root)
        try:
            for name in path.split("/") if path else ():
                above, folder = folder, open_or_make(name, folder)
                os.close(above)
        except OSError:
            os.close(folder)
            raise
        os.close(self.folder)
        self.path, self.folder = path, folder

    def read(self, name: str, limit: int) -> bytes | None:
        """Read up to `limit` bytes of what has a name: None if nothing has."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(name, flags, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            # A symbolic link, or a socket: replaced, and never followed.
            if error.errno in {errno.ELOOP, errno.ENXIO}:
                return b""
            raise
        try:
            return os.read(file, limit)
        finally:
            os.close(file)

    def look_into(self, name: str, length: int, is_debris: IsDebris) -> bool:
        """Tell whether a file is debris."""
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            return is_debris(file, length)
        finally:
            os.close(file)

    def link(self, name: str, write: Write) -> bool:
        """Write a new file, and tell whether that could be done in this way."""
        try:
            file = os.open(
                ".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=self.folder
            )
        except OSError as error:
            if error.errno in NO_TMPFILE:
                return False
            raise
        try:
            write(file)
            # The name in /proc is how open(2) says that a file without a name is linked.
            os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=self.folder, follow_symlinks=True)
        except FileExistsError:
            return False
        finally:
            os.close(file)
        return True

    def replace(self, name: str, write: Write) -> None:
        """Write a file, in place of what has its name."""
        attempt = f"{self.staging}/{unique()}"
        file = os.open(attempt, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            try:
                write(file)
                # Before the rename: it must not be made durable before the bytes that it names.
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(attempt, name, dst_dir_fd=self.folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(attempt)
            raise

    def lacks(self, path: str, length: int, *, kept: bool = False) -> Room:
        """Say what room it takes to put a file of so many bytes: none if what is there is kept."""
        needed = room_for(length, self.place)
        try:
            there = os.stat(path, dir_fd=self.root, follow_symlinks=False)
        except OSError:
            return needed
        if kept and there.st_size:
            return Room()
        taken = there.st_blocks * 512 if there.st_size != length else needed.bytes
        return Room(max(0, needed.bytes - taken))

    def sync(self) -> None:
        """Make everything that was put survive a power cut: one call, and not one a file."""
        if LIBC.syncfs(self.root):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def open_or_make(name: str, above: int) -> int:
    """Open a folder in another, and make it if it is not there."""
    if name == "..":
        raise PermissionError(errno.EPERM, "It leads out of the folder", name)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=above)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another worker made it
            os.mkdir(name, dir_fd=above)
        return os.open(name, flags, dir_fd=above)
