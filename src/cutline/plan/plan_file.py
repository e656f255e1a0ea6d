"""The plan of a compile: the frozen listing, cut into parts.

The plan is a file on the shared storage, one row group a part, so that a task carries only where
its part is: a million paths in a Dask graph would be 49 MB, against Dask's warning at 10.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cutline.sources import line_format
from cutline.store import TableStore, parquet


@dataclass(frozen=True, slots=True)
class Part:
    """Where to find one part of the plan: a row group of the plan's file, of one shard if any."""

    store: TableStore
    plan: str
    index: int
    sidecars: int
    shard: str | None = None

    def lines(self) -> pa.Table:
        """Read the part's lines."""
        footer = _footer(self.store, self.plan, self.store.version(self.plan))
        with parquet.opened_parquet(self.store, self.plan, footer) as plan:
            return plan.read_row_group(self.index)


@lru_cache(1)  # of 1,160 parts it takes 20 ms to read, and a part's lines 1
def _footer(store: TableStore, plan: str, version: object) -> pq.FileMetaData:  # noqa: ARG001
    return parquet.footer_of(store, plan)


def write_plan(lines: pa.Table, partition_size: int, store: TableStore, plan: str) -> list[Part]:
    """Freeze a listing as the plan's file, at most `partition_size` lines a part.

    No part is of two shards: a shard that has changed costs its own parts and no other.
    """
    parts: list[Part] = []
    with (
        store.publish(plan) as file,
        pq.ParquetWriter(
            file, line_format.LINES, use_dictionary=["stamp", "shard", "fault"]
        ) as writer,
    ):
        for piece in pieces(lines, partition_size):
            writer.write_table(piece, row_group_size=len(piece))
            parts.append(Part(store, plan, len(parts), len(piece), piece["shard"][0].as_py()))
    return parts


def read_plan(store: TableStore, plan: str) -> list[Part]:
    """Read which parts a plan has; none if it is damaged, of another version, or not there."""
    try:
        with parquet.opened_parquet(store, plan) as file:
            if file.schema_arrow != line_format.LINES:
                return []
            shards = file.read(["shard"])["shard"].to_pylist()
            groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    except parquet.UNSOUND:
        return []
    sizes = [group.num_rows for group in groups]
    if sum(sizes) != len(shards) or not all(sizes):
        return []
    starts = accumulate(sizes, initial=0)
    return [
        Part(store, plan, index, size, shards[start])
        for index, (size, start) in enumerate(zip(sizes, starts, strict=False))
    ]


def pieces(lines: pa.Table, partition_size: int) -> Iterator[pa.Table]:
    """Cut a listing into those of its parts."""
    for start, stop in pairwise(cuts(lines["shard"], partition_size)):
        yield lines.slice(start, stop - start)


def cuts(shards: pa.ChunkedArray, partition_size: int) -> list[int]:
    """Return where lines are cut: where another shard begins, and after `partition_size` lines."""
    ends = [0, *pc.run_end_encode(shards.combine_chunks()).run_ends.to_pylist()]
    spans = (range(start, stop, partition_size) for start, stop in pairwise(ends))
    return [*chain.from_iterable(spans), len(shards)]
