"""How files come to be: named, published, synced and locked.

A file under its final name is complete. Each attempt at it has a name of its own in the staging
folder of its run, is synced, and is then renamed. The run that takes the lock of a `Workspace`
removes the staging folders of all other runs. So nothing of theirs stays behind, and their workers,
on whatever host, cannot publish any more.

`TableFiles` names the files of a table, and a `TableStore` opens, lists and publishes them.
`SmallFiles` writes the files beside images. Nothing else in cutline renames, syncs or locks a file
of a job.
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
