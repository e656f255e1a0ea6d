"""What `verify --orphans move` moved out of a folder: an extraction does not unpack it again."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

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


def read(folder: str, store: TableStore) -> dict[bytes, Moved]:
    """Read what was moved out of the folder of a workspace, by path."""
    name = f"{folder}/{MOVED}"
    if not parquet.is_there(name):
        return {}
    with parquet.sound(name, "remove it"), parquet.opened_parquet(store, name) as file:
        paths, *columns = (column.to_pylist() for column in file.read(SCHEMA.names).columns)
    return dict(zip(paths, map(Moved, *columns), strict=True))


def add(files: Mapping[bytes, Moved], folder: str, store: TableStore) -> None:
    """Remember files, durably, before they are moved."""
    if files:
        _write({**read(folder, store), **files}, folder, store)


def forget(paths: Collection[bytes], folder: str, store: TableStore) -> None:
    """Forget files that were put back."""
    before = read(folder, store)
    left = {path: moved for path, moved in before.items() if path not in paths}
    if len(left) < len(before):
        _write(left, folder, store)


def _write(files: Mapping[bytes, Moved], folder: str, store: TableStore) -> None:
    if not files:
        store.remove(f"{folder}/{MOVED}")
        return
    rows = [(path, *moved) for path, moved in sorted(files.items())]
    with store.publish(f"{folder}/{MOVED}") as file:
        pq.write_table(parquet.table_of_rows(rows, SCHEMA), file)
