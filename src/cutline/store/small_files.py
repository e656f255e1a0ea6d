"""Small files below one folder, a million of them, each whole or not there."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import Final, Self, TypeAlias

from cutline import in_flight
from cutline.store.abilities import (
    NO_LINK,
    Abilities,
    abilities_of,
    link_unnamed,
    open_unnamed,
)
from cutline.store.disk import (
    open_folder,
    refuse_late,
    remove_folder,
    sync,
    sync_all,
    unique,
    write_all,
)
from cutline.store.space import Room, block_of, room_for

_ATTEMPT: Final = "attempt"
"""The name of a file in a staging folder, of which each thread has its own."""

Write: TypeAlias = Callable[[int], object]
"""Writes the content of a file to its descriptor."""

Look: TypeAlias = Callable[[str], str | None]
"""Returns why what has a name may stay: "" if it may not, None if nothing has the name."""

Judge: TypeAlias = Callable[[str, int], str]
"""Returns why a file that is not as it should be stays, by path and descriptor; "" if not."""

Fits: TypeAlias = Callable[[os.stat_result], bool]
"""Returns whether a file is as it should be, by its status alone."""


class SmallFiles:
    """Puts small files below a folder, and nowhere else; in as many threads as there are.

    Folders below it are opened one by one and never through a symbolic link, so that no path leads
    out of it. A new file is written without a name and then linked, where that has been tried: a
    crash leaves nothing behind, and it costs less than a rename. Where only files with a name can
    be linked it is written in the staging folder, and linked from there. Elsewhere, and where a
    file is there, it is renamed from the staging folder.

    Parameters
    ----------
    root
        The folder.
    staging
        The staging folder of the run, on the same file system; without one nothing can be written.

    Raises
    ------
    CutlineError
        The run is over, or the file system is none that files are safe on.
    """

    def __init__(self, root: str, staging: str = "") -> None:
        self._abilities = _tried_in(staging) if staging else Abilities()
        self._place = root
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self._staging = staging
        self._own = threading.local()
        self._hands: list[_Hand] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        list(in_flight.in_order(_Hand.close, self._hands))
        os.close(self._root)

    @property
    def keeps_nanoseconds(self) -> bool:
        """Whether times of modification are kept to the nanosecond where the last file was put."""
        return self._hand.abilities.keeps_nanoseconds

    @property
    def _hand(self) -> "_Hand":
        try:
            hand: _Hand = self._own.hand
        except AttributeError:
            hand = self._own.hand = _Hand(self._place, self._root, self._staging, self._abilities)
            self._hands.append(hand)
        return hand

    def put(self, path: str, data: bytes, judge: Judge = lambda *_: "") -> str:
        """Write a file, unless it has these bytes already.

        Parameters
        ----------
        path
            Relative to the folder, ``/``-separated; missing folders are made.
        data
            The content.
        judge
            Called with a file that has other bytes; without one it is replaced.

        Returns
        -------
        str
            ``written`` if it is new, ``replaced``, ``unchanged``, or what `judge` says.

        Raises
        ------
        OSError
            Something is in the way: a folder of this name, or a symbolic link where a folder
            should be. Or the path has a ``..``.
        """
        hand = self._hand
        return hand.settle(
            path, partial(write_all, data=data), lambda name: hand.open(name, path, judge, data)
        )

    def put_made(self, path: str, write: Write, fits: Fits, judge: Judge) -> str:
        """Write a file as `put` does, unless one is there that fits or that somebody made.

        Parameters
        ----------
        path
            As for `put`.
        write
            Writes its bytes to a descriptor, and its times.
        fits
            Called first: a file that fits is ``unchanged``, and is not opened.
        judge
            As for `put`. What is no file is replaced.
        """
        hand = self._hand

        def look(name: str) -> str | None:
            try:
                status = os.stat(name, dir_fd=hand.folder, follow_symlinks=False)
            except FileNotFoundError:
                return None
            if not stat.S_ISREG(status.st_mode):
                return ""
            return "unchanged" if fits(status) else hand.open(name, path, judge)

        return hand.settle(path, write, look)

    def enter(self, path: str) -> None:
        """Open a folder below the root for the next files; it is made if it is not there."""
        self._hand.enter(path)

    @cached_property
    def _block(self) -> int:
        return block_of(self._place)

    def lacks(self, path: str, length: int, *, kept: bool = False) -> Room:
        """Return the room that it takes to put a file, on top of what is there.

        Parameters
        ----------
        path, length
            The file, and its bytes.
        kept
            A file that is there, and not empty, is kept, so it takes none.
        """
        needed = room_for(length, self._block)
        try:
            there = os.stat(path, dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return needed
        if kept and there.st_size:
            return Room()
        taken = there.st_blocks * 512 if there.st_size != length else needed.bytes
        return Room(max(0, needed.bytes - taken))

    def sync(self) -> None:
        """Make all files survive a power cut: one call instead of one for each."""
        sync_all(self._root)


class _Hand:
    """What one thread has open: the folder of its last file, and a staging folder of its own.

    The kernel lets one at a time make files in a folder of a network file system, for as long as
    the server takes: attempts that are made in one folder wait for each other.
    """

    def __init__(self, place: str, root: int, staging: str, abilities: Abilities) -> None:
        self.abilities = abilities
        self._place = place
        self._root = root
        self._staging = staging
        self._path = ""  # of the folder that is open
        self.folder = os.dup(root)
        self._expects_new = True
        self._device = os.fstat(root).st_dev
        self._attempts = ""
        self._attempts_in = -1

    def close(self) -> None:
        """Close the folders, and remove the one for attempts."""
        os.close(self.folder)
        if self._attempts:
            os.close(self._attempts_in)
            remove_folder(self._attempts)

    def settle(self, path: str, write: Write, look: Look) -> str:
        """Write a file unless a look at what has its name says why that stays."""
        folder, _, name = path.rpartition("/")
        try:
            if folder != self._path:
                self.enter(folder)
            # If the file before was new, this one almost always is, too. To look first costs 3.5 us
            # of 20, and if there is a file after all, the link fails.
            expected_new = self._expects_new
            if expected_new and self._link(name, write):
                return "written"
            found = look(name)
            self._expects_new = found is None
            if found:
                return found
            if found is None and not expected_new and self._link(name, write):
                return "written"
            self._replace(name, write)
        except OSError as error:  # which may name a descriptor, or nothing
            error.filename = f"{self._place}/{path}"
            raise
        return "written" if found is None else "replaced"

    def enter(self, path: str) -> None:
        """Open a folder below the root for the next files; it is made if it is not there."""
        folder = os.dup(self._root)
        try:
            for name in path.split("/") if path else ():
                above, folder = folder, _open_or_make(name, folder)
                os.close(above)
        except OSError:
            os.close(folder)
            raise
        os.close(self.folder)
        self._path, self.folder = path, folder
        device = os.fstat(folder).st_dev
        if device != self._device and self._staging:  # a file system is mounted below the root
            self.abilities = abilities_of(self._staging, folder, f"{self._place}/{path}")
            self._device = device

    def open(self, name: str, path: str, judge: Judge, data: bytes | None = None) -> str | None:
        """Judge a file, unless it holds `data`: None if nothing has the name, "" if no file has."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(name, flags, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            # A symbolic link or a socket: it is replaced, and never followed.
            if error.errno in {errno.ELOOP, errno.ENXIO}:
                return ""
            raise
        try:
            if data is not None and os.read(file, len(data) + 1) == data:
                return "unchanged"
            return judge(path, file) if stat.S_ISREG(os.fstat(file).st_mode) else ""
        finally:
            os.close(file)

    def _link(self, name: str, write: Write) -> bool:
        """Write a new file; False if the name is taken, or the file system cannot do it so."""
        if self.abilities.links_unnamed:
            return self._link_unnamed(name, write)
        return self.abilities.links and self._link_attempt(name, write)

    def _link_unnamed(self, name: str, write: Write) -> bool:
        file = open_unnamed(self.folder)
        if file is None:
            return False
        try:
            write(file)
            link_unnamed(file, name, self.folder)
        except FileExistsError:
            return False
        finally:
            os.close(file)
        return True

    def _link_attempt(self, name: str, write: Write) -> bool:
        """Link an attempt, for which the folder is taken less long than for a look and a rename.

        Only one thread of a host at a time has it, so that is what a new file costs: at 2 ms an
        operation 7.7 ms and not 9.9, although it is two operations more.
        """
        with self._attempt(write):
            try:
                os.link(_ATTEMPT, name, src_dir_fd=self._attempts_in, dst_dir_fd=self.folder)
            except FileExistsError:
                return False
            except OSError as error:  # as where another file system is mounted below the root
                if error.errno not in NO_LINK:
                    raise
                self.abilities = replace(self.abilities, links=False)
                return False
            finally:
                os.unlink(_ATTEMPT, dir_fd=self._attempts_in)
        return True

    def _replace(self, name: str, write: Write) -> None:
        with self._attempt(write):
            os.rename(_ATTEMPT, name, src_dir_fd=self._attempts_in, dst_dir_fd=self.folder)

    @contextmanager
    def _attempt(self, write: Write) -> Iterator[None]:
        """Write a file in the folder for attempts; it is not there after a failure."""
        if not self._attempts:
            attempts = f"{self._staging}/{unique()}"
            os.mkdir(attempts)
            self._attempts_in = os.open(attempts, os.O_RDONLY | os.O_DIRECTORY)
            self._attempts = attempts
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(_ATTEMPT, flags, 0o666, dir_fd=self._attempts_in)
        try:
            try:
                write(file)
                # Before it is named, which must not become durable before the bytes.
                sync(file)
            finally:
                os.close(file)
            yield
        except BaseException:
            with suppress(OSError):
                os.unlink(_ATTEMPT, dir_fd=self._attempts_in)
            raise


def _tried_in(staging: str) -> Abilities:
    try:
        with open_folder(staging) as folder:
            return abilities_of(staging, folder, staging)
    except OSError as error:
        refuse_late(error, staging)
        raise


def _open_or_make(name: str, above: int) -> int:
    if name == "..":
        raise PermissionError(errno.EPERM, "It leads out of the folder", name)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=above)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another worker made it
            os.mkdir(name, dir_fd=above)
        return os.open(name, flags, dir_fd=above)
