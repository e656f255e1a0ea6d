"""Free space for many files, checked before the first of them is written."""

from time import perf_counter

import dask.bag as db
from distributed import Client

from cutline.cluster import running
from cutline.errors import CutlineError
from cutline.progress import Watcher, events
from cutline.store import space


def check_room(
    what: str,
    folder: str,
    most: space.Room,
    lacking: db.Bag,
    client: Client | None,
    watcher: Watcher,
) -> None:
    """Check that the file system of a folder has room for files.

    Parameters
    ----------
    what
        What the files are, as the beginning of a sentence.
    folder
        Where the files will be.
    most
        What they need if none of them is there yet.
    lacking
        Computes what the missing files need. It runs only if there is no room for `most`: a second
        run on a full disk has nothing to write.

    Raises
    ------
    CutlineError
        There is not enough room.
    """
    free = space.free_room(folder)
    if free.holds(most):
        return
    needs = sum(running.results(lacking, client, watcher), space.Room())
    if not free.holds(needs):
        raise CutlineError(
            f"{what} take {space.shown_size(needs.bytes)} and {needs.inodes:,} inodes,"
            f" but {space.shown_room(folder)}: make room and run this again."
        )


# On a worker from here on.


def told_of_room(needs: list[space.Room], began: float) -> space.Room:
    """Return what files need together, and report how many a task has looked for."""
    files = {"files looked for": len(needs)}
    events.tell(events.Done(len(needs), files, {}, perf_counter() - began))
    return sum(needs, space.Room())
