"""What is in each shard: the stage before a compile from shards, and before an extraction.

A task walks a shard and writes a small file of its members: 500 KB for a shard of 8 GB. The name of
the file follows from the name and the stamp of the shard, so that the index of a shard that has not
changed is used again. The driver comes first; below it is what runs on a worker.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import perf_counter
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from distributed import Client

from cutline.cluster import running
from cutline.plan import beside
from cutline.plan.ledger import DAMAGED, EMPTY, LEDGER
from cutline.progress import Watcher, events
from cutline.sources import line_format, shard_names, tar_shards
from cutline.store import TableStore, parquet

FORMAT: Final = 3
"""The version of the index files; an index of another version is made anew."""

WALKERS: Final = 32
"""The most shards that a task walks at once."""

AT_ONCE: Final = 8
"""The fewest shards that a task walks at once, unless a thread would have no task then."""

INDEX: Final = pa.schema(
    [
        pa.field("path", pa.binary(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("sidecar", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("fault", pa.string()),
    ]
)
"""A line of an index: a member, in member order.

`path` is its name as a path, where it can be one; `reason` and `fault` say why it cannot be a file.
"""

KEY: Final = b"cutline"


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Where the index of one shard is, and what is damaged in the shard.

    `damages` has the offset and the detail of the first ones; `damaged` counts all.
    """

    shard: str
    stamp: str
    path: str
    damaged: int
    damages: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class IndexContext:
    """What every task of the indexing has to know."""

    shards: tar_shards.Shards
    store: TableStore
    folder: str
    fresh: bool = False


def index_shards(
    shards: shard_names.ShardSet,
    store: TableStore,
    folder: str,
    client: Client | None,
    watcher: Watcher,
    *,
    fresh: bool = False,
) -> list[ShardIndex]:
    """Make the index of each shard, or find it, in the order of the shards.

    Parameters
    ----------
    shards
        Which shards.
    store, folder
        Where the indexes are kept; those of other shards are removed from there.
    client, watcher
        Who does the work, and who is told of it.
    fresh
        Make each index, also where one is there.

    Raises
    ------
    CutlineError
        A shard cannot be read, or is compressed.
    """
    store.make_folder(folder)
    context = IndexContext(shards.source, store, folder, fresh)
    each = _at_once(shards, client)
    bag = running.bag_of(shards.names, index_each, context, stage="index-shards", each=each)
    indexes = sorted(
        running.results(bag, client, watcher), key=lambda index: os.fsencode(index.shard)
    )
    paths = {f"{folder}/{name}" for name in store.sizes(folder)}
    for path in paths.difference(index.path for index in indexes):
        store.remove(path)  # of a shard that is gone
    return indexes


def index_enough(
    shards: shard_names.ShardSet,
    limit: int | None,
    index: Callable[[shard_names.ShardSet], list[ShardIndex]],
    store: TableStore,
) -> list[ShardIndex]:
    """Index shards; with a limit, from the first one until they have so many sidecars."""
    if limit is None:
        return index(shards)
    for count in (2**step for step in itertools.count()):
        indexes = index(replace(shards, names=shards.names[:count]))
        found = len(sidecar_lines(indexes, store, images=False))
        if count >= len(shards.names) or found >= limit:
            break
    return indexes


def _at_once(shards: shard_names.ShardSet, client: Client | None) -> int:
    """Return how many shards a task walks, all at once, because walking is mostly waiting.

    Behind a URL, at 20 ms a request, nine shards take the time of one; on a cold disk, six take
    1.8 s instead of 3.7.
    """
    count = len(shards.names)
    fair = running.things_a_task(count, client, tasks_a_thread=1)
    return max(running.things_a_task(count, client), min(AT_ONCE, fair))


def sidecar_lines(indexes: list[ShardIndex], store: TableStore, *, images: bool) -> pa.Table:
    """Return the lines of the sidecars of all shards: by sorted shard, then in member order.

    With `images`, each line has also the image beside it.
    """
    return pa.concat_tables(_sidecar_lines(index, store, images) for index in indexes)


def _sidecar_lines(index: ShardIndex, store: TableStore, images: bool) -> pa.Table:  # noqa: FBT001
    members = member_lines(index, ["sidecar", "reason"], store)
    lines = members.filter(members["sidecar"]).select(line_format.LINES.names)
    if not images:
        return lines
    files = members.filter(pc.is_null(members["reason"])).select(line_format.LINES.names)
    return beside.paired(lines, files)


