"""A compile of a few sidecars in a temporary folder, to say what the whole one would take."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Final

import dask
import pyarrow as pa

from cutline.plan import plan_file, planning, shard_index
from cutline.progress import SILENT, Clock
from cutline.sources import Origin, shard_names
from cutline.store import TableFiles, parquet
from cutline.table import merge
from cutline.table.compile_options import CompileOptions
from cutline.table.part_files import CompileContext
from cutline.table.rows import make_parts

SHARDS: Final = 256
"""Shards that are walked, which takes 0.3 s each on a cold disk; behind a URL it is one."""

PART: Final = 500
"""Sidecars of each of the small parts that are compiled."""

PARTS: Final = 8
"""Small parts, evenly spread over all sidecars."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a compile of a sample came to.

    Attributes
    ----------
    origin
        What was listed.
    files
        The temporary files, which are there as long as the trial is.
    shards
        How many the source has; 0 of loose sidecars.
    share
        The share of the source that was listed: 1 of loose sidecars, of shards that of their bytes.
    listed
        The sidecars that were listed.
    indexes
        What is in the shards that were listed; None for loose sidecars.
    parts
        How many were made.
    sidecars, rows, rejects
        What was compiled, and what it came to.
    listing, seconds
        How long one process needed to list, and to compile.
    """

    origin: Origin
    files: TableFiles
    shards: int
    share: float
    listed: int
    indexes: list[shard_index.ShardIndex] | None
    parts: int
    sidecars: int
    rows: int
    rejects: dict[str, int]
    listing: float
    seconds: float

    @property
    def total(self) -> int:
        """How many sidecars the source has; an estimate where the share is not 1."""
        return round(self.listed / self.share)

    def scaled(self, count: float) -> float:
        """Return how much the whole source has of what the compiled sidecars have."""
        return count * self.listed / self.share / max(self.sidecars, 1)

    def size(self, name: str) -> int:
        """Return the bytes of one of the files, or of all in a folder."""
        if self.files.store.is_folder(name):
            return sum(self.files.store.sizes(name).values())
        folder, base = os.path.split(name)
        return self.files.store.sizes(folder).get(base, 0)

    @property
    def plan_size(self) -> int:
        """The bytes of the plan; of loose sidecars it has their paths only."""
        footer = parquet.footer_of(self.files.store, self.files.plan)
        groups = map(footer.row_group, range(footer.num_row_groups))
        chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
        there = [one for one in chunks if self.shards or one.path_in_schema == "path"]
        size: int = footer.serialized_size + sum(one.total_compressed_size for one in there)
        return size

    @property
    def footers(self) -> int:
        """The bytes that come with parts, however small: their footers, and the plan's."""
        store = self.files.store
        folders = (self.files.parts, self.files.rejects)
        names = [f"{folder}/{name}" for folder in folders for name in store.sizes(folder)]
        footers = (parquet.footer_of(store, name) for name in [self.files.plan, *names])
        return sum(footer.serialized_size for footer in footers)

    def read_rows(self) -> pa.Table:
        """Read the filenames and captions of the rows."""
        with parquet.opened_parquet(self.files.store, self.files.table) as file:
            return file.read(["filename", "caption"])


@contextmanager
def tried(origin: Origin, options: CompileOptions) -> Iterator[Trial]:
    """Compile a sample of a source; nothing is written but in a temporary folder.

    Raises what `compile_table` raises.
    """
    chosen, share = _listed_of(origin)
    with (
        TemporaryDirectory(prefix="cutline-") as folder,
        dask.config.set(scheduler="synchronous"),
        TableFiles.of(f"{folder}/trial.parquet").locked(lambda _: None) as files,
    ):
        clock = Clock()
        with clock.stage("list"):
            how = replace(options.planning, partition_size=PART)
            plan = planning.make_plan(chosen, files, how, None, SILENT)
        count = min(PARTS, len(plan.parts))
        few = [plan.parts[number * len(plan.parts) // count] for number in range(count)]
        lines = pa.concat_tables([part.lines() for part in few])
        parts = plan_file.write_plan(lines, PART, files.store, files.plan)
        context = CompileContext(planning.source_of(chosen, how), files, options)
        with clock.stage("rows"):
            made = sorted(make_parts(context, parts, None, SILENT), key=lambda one: one.index)
        with clock.stage("merge"):
            merged = merge.merge(files, made, replace(options, max_rejects=1))
        yield Trial(
            origin=chosen,
            files=files,
            shards=len(origin.names) if isinstance(origin, shard_names.ShardSet) else 0,
            share=share,
            listed=sum(part.sidecars for part in plan.parts),
            indexes=plan.indexes,
            parts=len(made),
            sidecars=merged.sidecars,
            rows=merged.rows,
            rejects=merged.rejects,
            listing=clock.stages["list"],
            seconds=clock.stages["rows"] + clock.stages["merge"],
        )


def _listed_of(origin: Origin) -> tuple[Origin, float]:
    """Return what of a source is listed: of many shards some; and their share of the bytes."""
    if not isinstance(origin, shard_names.ShardSet):
        return origin, 1.0
    most = 1 if "://" in origin.root else SHARDS
    if len(origin.names) <= most:
        return origin, 1.0
    names = [origin.names[number * len(origin.names) // most] for number in range(most)]
    sizes = {name: _size(origin, name) for name in origin.names}
    share = sum(sizes[name] for name in names) / sum(sizes.values())
    return replace(origin, names=tuple(names)), share


def _size(origin: shard_names.ShardSet, name: str) -> int:
    with origin.source.opened(name) as shard:
        return shard.size
