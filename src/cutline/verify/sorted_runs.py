"""Lines spread over tasks by the hash of a key, through files and not through memory.

A sorted run is an Arrow file of batches, each sorted by hash. A task reads its range of hashes out
of every sorted run and so has all lines of its keys, whatever wrote them. No process holds more
than a batch, or one range.
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
class HashRange:
    """One of `of` equal ranges of hashes."""

    index: int
    of: int

    def bounds(self) -> tuple[int, int]:
        """Return the first hash, and the one after the last."""
        return self.index * HASHES // self.of, (self.index + 1) * HASHES // self.of


@dataclass(frozen=True, slots=True)
class SortedRun:
    """A sorted run that is being written."""

    writer: pa.RecordBatchFileWriter

    def add(self, keys: Iterable[bytes], lines: pa.Table) -> None:
        """Add a batch, sorted by hash; what has the same hash keeps its order."""
        # Not Python's own hash, which differs between processes.
        hashes = np.fromiter(map(crc32, keys), np.uint32, len(lines))
        order = np.argsort(hashes, kind="stable")
        batch = lines.take(pa.array(order)).add_column(0, HASH, pa.array(hashes[order]))
        self.writer.write_table(batch.combine_chunks(), max_chunksize=max(1, len(batch)))


@contextmanager
def write_run(path: str, schema: pa.Schema) -> Iterator[SortedRun]:
    """Write a sorted run of lines of a schema."""
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, schema.insert(0, HASH)) as writer:
        yield SortedRun(writer)


def read_range(runs: Iterable[str], schema: pa.Schema, wanted: HashRange) -> pa.Table:
    """Read one range of hashes out of every sorted run: the lines, without the hashes."""
    batches = [batch for run in runs for batch in _batches_of(run, wanted)]
    return pa.Table.from_batches(batches, schema).combine_chunks()


def _batches_of(run: str, wanted: HashRange) -> Iterator[pa.RecordBatch]:
    index, batches = 0, 1
    while index < batches:
        # Mapped, so that little more than the range is read. And mapped again for each batch: the
        # kernel reads pages around each one that is touched and keeps them while the map is open,
        # so that with one map for all batches memory grew by the size of the file.
        with pa.memory_map(run) as file:
            reader = pa.ipc.open_file(file)
            batches = reader.num_record_batches
            if index < batches:
                yield _cut(reader.get_batch(index), wanted)
        index += 1


def _cut(batch: pa.RecordBatch, wanted: HashRange) -> pa.RecordBatch:
    hashes = batch.column(0).to_numpy()
    first, last = np.searchsorted(hashes, np.array(wanted.bounds(), np.uint64))
    lines = pa.RecordBatch.from_arrays(batch.columns[1:], schema=batch.schema.remove(0))
    return lines.take(pa.array(np.arange(first, last)))
