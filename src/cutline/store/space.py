"""How much room a file system has."""

import os
from dataclasses import dataclass
from typing import Final, Self

ENTRY: Final = 64
"""Bytes that the name of a small file takes in its folder, about."""


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes and inodes: what is free on a file system, or what files need there."""

    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: Self) -> "Room":
        return Room(self.bytes + other.bytes, self.inodes + other.inodes)

    def holds(self, needed: Self) -> bool:
        """Tell whether there is room for something."""
        return self.bytes >= needed.bytes and self.inodes >= needed.inodes


def free_room(path: str) -> Room:
    """Look at what is free on the file system of a path."""
    status = os.statvfs(path)
    # A file system such as btrfs has no number of inodes that could run out.
    inodes = status.f_favail if status.f_files else 2**63
    return Room(status.f_bavail * status.f_frsize, inodes)


def room_for(length: int, path: str) -> Room:
    """Say what a new small file needs on the file system of a path: whole blocks."""
    block = os.statvfs(path).f_frsize
    return Room(-(-length // block) * block + ENTRY, 1)


def shown_room(path: str) -> str:
    """Say how much room there is on the file system of a path."""
    place = mount_point(path)
    status = os.statvfs(place)
    free, total = (status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)
    inodes = f" and {status.f_favail:,} inodes" if status.f_files else ""
    return f"{shown_size(free)}{inodes} are free of the {shown_size(total)} of {place}"


def mount_point(path: str) -> str:
    """Find where the file system of a path is mounted; the path need not be there."""
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def shown_size(count: int) -> str:
    """Write a number of bytes for people."""
    scaled = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if scaled < 999.5:
            return f"{scaled:.3g} {unit}"
        scaled /= 1000
    return f"{scaled:,.3g} TB"
