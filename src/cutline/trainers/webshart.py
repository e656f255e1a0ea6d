"""The index from which webshart reads samples out of shards: a JSON file for each shard.

The format is that of webshart 0.4: ``python/webshart/__init__.py`` and ``src/metadata.rs``. Only
what it lists is seen, so rejected samples are left out. It looks for shards directly in one folder.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
import pyarrow as pa
from distributed import Client

from cutline.errors import CutlineError, UsageError
from cutline.progress import Clock, Summary, Watcher
from cutline.sources import shard_names
from cutline.store import TableFiles, disk
from cutline.trainers.formats import ShardFormat
from cutline.trainers.in_shards import ShardedTable, sharded_table, shards_of

CACHE: Final = "metadata_cache"
"""Where the trainer has webshart cache the index, below the ``cache_dir`` of the entry."""


@dataclass(frozen=True, slots=True, repr=False)
class IndexSummary(Summary):
    """What `write_index` did; `without_image` counts the rows whose image is in no shard."""

    out: str
    rows: int
    without_image: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {"job": "index", **asdict(self)}


def write_index(
    table: disk.AnyPath,
    shards: shard_names.ShardSet,
    *,
    client: Client | None,
    watcher: Watcher,
    force_unlock: bool = False,
) -> IndexSummary:
    """Write ``X.webshart`` beside a table, which appears complete or not at all.

    Parameters
    ----------
    table, shards
        The table, and the shards that it was compiled from.
    client, watcher
        Who indexes the shards, if that has to be done again, and who is told.
    force_unlock
        Take over the table's lock from a run on another host.

    Raises
    ------
    UsageError
        webshart would not find the shards, or the table is not of these.
    CutlineError
        It cannot be written; the index that was there is as it was.
    """
    clock = Clock()
    check_places(shards)
    with TableFiles.of(table).locked(watcher.say, force=force_unlock) as files:
        sharded = sharded_table(files, shards, client, watcher)
        _check_own(files.webshart)
        rows = 0
        with files.store.publish_folder(files.webshart) as folder:
            for name, content, count in _index_files(sharded):
                with open(f"{folder}/{name}", "wb") as file:
                    file.write(content)
                rows += count
        lost = sharded.lost["filename"].slice(0, 1).to_pylist()
    if lost:
        watcher.say(
            f"{len(sharded.lost):,} rows have no image in the shards, such as {lost[0]}, and are"
            f" not in {files.webshart}."
        )
    return IndexSummary(files.webshart, rows, len(sharded.lost), clock.total())


def _write(
    table: str, shards: shard_names.ShardSet, out: str, client: Client | None, watcher: Watcher
) -> int:
    expected = TableFiles.of(table).webshart
    if out != os.path.realpath(expected):
        raise UsageError(
            f"The index of {table} is {expected}, where it is looked for: leave --out."
        )
    return write_index(table, shards, client=client, watcher=watcher).rows


def _index_files(sharded: ShardedTable) -> Iterator[tuple[str, bytes, int]]:
    """Yield the name of the index of each shard, its content, and how many samples it has."""
    for index, samples in sharded.samples():
        with sharded.shards.source.opened(index.shard) as shard:
            content = index_of(shard.size, samples)
        yield index_name(index.shard), content, len(samples)


def index_name(shard: str) -> str:
    """Return the name of the index of a shard in its folder."""
    return os.path.splitext(shard)[0] + ".json"


def index_of(filesize: int, samples: pa.Table) -> bytes:
    """Return the index of a shard of some bytes: a JSON object of its samples by filename."""
    names = ("filename", "offset", "length", "width", "height", "caption")
    columns = (samples[name].to_pylist() for name in names)
    entries = {
        name: {"offset": at, "length": size, "width": wide, "height": high, "captions": text}
        for name, at, size, wide, high, text in zip(*columns, strict=True)
    }
    return orjson.dumps({"filesize": filesize, "files": entries})


def open_sharded(
    files: TableFiles, data: shard_names.Where, client: Client | None, watcher: Watcher
) -> ShardedTable:
    """Open a table, whose lock is held, with its shards; what is raised is as of `write_index`."""
    return sharded_table(files, shards_of(files.table, data), client, watcher)


def check_places(shards: shard_names.ShardSet) -> None:
    """Raise UsageError if webshart would not find some of the shards."""
    for name in shards.names:
        if "/" in name:
            raise UsageError(
                f"The shards of {shards.root} are in several folders, such as {name}, and webshart"
                " looks into one: move them together, and compile the table again."
            )
        if not name.endswith(".tar"):
            raise UsageError(
                f"webshart passes over {shards.root}/{name}: let its name end in .tar,"
                " and compile the table again."
            )


def _check_own(folder: str) -> None:
    if os.path.islink(folder) or (os.path.lexists(folder) and not os.path.isdir(folder)):
        raise CutlineError(f"{folder} is no folder, where the index goes: move it away.")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    if others := sorted(name for name in names if not name.endswith(".json")):
        raise CutlineError(
            f"{folder} holds {others[0]}, which is no index of a shard: move it away, for the"
            " folder is replaced."
        )


def is_stale(cache: str, folder: str) -> bool:
    """Return whether what is kept in a ``cache_dir`` is of an older index than the one there is.

    webshart keeps the index of a shard by the names of the dataset and of the shard, and never
    looks whether it has changed since (``src/discovery.rs``, `ensure_shard_metadata`). A new index
    has all of its files new.
    """
    kept = _times(os.path.join(cache, CACHE))
    return bool(kept) and min(kept) < max(_times(folder), default=0)


def _times(folder: str) -> list[int]:
    return [
        os.stat(f"{above}/{name}").st_mtime_ns
        for above, _, names in os.walk(folder)
        for name in names
    ]


WEBSHART: Final = ShardFormat(".webshart", _write)
