"""A table cut into slices: rows that are read together, at most a row group of ours."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from cutline import parts, store
from cutline.errors import CutlineError, UsageError
from cutline.parquet import check_once, open_parquet, sound


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of a table; `version` is the table's, to know it again."""

    table: str
    version: store.Version
    row_group: int
    start: int
    rows: int

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read some columns of the rows.

        Raises
        ------
        CutlineError
            The table is damaged, has text that is not UTF-8, or is another one by now.
        """
        with sound(self.table), pq.ParquetFile(self.table) as table:
            if store.version_of(self.table) != self.version:
                raise CutlineError(f"The table {self.table} has been replaced: run this again.")
            rows = table.read_row_group(self.row_group, list(columns))
            rows = rows.slice(self.start, self.rows)
            rows.validate(full=True)
        return rows


def slices_of(table: str, numbers: Iterable[str] = ()) -> list[Slice]:
    """Cut a table into slices: its row groups, and a large one of another writer into pieces.

    Parameters
    ----------
    table
        The table.
    numbers
        Columns of whole numbers that must be there, beside those of text.

    Raises
    ------
    UsageError
        There is no such table, or it lacks a column.
    """
    with open_parquet(table, "compile it again") as file:
        metadata = file.metadata
    table = os.path.abspath(table.removeprefix("file://"))
    version = store.version_of(table)
    schema = metadata.schema.to_arrow_schema()
    kinds = {"caption": ("text", is_text), "filename": ("text", is_text)}
    kinds |= dict.fromkeys(numbers, ("whole numbers", pa.types.is_integer))
    check_once(schema, f"The table {table}", kinds)
    for column, (kind, fits) in kinds.items():
        if column not in schema.names or not fits(schema.field(column).type):
            raise UsageError(
                f"The table {table} has no column {column} of {kind}: compile it with cutline."
            )
    return [
        Slice(table, version, group, start, min(parts.ROW_GROUP, rows - start))
        for group in range(metadata.num_row_groups)
        for rows in [metadata.row_group(group).num_rows]
        for start in range(0, rows, parts.ROW_GROUP)
    ]


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column's values are text in Python, however they are kept."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return kind in {pa.string(), pa.large_string(), pa.string_view()}
