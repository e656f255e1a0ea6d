"""The files of one part: its rows, and beside them its rejects."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from cutline import store
from cutline.errors import CutlineError
from cutline.options import CompileOptions
from cutline.plan import Receipt
from cutline.records import Row

LEDGER: Final = pa.schema(
    [(name, pa.string()) for name in ("source", "reason", "detail", "filename")]
)
"""The ledger: the sidecar's path in the source, why it gave no row, and its image's filename."""

REJECTS: Final = LEDGER.insert(0, pa.field("position", pa.int64()))
"""The rejects of a part: the ledger's columns, and where in the part the sidecar stands."""

ROW_GROUP: Final = 10_000
"""Rows a row group of the table; the captions job writes the files of one as one task."""


class Rejected(NamedTuple):
    """One line of a part's rejects."""

    position: int
    source: str
    reason: str
    detail: str
    filename: str | None


def rows_table(rows: list[Row], options: CompileOptions) -> pa.Table:
    """Turn rows into columns."""
    widths, heights, captions, filenames, extras = columns_of(rows, 5)
    extra = columns_of(extras, len(options.rules.columns))
    columns = [widths, heights, captions, filenames, *extra]
    return pa.table(list(map(pa.array, columns, options.schema.types)), options.schema)


def rejects_table(rejects: list[Rejected]) -> pa.Table:
    """Turn rejects into columns."""
    columns = columns_of(rejects, len(REJECTS))
    return pa.table(list(map(pa.array, columns, REJECTS.types)), REJECTS)


def columns_of(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Transpose rows of a width, of which there may be none."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def counts(rejects: pa.Table) -> dict[str, int]:
    """Count rejects by reason."""
    return dict(sorted(Counter(rejects["reason"].to_pylist()).items()))


def publish(
    outputs: store.Outputs,
    receipt: Receipt,
    rows: pa.Table,
    rejects: pa.Table,
    options: CompileOptions,
) -> None:
    """Publish a part: its rejects, and then its rows with the receipt in their footer."""
    if len(rejects):
        path = outputs.part_rejects(receipt.index, receipt.digest)
        with store.publish(path, outputs.staging) as file:
            write_table(file, [rejects], REJECTS, options.compression)
    with store.publish(outputs.part(receipt.index), outputs.staging) as file:
        write_table(file, [rows], options.schema, options.compression, receipt.footer())


def write_table(
    file: BinaryIO,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    compression: str,
    footer: dict[bytes, bytes] | None = None,
) -> None:
    """Write tables as one parquet file.

    The bytes depend on the rows alone, and not on how they come in tables.
    """
    # Captions and filenames hardly repeat: a dictionary of them costs time and saves nothing.
    repeating = [name for name in schema.names if name in {"width", "height", "reason"}]
    with pq.ParquetWriter(
        file, schema, compression=compression, use_dictionary=repeating
    ) as writer:
        for group in regrouped(tables):
            writer.write_table(group, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata(footer or {})


def regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut tables anew into row groups, each in one piece."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += len(table)
        while rows >= ROW_GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROW_GROUP).combine_chunks()
            held = [whole.slice(ROW_GROUP)]
            rows -= ROW_GROUP
    if rows:
        yield pa.concat_tables(held).combine_chunks()


def read_rows(
    outputs: store.Outputs, receipt: Receipt, columns: list[str] | None = None
) -> pa.Table:
    """Read the rows of a part, which must be the part that the receipt is for.

    Raises
    ------
    CutlineError
        Something has replaced the part's file.
    """
    with pq.ParquetFile(outputs.part(receipt.index)) as file:
        metadata = file.metadata.metadata or {}
        if receipt.footer().items() > metadata.items():
            raise CutlineError(
                f"{outputs.part(receipt.index)} was replaced while it was read: run it again."
            )
        return file.read(columns=columns)


def read_rejects(outputs: store.Outputs, receipt: Receipt) -> pa.Table:
    """Read the rejects of a part."""
    if not receipt.rejects:
        return REJECTS.empty_table()
    return pq.read_table(outputs.part_rejects(receipt.index, receipt.digest), partitioning=None)
