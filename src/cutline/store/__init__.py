"""Where files are, and how they come to be there: naming, publishing, syncing, locking.

A file under its final name is complete. Every attempt writes under a name of its own in the
staging folder of its run, is synced, and is renamed into place. Who takes the lock removes the
staging folders of all other runs: what they left behind is gone, and what still writes for them,
on whatever host, cannot publish any more.

Nothing else in cutline renames, syncs or locks a file of a job.
"""

from cutline.store import disk, parquet, space, trouble
from cutline.store.small_files import SmallFiles
from cutline.store.table_files import TableFiles
from cutline.store.table_store import TableStore
from cutline.store.workspace import Workspace

__all__ = [
    "SmallFiles",
    "TableFiles",
    "TableStore",
    "Workspace",
    "disk",
    "parquet",
    "space",
    "trouble",
]
