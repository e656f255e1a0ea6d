"""Where outputs are, and how they come to be there: naming, publishing, syncing, locking.

A file under its final name is complete. Every attempt writes under a name of its own in the
staging folder of its run, is synced, and is renamed into place. Who takes the lock removes the
staging folders of all other runs: what they left behind is gone, and what still writes for them,
on whatever host, cannot publish any more.

Nothing else in cutline renames, syncs or locks a file of a job, so that a store that cannot rename
can come behind the same calls.
"""

from cutline.store.lock import locked, one_at_a_time
from cutline.store.move import move, other_file_system
from cutline.store.names import (
    OWN,
    AnyPath,
    Outputs,
    Workspace,
    absolute,
    is_part_name,
    part_name,
)
from cutline.store.publish import (
    Version,
    make_folder,
    publish,
    remove,
    remove_attempts,
    remove_folder,
    version_of,
)
from cutline.store.ranges import copy_range
from cutline.store.room import Room, free_room, room_for, shown_room, shown_size
from cutline.store.smallfiles import SmallFiles, write_all
from cutline.store.trouble import BLOCKED, StorageError, in_words, unwritten

__all__ = [
    "BLOCKED",
    "OWN",
    "AnyPath",
    "Outputs",
    "Room",
    "SmallFiles",
    "StorageError",
    "Version",
    "Workspace",
    "absolute",
    "copy_range",
    "free_room",
    "in_words",
    "is_part_name",
    "locked",
    "make_folder",
    "move",
    "one_at_a_time",
    "other_file_system",
    "part_name",
    "publish",
    "remove",
    "remove_attempts",
    "remove_folder",
    "room_for",
    "shown_room",
    "shown_size",
    "unwritten",
    "version_of",
    "write_all",
]
