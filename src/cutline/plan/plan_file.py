"""The file of a plan: the listing of a source, cut into parts.

It has one row group a part, so that a task carries only where its part is: a million paths in a
Dask graph would be 49 MB, and Dask warns at 10.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cutline.plan.beside import PAIRED
from cutline.sources import line_format
from cutline.store import TableStore, parquet


@dataclass(frozen=True, slots=True)
class Part:
    """Where one part of a plan is: a row group of the plan's file; `shard` is None if loose."""

    store: TableStore
    plan: str
    index: int
    sidecars: int
    shard: str | None = None

    def lines(self) -> pa.Table:
        """Read the part's lines."""
        footer = _footer(self.store, self.plan, parquet.awaited(self.store, self.plan))
        with parquet.opened_parquet(self.store, self.plan, footer) as plan:
            return plan.read_row_group(self.index)


@lru_cache(1)  # reading that of 1,160 parts takes 20 ms, a part's lines 1
def _footer(store: TableStore, plan: str, version: object) -> pq.FileMetaData:  # noqa: ARG001
    return parquet.footer_of(store, plan)


def write_plan(lines: pa.Table, partition_size: int, store: TableStore, plan: str) -> list[Part]:
    """Write a listing as a plan, at most `partition_size` lines a part.

    No part is of two shards, so that a shard that changes costs its own parts only.
    """
    parts: list[Part] = []
    with (
        store.publish(plan) as file,
        pq.ParquetWriter(file, lines.schema, use_dictionary=["stamp", "shard", "fault"]) as writer,
    ):
        for own in cut(lines, partition_size):
            writer.write_table(own, row_group_size=len(own))
            parts.append(Part(store, plan, len(parts), len(own), own["shard"][0].as_py()))
    return parts


def read_plan(
    store: TableStore, plan: str, schemas: Sequence[pa.Schema] = (line_format.LINES, PAIRED)
) -> list[Part]:
    """Read the parts of a plan; none if it is damaged, of other columns, or not there."""
    try:
        with parquet.opened_parquet(store, plan) as file:
            if file.schema_arrow not in schemas:
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


def cut(lines: pa.Table, partition_size: int) -> Iterator[pa.Table]:
    """Yield the lines of each part that a listing is cut into."""
    for start, stop in pairwise(_ends(lines["shard"], partition_size)):
        yield lines.slice(start, stop - start)


def _ends(shards: pa.ChunkedArray, partition_size: int) -> list[int]:
    """Return where lines are cut: at each new shard, and after each `partition_size` lines."""
    ends = [0, *pc.run_end_encode(shards.combine_chunks()).run_ends.to_pylist()]
    starts = (range(start, stop, partition_size) for start, stop in pairwise(ends))
    return [*chain.from_iterable(starts), len(shards)]
