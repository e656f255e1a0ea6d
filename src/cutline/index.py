"""What is in each shard: the stage before a compile from shards, and before an extraction.

A task walks a shard and writes a small file of its members: 69 shards of 8 GB are 500 KB each.
The file's name tells of which shard it is, as that was at the time; the index of a shard that has
not changed is used again. The driver is on top; below it is what runs on a worker.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client

from cutline import events, store, watch
from cutline.columns import table_of, table_of_rows
from cutline.entries import Entries
from cutline.errors import CutlineError
from cutline.ledger import DAMAGED, EMPTY, LEDGER
from cutline.parquet import UNSOUND
from cutline.plan import LINES
from cutline.remote import cut_off
from cutline.running import bag_of, results, things_a_task
from cutline.shards import OpenShard, Shards
from cutline.shardset import ShardSet
from cutline.sidecars import CONCURRENT_READS
from cutline.tar import Damage, PackedError, walk

FORMAT: Final = 2
"""The version of the index files; an index of another version is made anew."""

DAMAGES: Final = 100
"""How many damages of a shard are told one by one; a hostile one has one for every two blocks."""

AT_ONCE: Final = 8
"""Shards that a task walks at once at least, where that leaves no thread without a task."""

BATCH: Final = 10_000
"""Members that are held in memory: a hostile shard may have a million."""

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

    `damages` are the offsets of the first `DAMAGES`, and what is wrong there; `damaged` counts all.
    """

    shard: str
    stamp: str
    path: str
    damaged: int
    damages: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What every task has to know: the shards, and where indexes and attempts are written."""

    shards: Shards
    folder: str
    staging: str
    fresh: bool = False


def index_shards(
    shards: ShardSet,
    outputs: store.Outputs,
    client: Client | None,
    watcher: watch.Watcher,
    *,
    fresh: bool = False,
) -> list[ShardIndex]:
    """Find what is in each shard, in the order of the shards; `fresh` uses no index that is there.

    Raises
    ------
    CutlineError
        A shard cannot be read, or is packed.
    """
    outputs.make_index_folder()
    job = Job(shards.source, outputs.indexes, outputs.staging, fresh)
    each = at_once(shards, client)
    bag = bag_of(shards.names, index_each, job, stage="index-shards", each=each)
    indexes = sorted(results(bag, client, watcher), key=lambda index: os.fsencode(index.shard))
    outputs.keep_indexes({index.path for index in indexes})
    return indexes


def at_once(shards: ShardSet, client: Client | None) -> int:
    """Say how many shards are one task, which walks them at once, because to walk is to wait.

    Behind a URL, with 20 ms to a request, nine shards are walked in the time of one; on a cold
    disk, six in 1.8 s instead of 3.7.
    """
    count = len(shards.names)
    fair = things_a_task(count, client, tasks_a_thread=1)
    return max(things_a_task(count, client), min(AT_ONCE, fair))


def sidecar_lines(indexes: list[ShardIndex]) -> pa.Table:
    """List the sidecars of all shards: sorted shard, then member order."""
    members = (member_lines(index, ["sidecar"]) for index in indexes)
    lines = [table.filter(table["sidecar"]).select(LINES.names) for table in members]
    return pa.concat_tables(lines)


def member_lines(index: ShardIndex, more: list[str]) -> pa.Table:
    """Read an index as lines of a plan, and with them some columns of its own."""
    with pq.ParquetFile(index.path) as file:  # pq.read_table imports more, for 0.06 s
        members = file.read()
    of_shard = {
        name: pa.repeat(pa.scalar(value, pa.string()), len(members))
        for name, value in (("stamp", index.stamp), ("shard", index.shard))
    }
    named = {name: members[name] for name in ("path", "size", "offset", "fault", *more)}
    return pa.table({**named, **of_shard}, pa.schema([*LINES, *map(INDEX.field, more)]))


def damaged(indexes: list[ShardIndex]) -> list[ShardIndex]:
    """Give those of the shards that are damaged."""
    return [index for index in indexes if index.damaged]


def damage_lines(indexes: list[ShardIndex]) -> pa.Table:
    """Say in the ledger what is damaged."""
    lines = [
        (index.shard, DAMAGED, detail, None) for index in indexes for detail in shown_damages(index)
    ]
    return table_of_rows(lines, LEDGER) if lines else EMPTY


def shown_damages(index: ShardIndex) -> Iterator[str]:
    """Tell each damage of a shard, and how many are not told."""
    for offset, detail in index.damages:
        yield f"at byte {offset:,}: {detail}"
    if index.damaged > len(index.damages):
        yield f"and {index.damaged - len(index.damages):,} more damages"


def shortfall(indexes: list[ShardIndex], output: str) -> str:
    """Say in one sentence that the output of damaged shards is not whole; empty if it is."""
    unsound = damaged(indexes)
    if not unsound:
        return ""
    first = f"{unsound[0].shard} {next(shown_damages(unsound[0]))}"
    return (
        f"{len(unsound):,} of {len(indexes):,} shards are damaged, and {output} has only what could"
        f" be read of them (the first: {first}): fetch them anew, or add --allow-damaged."
    )


# On a worker from here on.


def index_each(names: Iterable[str], job: Job) -> list[ShardIndex]:
    """Index some shards, all at once."""
    began = perf_counter()
    walkers = ThreadPoolExecutor(CONCURRENT_READS)
    try:
        indexes = list(walkers.map(partial(index_shard, job=job), names))
    finally:
        # Not as `with` does it: of a shard that cannot be read nobody is to hear minutes later.
        walkers.shutdown(wait=False, cancel_futures=True)
    events.tell(indexed(indexes, perf_counter() - began))
    return indexes


def index_shard(name: str, job: Job) -> ShardIndex:
    """Give the index of a shard, which is made if it is not there."""
    with job.shards.opened(name) as shard:
        key = hashlib.blake2b(f"{FORMAT} {shard.stamp} {name}".encode(errors="surrogateescape"))
        path = f"{job.folder}/{key.hexdigest()[:32]}.parquet"
        damages = None if job.fresh else read_damages(path)
        if damages is None:
            damages = write_index(shard, path, job)
        return ShardIndex(name, shard.stamp, path, damages.count, tuple(damages.first))


def indexed(indexes: list[ShardIndex], seconds: float) -> events.Done:
    """Say what is to be told of shards."""
    damages = [(index.shard, next(shown_damages(index))) for index in damaged(indexes)]
    return events.Done(
        task=events.example(" to ".join(sorted({indexes[0].shard, indexes[-1].shard}))),
        amount=len(indexes),
        made={"members": sum(pq.read_metadata(index.path).num_rows for index in indexes)},
        rejects={DAMAGED: len(damages)} if damages else {},
        seconds=seconds,
        examples={DAMAGED: events.example(*damages[0])} if damages else {},
    )


@dataclass(slots=True)
class Damages:
    """The damages of a shard: how many, and the first of them."""

    count: int
    first: list[tuple[int, str]]

    def add(self, damage: Damage) -> None:
        """Take in one more."""
        self.count += 1
        if self.count <= DAMAGES:
            self.first.append((damage.offset, damage.detail))


def read_damages(path: str) -> Damages | None:
    """Read from an index what is damaged, or None if there is no sound index."""
    try:
        with pq.ParquetFile(path) as file:
            damages = msgspec.json.decode((file.metadata.metadata or {})[KEY], type=Damages)
            if file.schema_arrow != INDEX:
                return None
            file.read().validate(full=True)
    except (*UNSOUND, KeyError):
        return None
    return damages


def write_index(shard: OpenShard, path: str, job: Job) -> Damages:
    """Walk a shard, and publish the index of it."""
    damages = Damages(0, [])
    with store.publish(path, job.staging) as file, pq.ParquetWriter(file, INDEX) as writer:
        for members in batches_of_entries(shard, damages):
            writer.write_table(table_of(members.columns(), INDEX))
        writer.add_key_value_metadata({KEY: json.dumps(asdict(damages)).encode()})
    return damages


def batches_of_entries(shard: OpenShard, damages: Damages) -> Iterator[Entries]:
    """Walk a shard: give its members, many at a time, and take in its damages."""
    members = Entries()
    try:
        for found in walk(shard.read, shard.size):
            if isinstance(found, Damage):
                damages.add(found)
                continue
            members.add(found)
            if len(members.paths) == BATCH:
                yield members
                members = Entries()
    except PackedError as error:
        raise CutlineError(f"{shard.place} {error}") from error
    except OSError as error:
        raise cut_off(shard.place, error) from error
    if members.paths:
        yield members
