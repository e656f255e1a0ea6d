"""What `verify --orphans move` moved out of a folder: an extraction does not unpack it again."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from cutline.plan.marks.shard_versions import Known
from cutline.store import TableStore, parquet

MOVED: Final = "moved.parquet"
"""In the workspace of the folder."""

SCHEMA: Final = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),
        pa.field("birth", pa.int64()),
        pa.field("newest", pa.int64(), nullable=False),
    ]
)


class Moved(NamedTuple):
    """When the version of a file that was moved was born, None for somebody's, and the newest."""

    birth: int | None
    newest: int

    def stays_away(self, version: str, known: Known) -> bool:
        """Return whether a version of a shard has nothing newer than what was moved."""
        birth = known.births.get(version)
        if birth is None:  # it was never unpacked here
            return False
        return birth <= self.newest if self.birth is None else birth == self.birth


MovedByPath: TypeAlias = Mapping[bytes, frozenset[Moved]]
"""Of one path, several versions may have been moved, one after the other."""


def read(folder: str, store: TableStore) -> MovedByPath:
    """Read what was moved out of the folder of a workspace."""
    name = f"{folder}/{MOVED}"
    if not parquet.is_there(name):
        return {}
    with parquet.sound(name, "remove it"), parquet.opened_parquet(store, name) as file:
        paths, *columns = (column.to_pylist() for column in file.read(SCHEMA.names).columns)
    moved = defaultdict[bytes, frozenset[Moved]](frozenset)
    for path, one in zip(paths, map(Moved, *columns), strict=True):
        moved[path] |= {one}
    return moved


def add(files: MovedByPath, folder: str, store: TableStore) -> None:
    """Remember files, durably, before they are moved."""
    if files:
        before = read(folder, store)
        both = {path: before.get(path, frozenset()) | more for path, more in files.items()}
        _write({**before, **both}, folder, store)


def forget(paths: Collection[bytes], folder: str, store: TableStore) -> None:
    """Forget files that were put back."""
    before = read(folder, store)
    left = {path: moved for path, moved in before.items() if path not in paths}
    if len(left) < len(before):
        _write(left, folder, store)


def _write(files: MovedByPath, folder: str, store: TableStore) -> None:
    if not files:
        store.remove(f"{folder}/{MOVED}")
        return
    rows = [(path, *one) for path, moved in sorted(files.items()) for one in moved]
    with store.publish(f"{folder}/{MOVED}") as file:
        pq.write_table(parquet.table_of_rows(rows, SCHEMA), file)
