"""Room on file systems: what is free, what files need, and how to write it for people."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Self

_ENTRY: Final = 64
"""About how many bytes the name of a file takes in its folder."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes and inodes: what is free on a file system, or what files need there."""

    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: Self) -> "Room":
        return Room(self.bytes + other.bytes, self.inodes + other.inodes)

    def holds(self, needed: Self) -> bool:
        """Return whether `needed` fits in."""
        return self.bytes >= needed.bytes and self.inodes >= needed.inodes


def free_room(path: str) -> Room:
    """Return what is free on the file system of a path."""
    status = os.statvfs(path)
    # A file system such as btrfs has no fixed number of inodes, and tells 0.
    inodes = status.f_favail if status.f_files else 2**63
    return Room(status.f_bavail * status.f_frsize, inodes)


def block_of(path: str) -> int:
    """Return the bytes of a block on the file system of a path."""
    return os.statvfs(path).f_frsize


def room_for(length: int, block: int) -> Room:
    """Return what a new file of `length` bytes needs where a block has so many: whole blocks."""
    return Room(-(-length // block) * block + _ENTRY, 1)


def room_for_all(lengths: Iterable[int], path: str) -> Room:
    """Return what new files of these lengths in bytes need on the file system of a path."""
    block = os.statvfs(path).f_frsize
    blocks = [-(-length // block) for length in lengths]
    return Room(sum(blocks) * block + len(blocks) * _ENTRY, len(blocks))


def seconds_to_write(folder: str, writes: Iterable[Callable[[int], object]]) -> float | None:
    """Return how long it takes to write some files into a folder; None if that cannot be tried.

    They have no name, so there is nothing to see of them, and they are gone at once.

    Parameters
    ----------
    writes
        For each file, what writes it to an open descriptor.
    """
    began = time.perf_counter()
    for write in writes:
        try:
            file = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC)
        except OSError:  # a file system without such files, or a folder of somebody else
            return None
        try:
            write(file)
        finally:
            os.close(file)
    return time.perf_counter() - began


def shown_room(path: str) -> str:
    """Write for people how much is free on the file system of a path, which need not be there."""
    place = _mount_point(path)
    status = os.statvfs(place)
    free, total = (status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)
    inodes = f" and {status.f_favail:,} inodes" if status.f_files else ""
    return f"{shown_size(free)}{inodes} are free of the {shown_size(total)} of {place}"


def _mount_point(path: str) -> str:
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def shown_size(count: int) -> str:
    """Write a number of bytes for people.

    Examples
    --------
    >>> shown_size(12_345_678)
    '12.3 MB'
    """
    scaled = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if scaled < 999.5:
            return f"{scaled:.3g} {unit}"
        scaled /= 1000
    return f"{scaled:,.3g} TB"
