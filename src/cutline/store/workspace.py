"""The local disk as a place for jobs and tables.

A job has a `Workspace`: a folder with its lock, and the attempts of its runs at files. `LocalDisk`
is the disk as a `TableStore`.
"""

import filecmp
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import BinaryIO

import pyarrow as pa

from cutline.errors import CutlineError, UsageError
from cutline.store import disk
from cutline.store.lock import Owner, read_owner, take
from cutline.store.trouble import in_words


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder that only cutline writes to: a job's lock, and the attempts of its runs at files."""

    folder: str

    @classmethod
    def below(cls, data: str) -> "Workspace":
        """Return the workspace of the jobs that write files below DATA."""
        return cls(f"{data}/{disk.OWN}")

    @property
    def lock(self) -> str:
        """The file that names the run at work."""
        return self.folder + "/lock"

    @property
    def attempts(self) -> str:
        """The folder that has a staging folder for each run."""
        return self.folder + "/attempts"

    def make(self) -> None:
        """Make its folders."""
        disk.make_folder(self.folder)
        disk.make_folder(self.attempts)

    def staging(self, run: str) -> str:
        """Make the staging folder of a run, and remove those of all others.

        A run without a staging folder can publish nothing more, on whatever host its workers are.
        """
        folder = f"{self.attempts}/{run}"
        while not os.path.isdir(folder):
            self.make()
            with suppress(FileNotFoundError):  # a run that has just ended removed the folder above
                os.mkdir(folder)
        self._sweep(keep=run)
        return folder

    def store(self, staging: str) -> "LocalDisk":
        """Return the disk that the folder is on, as the run with a staging folder publishes."""
        return LocalDisk(staging)

    def discard(self, *names: str) -> None:
        """Remove files and folders that a job has kept here."""
        for name in names:
            disk.remove_tree(f"{self.folder}/{name}")

    @contextmanager
    def locked(
        self,
        say: Callable[[str], None],
        *,
        force: bool = False,
        needed: Callable[[], int] = lambda: 0,
    ) -> Iterator[str]:
        """Hold the lock, and yield a staging folder; the attempts of dead runs are removed.

        Parameters
        ----------
        say
            Told if the lock is taken over.
        force
            Take it over from a run that may be alive.
        needed
            Estimates the bytes that the rest of the job needs, for the message when space runs out:
            see `trouble.in_words`, which covers the whole block.

        Raises
        ------
        CutlineError
            Another run is at work, or the attempts of one cannot be removed.
        StorageError
            The file system refuses what the job needs.
        """
        owner = Owner.here(disk.unique())
        with in_words(self.folder, needed, "read or written"):  # a job does both
            try:
                before = self._take(owner, force=force)
                if before is not None:
                    gone = ", which is gone" if before.is_dead() else ""
                    say(f"Took the lock over from {before}{gone}.")
                staging = self.staging(owner.run)
                if not disk.sync_folder(self.attempts):
                    say(
                        f"The file system of {self.folder} cannot sync folders: what a power cut"
                        " takes back, the next run makes again."
                    )
                yield staging
            finally:
                if self._is_held(owner):  # if not, another run is at work in these folders
                    with suppress(CutlineError):  # the next run removes it, or tells why it cannot
                        self._sweep()
                    disk.remove(self.lock)
                    disk.remove_folder(self.attempts)
                    disk.remove_folder(self.folder)

    def _take(self, owner: Owner, *, force: bool) -> Owner | None:
        while True:
            self.make()
            with suppress(FileNotFoundError):  # a run that has just ended removed the folders
                return take(self.lock, owner, self.attempts, force=force)

    def _is_held(self, owner: Owner) -> bool:
        with suppress(CutlineError):  # somebody has put something else there
            return read_owner(self.lock) == owner
        return False

    def _sweep(self, keep: str = "") -> None:
        """Remove all staging folders but one; if one stays, its run could still publish."""
        with suppress(FileNotFoundError):
            for run in set(os.listdir(self.attempts)) - {keep}:
                disk.remove_tree(f"{self.attempts}/{run}")


@dataclass(frozen=True, slots=True)
class LocalDisk:
    """A `TableStore` of files on a disk that every worker sees.

    Attributes
    ----------
    staging
        Where the run at work writes its attempts; only the run that holds the lock has one.
    """

    staging: str = ""

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for random access."""
        return pa.OSFile(os.fsencode(name))  # as text, Arrow takes only UTF-8, and some for URLs

    def version(self, name: str) -> tuple[int, ...]:
        """Return inode, size in bytes, and time of modification in nanoseconds."""
        status = os.stat(name)
        return status.st_ino, status.st_size, status.st_mtime_ns

    def is_folder(self, name: str) -> bool:
        """Return whether a folder has this name."""
        return os.path.isdir(name)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names in a folder with their sizes in bytes; none if it is not there."""
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
        except FileNotFoundError:
            return {}

    def check_table(self, name: str) -> None:
        """Raise UsageError if the folder of a table is not there, or the table is a folder."""
        folder = os.path.dirname(name)
        if not os.path.isdir(folder):
            raise UsageError(f"The folder {folder} of the table is not there: make it first.")
        if os.path.isdir(name):
            raise UsageError(f"The table {name} is a folder: name a file that may be written.")

    def publish(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Write a file that appears under its name complete and synced, or not at all."""
        return disk.publish(name, self.staging)

    @contextmanager
    def publish_folder(self, name: str) -> Iterator[str]:
        """Fill a folder that appears under its name complete and synced, or not at all.

        Yields the folder to write into. One that holds the same files stays as it is, with its
        times. Between the old one and the new there is none for an instant.
        """
        attempt = f"{self.staging}/{os.path.basename(name)}.{disk.unique()}"
        os.mkdir(attempt)
        yield attempt
        if _hold_the_same(name, attempt):
            return
        with disk.open_folder(attempt) as descriptor:
            disk.sync_all(descriptor)
        if os.path.lexists(name):
            os.rename(name, f"{attempt}.old")
        os.rename(attempt, name)
        disk.sync_folder(os.path.dirname(name))

    def make_folder(self, folder: str) -> None:
        """Make a folder, if it is not there, so that it survives a power cut."""
        disk.make_folder(folder)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder that is empty; it may be gone already."""
        if os.path.isdir(name) and not os.path.islink(name):
            disk.remove_folder(name)
        else:
            disk.remove(name)

    @contextmanager
    def locked(
        self, folder: str, say: Callable[[str], None], *, force: bool, needed: Callable[[], int]
    ) -> Iterator["LocalDisk"]:
        """Hold the lock of a job's folder as `Workspace.locked`, and yield the disk of its run."""
        with Workspace(folder).locked(say, force=force, needed=needed) as staging:
            yield replace(self, staging=staging)


def _hold_the_same(folder: str, other: str) -> bool:
    names = os.listdir(other)
    if not os.path.isdir(folder) or sorted(os.listdir(folder)) != sorted(names):
        return False
    return filecmp.cmpfiles(folder, other, names, shallow=False)[0] == names
