"""The rows of a table that was compiled from shards, and where in these their images are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client

from cutline.errors import UsageError
from cutline.plan import plan_file, shard_index
from cutline.progress import Watcher
from cutline.sources import shard_names
from cutline.store import TableFiles, disk, parquet
from cutline.table import CompileOptions, Slice, slices_of

COLUMNS: Final = list(CompileOptions.COLUMNS)


@dataclass(frozen=True, slots=True)
class ShardRows:
    """A shard, and the rows of the table whose sidecars are in it."""

    index: shard_index.ShardIndex
    slices: list[Slice]

    def read(self, columns: list[str]) -> list[pa.Table]:
        """Read the rows, in tables."""
        return [one.read(columns) for one in self.slices]


@dataclass(slots=True)
class ShardedTable:
    """A table, its files, the shards it was compiled from, and which rows are of each.

    `lost` are the rows whose image is in no shard, once `samples` has gone through all of them.
    """

    files: TableFiles
    shards: shard_names.ShardSet
    each: list[ShardRows]
    lost: pa.Table

    def samples(self) -> Iterator[tuple[shard_index.ShardIndex, pa.Table]]:
        """Yield for each shard the rows whose images are in it, with their `offset` and `length`.

        An image is looked for in the shard of its sidecar, and then in the others in order. Of
        members with one name the first counts, as in an extraction.
        """
        self.lost = pa.concat_tables([self.lost, *map(self._strays, self.each)])
        for one in self.each:
            images = self._images(one.index)
            rows = pa.concat_tables([*one.read(COLUMNS), self.lost])
            places = _places(rows, images)
            here = pc.is_valid(places)
            self.lost = self.lost.filter(pc.invert(here.slice(len(rows) - len(self.lost))))
            offset, length = images.select(["offset", "size"]).take(places.filter(here)).columns
            rows = rows.filter(here)
            yield (
                one.index,
                rows.append_column("offset", offset).append_column("length", length),
            )

    def _strays(self, one: ShardRows) -> pa.Table:
        """Return the rows whose image is not in the shard of their sidecar."""
        if not one.slices:
            return self.lost
        names = pa.concat_tables(one.read(["filename"]))
        astray = pc.is_null(_places(names, self._images(one.index)))
        if not pc.any(astray).as_py():
            return self.lost
        return pa.concat_tables(one.read(COLUMNS)).filter(astray)

    def _images(self, index: shard_index.ShardIndex) -> pa.Table:
        """Return the members of a shard that may be images."""
        members = shard_index.member_lines(index, ["sidecar", "reason"], self.files.store)
        sound = pc.field("reason").is_null() & pc.field("fault").is_null()
        return members.filter(sound & ~pc.field("sidecar") & (pc.field("size") > 0))


def _places(rows: pa.Table, images: pa.Table) -> pa.ChunkedArray:
    names = rows["filename"].cast(pa.string()).cast(pa.binary())
    return pc.index_in(names, images["path"].combine_chunks())


def sharded_table(
    files: TableFiles,
    shards: shard_names.ShardSet,
    client: Client | None,
    watcher: Watcher,
) -> ShardedTable:
    """Find which rows of a table are of which of its shards.

    Parameters
    ----------
    files
        The files of the table, whose lock is held.
    shards
        The shards that it was compiled from.
    client, watcher
        Who indexes the shards, if that has to be done again, and who is told of it.

    Raises
    ------
    UsageError
        It was not compiled from these shards as they are now, or has been changed since.
    """
    table = files.table
    parts = plan_file.read_plan(files.store, files.plan)
    if not parts or parts[0].shard is None:
        raise UsageError(
            f"{table} was not compiled from shards, as `cutline compile 'FOLDER/*.tar' {table}`"
            " does: only of such a table it is known where in the shards its images are."
        )
    indexes = _indexes(parts, shards, files, client, watcher)
    slices = slices_of(table, ["width", "height"])
    counts = [(part.shard, _rows_of(files, part)) for part in parts]
    if sum(count for _, count in counts) != sum(one.rows for one in slices):
        raise UsageError(f"{table} has not the rows of {files.parts}: compile it again.")
    spans: dict[str | None, tuple[int, int]] = {}
    end = 0
    for shard, count in counts:  # the parts of a shard follow each other
        spans[shard] = (spans.get(shard, (end, end))[0], end + count)
        end += count
    if not slices:
        raise UsageError(f"{table} has no row to train on: see its ledger for why.")
    each = [
        ShardRows(index, list(Slice.between(slices, *spans.get(index.shard, (0, 0)))))
        for index in indexes
    ]
    return ShardedTable(files, shards, each, slices[0].read(COLUMNS).slice(0, 0))


def _rows_of(files: TableFiles, part: plan_file.Part) -> int:
    try:
        return int(parquet.footer_of(files.store, files.part(part.index)).num_rows)
    except parquet.UNSOUND as error:
        raise UsageError(
            f"{files.part(part.index)} is not there or damaged: compile {files.table} again."
        ) from error


def _indexes(
    parts: list[plan_file.Part],
    shards: shard_names.ShardSet,
    files: TableFiles,
    client: Client | None,
    watcher: Watcher,
) -> list[shard_index.ShardIndex]:
    firsts: dict[str, plan_file.Part] = {}
    for part in parts:
        firsts.setdefault(str(part.shard), part)
    if missing := sorted(firsts.keys() - set(shards.names)):
        raise UsageError(
            f"The shard {missing[0]} of {files.table} is not in {shards.root}: name the shards that"
            " the table was compiled from."
        )
    indexes = shard_index.index_shards(shards, files.store, files.indexes, client, watcher)
    for index in indexes:
        if index.shard in firsts and index.stamp != firsts[index.shard].lines()["stamp"][0].as_py():
            raise UsageError(
                f"The shard {shards.root}/{index.shard} has changed since {files.table} was"
                " compiled: compile it again."
            )
    return indexes


def shards_of(table: disk.AnyPath, data: shard_names.Where | None = None) -> shard_names.ShardSet:
    """Open the shards of a table: those that are named, or those beside it and in ``data`` there.

    Raises
    ------
    UsageError
        There are none.
    """
    if data is not None:
        return shard_names.open_shards(data)
    folder = disk.absolute(table).rpartition("/")[0] or "/"
    if not (found := shard_names.shards_in_root(folder)):
        raise UsageError(
            f"There are no shards in {folder} or {folder}/data: name those that {table} was"
            " compiled from."
        )
    return shard_names.open_shards(found)
