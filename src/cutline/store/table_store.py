"""Where the files of a table are opened, listed, looked for and published, by their names.

Nothing outside of this package opens a plan, a part, a reject, a ledger or a table by its path. A
store that is no disk is another class here, and a line in `store_of`.
"""

import os
from collections.abc import Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol, Self, TypeAlias

import pyarrow as pa

from cutline.store import disk

Version: TypeAlias = tuple[int, ...]
"""What tells a file from those that had its name before and will have it."""


class TableStore(Hashable, Protocol):
    """Keeps the files of a table; it travels to the workers, so it is small.

    Names are those of `TableFiles`. What is not there is a FileNotFoundError.
    """

    def open(self, name: str) -> pa.NativeFile:
        """Open a file to be read anywhere, as pyarrow takes it."""

    def version(self, name: str) -> Version:
        """Return what tells a file from others of its name."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names in a folder, each with its bytes; none if it is not there."""

    def publish(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Write a file that appears under its name complete, or not at all."""

    def make_folder(self, folder: str) -> None:
        """Make a folder, if it is not there."""

    def remove(self, name: str) -> None:
        """Remove a file, or a folder that is empty; it may be gone already."""

    def of_run(self, staging: str) -> Self:
        """Return the store as a run has it that keeps its attempts in a folder of its own."""


@dataclass(frozen=True, slots=True)
class LocalDisk:
    """Files on a disk that every worker sees.

    Attributes
    ----------
    staging
        Where the run at work writes its attempts; who holds the lock has one.
    """

    staging: str = ""

    def open(self, name: str) -> pa.NativeFile:
        """Open a file to be read anywhere."""
        return pa.OSFile(os.fsencode(name))  # as text, Arrow takes only UTF-8, and some for URLs

    def version(self, name: str) -> Version:
        """Return inode, size and time of modification."""
        status = os.stat(name)
        return status.st_ino, status.st_size, status.st_mtime_ns

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names in a folder, each with the bytes that it has."""
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
        except FileNotFoundError:
            return {}

    def publish(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Write a file that appears under its name complete and synced, or not at all."""
        return disk.publish(name, self.staging)

    def make_folder(self, folder: str) -> None:
        """Make a folder, if it is not there, so that it survives a power cut."""
        disk.make_folder(folder)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder that is empty; it may be gone already."""
        if os.path.isdir(name) and not os.path.islink(name):
            disk.remove_folder(name)
        else:
            disk.remove(name)

    def of_run(self, staging: str) -> "LocalDisk":
        """Return the store as a run has it."""
        return replace(self, staging=staging)


def store_of(name: str) -> TableStore:  # noqa: ARG001 - a disk is the only store so far
    """Return the store that a table of this name is in."""
    return LocalDisk()