def member_lines(index: ShardIndex, more: list[str], store: TableStore) -> pa.Table:
    """Read an index as lines of a listing, with `more` columns of its own."""
    parquet.awaited(store, index.path)
    with parquet.opened_parquet(store, index.path) as file:
        members = file.read()
    of_shard = {
        name: pa.repeat(pa.scalar(value, pa.string()), len(members))
        for name, value in (("stamp", index.stamp), ("shard", index.shard))
    }
    named = {name: members[name] for name in ("path", "size", "offset", "fault", *more)}
    return pa.table({**named, **of_shard}, pa.schema([*line_format.LINES, *map(INDEX.field, more)]))


def damaged(indexes: list[ShardIndex]) -> list[ShardIndex]:
    """Return the indexes of the shards that are damaged."""
    return [index for index in indexes if index.damaged]


def damage_lines(indexes: list[ShardIndex]) -> pa.Table:
    """Build the lines of the ledger about what is damaged."""
    lines = [
        (index.shard, DAMAGED, detail, None)
        for index in indexes
        for detail in _shown_damages(index)
    ]
    return parquet.table_of_rows(lines, LEDGER) if lines else EMPTY


def _shown_damages(index: ShardIndex) -> Iterator[str]:
    """Yield each damage of a shard in words, and how many more there are."""
    for offset, detail in index.damages:
        yield f"at byte {offset:,}: {detail}"
    if index.damaged > len(index.damages):
        yield f"and {index.damaged - len(index.damages):,} more damages"


def shortfall(indexes: list[ShardIndex], output: str) -> str:
    """Return a sentence about what an output lacks if shards are damaged; empty if none is.

    `output` is it with its verb, such as "the table has".
    """
    unsound = damaged(indexes)
    if not unsound:
        return ""
    first = f"{unsound[0].shard} {next(_shown_damages(unsound[0]))}"
    return (
        f"{len(unsound):,} of {len(indexes):,} shards are damaged, and {output} only what could"
        f" be read of them (the first: {first}): download them again, or add --allow-damaged."
    )


# On a worker from here on.


def index_each(names: Iterable[str], context: IndexContext) -> list[ShardIndex]:
    """Index some shards, all at once."""
    began = perf_counter()
    walkers = ThreadPoolExecutor(WALKERS)
    try:
        indexes = list(walkers.map(partial(_index_shard, context=context), names))
    finally:
        # Not by `with`, which waits: that a shard cannot be read must not be heard minutes later.
        walkers.shutdown(wait=False, cancel_futures=True)
    events.tell(_indexed(indexes, perf_counter() - began, context.store))
    return indexes


def _index_shard(name: str, context: IndexContext) -> ShardIndex:
    """Return the index of a shard, made if it is not there."""
    with context.shards.opened(name) as shard:
        key = hashlib.blake2b(f"{FORMAT} {shard.stamp} {name}".encode(errors="surrogateescape"))
        path = f"{context.folder}/{key.hexdigest()[:32]}.parquet"
        damages = None if context.fresh else _read_damages(path, context.store)
        if damages is None:
            damages = _write_index(shard, path, context)
        return ShardIndex(name, shard.stamp, path, damages.count, tuple(damages.first))


def _indexed(indexes: list[ShardIndex], seconds: float, store: TableStore) -> events.Done:
    damages = [(index.shard, next(_shown_damages(index))) for index in damaged(indexes)]
    return events.Done(
        task=events.example(" to ".join(sorted({indexes[0].shard, indexes[-1].shard}))),
        amount=len(indexes),
        made={"members": sum(parquet.footer_of(store, index.path).num_rows for index in indexes)},
        rejects={DAMAGED: len(damages)} if damages else {},
        seconds=seconds,
        examples={DAMAGED: events.example(*damages[0])} if damages else {},
    )


def _read_damages(path: str, store: TableStore) -> tar_shards.Damages | None:
    """Read from an index what is damaged in its shard; None if there is no sound index."""
    try:
        with parquet.opened_parquet(store, path) as file:
            damages = msgspec.json.decode(
                (file.metadata.metadata or {})[KEY], type=tar_shards.Damages
            )
            if file.schema_arrow != INDEX:
                return None
            file.read().validate(full=True)
    except (*parquet.UNSOUND, KeyError):
        return None
    return damages


def _write_index(
    shard: tar_shards.OpenShard, path: str, context: IndexContext
) -> tar_shards.Damages:
    damages = tar_shards.Damages(0, [])
    with context.store.publish(path) as file, pq.ParquetWriter(file, INDEX) as writer:
        for lines in tar_shards.index_lines(shard, damages):
            writer.write_table(parquet.table_of_rows(lines, INDEX))
        writer.add_key_value_metadata({KEY: json.dumps(asdict(damages)).encode()})
    return damages
