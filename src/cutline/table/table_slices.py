"""A table cut into slices: rows that are read together, at most a row group of a compile."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from cutline.errors import CutlineError, UsageError
from cutline.plan import planning
from cutline.store import TableFiles, parquet


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of a table; `digest` is that of the footer of the table they were cut from."""

    files: TableFiles
    digest: bytes
    row_group: int
    start: int
    rows: int

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read some columns of the rows.

        Raises
        ------
        CutlineError
            The table is damaged, has text that is not UTF-8, or has been replaced.
        """
        files = self.files
        with (
            parquet.sound(files.table),
            parquet.opened_parquet(files.store, files.table) as table,
        ):
            if parquet.footer_digest(table.metadata) != self.digest:
                raise CutlineError(f"The table {files.table} has been replaced: run this again.")
            rows = table.read_row_group(self.row_group, list(columns))
            rows = rows.slice(self.start, self.rows)
            rows.validate(full=True)
        return rows

    @staticmethod
    def between(slices: Iterable["Slice"], start: int, stop: int) -> Iterator["Slice"]:
        """Yield slices of the rows from `start` to `stop`, out of all slices of a table."""
        first = 0
        for one in slices:
            begin, end = max(start, first), min(stop, first + one.rows)
            if begin < end:
                yield replace(one, start=one.start + begin - first, rows=end - begin)
            first += one.rows


def slices_of(table: str, numbers: Iterable[str] = (), beside: str = "") -> list[Slice]:
    """Cut a table into slices: its row groups, large ones cut smaller.

    Parameters
    ----------
    table
        The table.
    numbers
        Columns of whole numbers that must be there, besides `caption` and `filename`.
    beside
        The folder that has a file for each row, if any: see `planning.default_part_size`.

    Raises
    ------
    UsageError
        There is no such table, or it lacks a column.
    """
    with parquet.open_parquet(table, "compile it again") as file:
        metadata = file.metadata
    files = TableFiles.at(table)
    digest = parquet.footer_digest(metadata)
    schema = metadata.schema.to_arrow_schema()
    kinds = {"caption": ("text", parquet.is_captions), "filename": ("text", parquet.is_text)}
    kinds |= dict.fromkeys(numbers, ("whole numbers", pa.types.is_integer))
    parquet.check_once(schema, f"The table {files.table}", kinds)
    for column, (kind, fits) in kinds.items():
        if column not in schema.names or not fits(schema.field(column).type):
            raise UsageError(
                f"The table {files.table} has no column {column} of {kind}: compile it with"
                " cutline."
            )
    most = planning.default_part_size(metadata.num_rows, beside) if beside else planning.MOST
    return [
        Slice(files, digest, group, start, min(most, rows - start))
        for group in range(metadata.num_row_groups)
        for rows in [metadata.row_group(group).num_rows]
        for start in range(0, rows, most)
    ]
