"""Records spread over tasks by the hash of their key, through files and not through memory.

A run is an Arrow file of batches, each sorted by hash. A task reads its range of hashes out of
every run and so has all records of its keys, whatever wrote them. No process holds more than a
batch, or one range.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np
import pyarrow as pa

HASH: Final = pa.field("hash", pa.uint32(), nullable=False)

HASHES: Final = 2**32


@dataclass(frozen=True, slots=True)
class Range:
    """One of `of` equal ranges of hashes."""

    index: int
    of: int

    def bounds(self) -> tuple[int, int]:
        """Give the first hash, and the one after the last."""
        return self.index * HASHES // self.of, (self.index + 1) * HASHES // self.of


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is being written."""

    writer: pa.RecordBatchFileWriter

    def add(self, keys: Iterable[bytes], records: pa.Table) -> None:
        """Add a batch, sorted by hash; what has the same hash keeps its order."""
        # Not Python's own hash: that of another process is another one.
        hashes = np.fromiter(map(crc32, keys), np.uint32, len(records))
        order = np.argsort(hashes, kind="stable")
        batch = records.take(pa.array(order)).add_column(0, HASH, pa.array(hashes[order]))
        self.writer.write_table(batch.combine_chunks(), max_chunksize=max(1, len(batch)))


@contextmanager
def write_run(path: str, schema: pa.Schema) -> Iterator[Run]:
    """Write a run of records of a schema."""
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, schema.insert(0, HASH)) as writer:
        yield Run(writer)


def read_range(runs: Iterable[str], schema: pa.Schema, wanted: Range) -> pa.Table:
    """Read one range of hashes out of every run."""
    pieces = [piece for run in runs for piece in read_pieces(run, wanted)]
    return pa.Table.from_batches(pieces, schema).combine_chunks()


def read_pieces(run: str, wanted: Range) -> Iterator[pa.RecordBatch]:
    """Read one range of hashes out of each batch of a run."""
    index, batches = 0, 1
    while index < batches:
        # Mapped, so that little more than the range is read; and mapped again for each batch,
        # because around a page that is looked at the kernel puts others into memory, as long as
        # there is a map: with one for all batches it grew by the size of the run.
        with pa.memory_map(run) as file:
            reader = pa.ipc.open_file(file)
            batches = reader.num_record_batches
            if index < batches:
                yield cut(reader.get_batch(index), wanted)
        index += 1


def cut(batch: pa.RecordBatch, wanted: Range) -> pa.RecordBatch:
    """Copy a range of hashes out of a sorted batch: the records, without the hashes."""
    hashes = batch.column(0).to_numpy()
    first, last = np.searchsorted(hashes, np.array(wanted.bounds(), np.uint64))
    records = pa.RecordBatch.from_arrays(batch.columns[1:], schema=batch.schema.remove(0))
    return records.take(pa.array(np.arange(first, last)))
