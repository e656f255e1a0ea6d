"""The folder of a job's own files: its lock, and the attempts of its runs."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from cutline.errors import CutlineError
from cutline.store.disk import OWN, make_folder, remove, remove_folder, remove_tree, unique
from cutline.store.lock import Lock, Owner, take
from cutline.store.table_store import TableStore, store_of
from cutline.store.trouble import in_words


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder that only cutline writes to: a job's lock, and the attempts of its runs at files."""

    folder: str

    @classmethod
    def below(cls, data: str) -> "Workspace":
        """Give that of the jobs that write files below DATA."""
        return cls(f"{data}/{OWN}")

    @property
    def lock(self) -> str:
        """Who is at work."""
        return self.folder + "/lock"

    @property
    def attempts(self) -> str:
        """Where each run has a staging folder."""
        return self.folder + "/attempts"

    def make(self) -> None:
        """Make its folders."""
        make_folder(self.folder)
        make_folder(self.attempts)

    def staging(self, run: str) -> str:
        """Make the staging folder of a run, and end all others.

        A run whose folder is gone can publish nothing any more, wherever its workers still write.
        """
        folder = f"{self.attempts}/{run}"
        while not os.path.isdir(folder):
            self.make()
            with suppress(FileNotFoundError):  # a run that has just ended removed the folder above
                os.mkdir(folder)
        self.sweep(keep=run)
        return folder

    def store(self, staging: str) -> TableStore:
        """Return the store that the folder is in, as the run of a staging folder has it."""
        return store_of(self.folder).of_run(staging)

    def discard(self, *names: str) -> None:
        """Remove what a job has kept here for its own use."""
        for name in names:
            remove_tree(f"{self.folder}/{name}")

    def sweep(self, keep: str = "") -> None:
        """Remove the staging folders of all runs but one.

        Raises
        ------
        CutlineError
            One cannot be removed: what works for its run could still publish.
        """
        with suppress(FileNotFoundError):
            for run in set(os.listdir(self.attempts)) - {keep}:
                remove_tree(f"{self.attempts}/{run}")

    def leave(self) -> None:
        """Remove its folders as far as they are empty."""
        remove_folder(self.attempts)
        remove_folder(self.folder)

    @contextmanager
    def locked(
        self,
        say: Callable[[str], None],
        *,
        force: bool = False,
        needed: Callable[[], int] = lambda: 0,
    ) -> Iterator[str]:
        """Hold the lock, and give a staging folder; the attempts of dead runs are removed.

        Parameters
        ----------
        say
            Told if the lock is taken over.
        force
            Take it over from a run that may be alive.
        needed
            Estimates the bytes that the rest of the job needs, for who has to make room: see
            `trouble.in_words`, which is what a job that has a lock is in.

        Raises
        ------
        CutlineError
            Another run is at work.
        StorageError
            The file system refuses what the job needs.
        """
        lock = Lock(self.lock, Owner.here(unique()))
        with in_words(self.folder, needed, "read or written"):  # a job does both
            try:
                before = self._acquire(lock, force=force)
                if before is not None:
                    gone = ", which is gone" if before.is_dead() else ""
                    say(f"Took the lock over from {before}{gone}.")
                yield self.staging(lock.owner.run)
            finally:
                if lock.is_held():  # if not, another run is at work in these folders
                    with suppress(CutlineError):  # the next run removes it, or tells why it cannot
                        self.sweep()
                    remove(lock.path)
                    self.leave()

    def _acquire(self, lock: Lock, *, force: bool) -> Owner | None:
        while True:
            self.make()
            with suppress(FileNotFoundError):  # a run that has just ended removed the folders
                return take(lock, self.attempts, force=force)
