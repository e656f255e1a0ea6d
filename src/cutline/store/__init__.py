"""Where outputs are, and how they come to be there: naming, publishing, syncing, locking.

A file under its final name is complete. Every attempt writes under a name of its own in the job's
staging folder, is synced, and is renamed into place; what a killed attempt leaves there is removed
by the next run, which is safe because a run holds the lock.

Nothing else in cutline renames, syncs or locks a file of a job, so that a store that cannot rename
can come behind the same calls.
"""

from cutline.store.lock import Lock, locked
from cutline.store.move import move, other_file_system
from cutline.store.names import Outputs, Workspace, is_part_name, part_name
from cutline.store.publish import empty_folder, publish, remove, remove_folder
from cutline.store.smallfiles import SmallFiles

__all__ = [
    "Lock",
    "Outputs",
    "SmallFiles",
    "Workspace",
    "empty_folder",
    "is_part_name",
    "locked",
    "move",
    "other_file_system",
    "part_name",
    "publish",
    "remove",
    "remove_folder",
]
