"""A table cut into slices: the rows that one task writes the caption files of."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from distributed.metrics import context_meter

from cutline import parts
from cutline.errors import CutlineError, UsageError


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of a table: what one task does."""

    table: str
    row_group: int
    start: int
    rows: int


class Caption(NamedTuple):
    """One element of the bag: a caption, and the image that it belongs to."""

    filename: str | None
    text: str | None


def slices_of(table: str) -> list[Slice]:
    """Cut a table into slices: its row groups, and a large one of another writer into pieces."""
    try:
        metadata = pq.read_metadata(table)
    except FileNotFoundError:
        raise UsageError(f"The table {table} is not there: compile it first.") from None
    except pa.ArrowInvalid as error:
        raise UsageError(f"The table {table} is not a parquet file: compile it again.") from error
    schema = metadata.schema.to_arrow_schema()
    for column in ("caption", "filename"):
        if column not in schema.names or not is_text(schema.field(column).type):
            raise UsageError(
                f"The table {table} has no column {column} of text: compile it with cutline."
            )
    table = os.path.abspath(table)
    return [
        Slice(table, group, start, min(parts.ROW_GROUP, rows - start))
        for group in range(metadata.num_row_groups)
        for rows in [metadata.row_group(group).num_rows]
        for start in range(0, rows, parts.ROW_GROUP)
    ]


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column's values are text in Python, however they are kept."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return kind in {pa.string(), pa.large_string(), pa.string_view()}


def read_captions(slices: Iterable[Slice]) -> Iterator[Caption]:
    """Read the captions of some slices."""
    for one in slices:
        try:
            with context_meter.meter("read"), pq.ParquetFile(one.table) as table:
                rows = table.read_row_group(one.row_group, ["caption", "filename"])
                rows = rows.slice(one.start, one.rows)
                filenames, captions = rows["filename"].to_pylist(), rows["caption"].to_pylist()
        except (ValueError, OSError) as error:  # text that is not UTF-8; damaged pages
            raise CutlineError(
                f"The table {one.table} cannot be read ({error}): compile it again."
            ) from error
        yield from map(Caption, filenames, captions)
