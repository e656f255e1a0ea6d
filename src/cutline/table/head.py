"""The first rows of a table, of a folder of parts or of the ledger, to look at."""

import csv
import io
import os
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
from rich.table import Table

from cutline.errors import UsageError, checked
from cutline.record import texts
from cutline.store import TableFiles, disk, parquet


@checked
def first_rows(path: disk.AnyPath, count: int) -> pa.Table:
    """Read the first rows, and little more than those.

    Parameters
    ----------
    path
        A table, a folder of parts (``X.parts``) or a ledger (``X.rejects.parquet``).
    count
        The number of rows; there may be fewer.

    Raises
    ------
    UsageError
        `path` is not there or is none of these, or `count` is negative.
    CutlineError
        The file is damaged.
    """
    if count < 0:
        raise UsageError(f"The number of rows is 0 or more, not {count}.")
    path = os.fspath(path).removeprefix("file://")
    rows: list[pa.Table] = []
    for part in _part_files(path) or [path]:
        rows.append(_first_of_file(part, count))
        count -= rows[-1].num_rows
        if count <= 0:
            break
    return pa.concat_tables(rows, promote_options="default")


def _part_files(folder: str) -> list[str]:
    """List the parts directly below a folder, in order; none if it is a file."""
    if (names := parquet.names_in(folder)) is None:
        return []
    # By number: part-100000 comes after part-99999.
    named = filter(TableFiles.is_part_name, names)
    parts = sorted(named, key=lambda name: (len(name), name))
    if not parts:
        raise UsageError(f"There are no parts in {folder}: name a table or its .parts folder.")
    return [os.path.join(folder, name) for name in parts]


def _first_of_file(path: str, count: int) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    with parquet.open_parquet(path, "name a table or a parts folder") as file, parquet.sound(path):
        count = min(count, file.metadata.num_rows)  # a user may ask for more than 64 bits hold
        for batch in file.iter_batches(batch_size=max(count, 1)):
            batches.append(batch)
            if sum(batch.num_rows for batch in batches) >= count:
                break
        rows = pa.Table.from_batches(batches, file.schema_arrow).slice(0, count)
        rows.validate(full=True)  # finds text that is not UTF-8
    return rows


def values(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Yield the values of each row, as Python has them.

    Raises
    ------
    UsageError
        Python has no such value, such as a time after the year 9999.
    """
    columns = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (OverflowError, ValueError) as error:
            raise UsageError(
                f"The column {name!a} cannot be shown ({error}): write it as text, or leave it out."
            ) from error
    return zip(*columns, strict=True)


def as_table(rows: pa.Table) -> Table:
    """Return rows for a terminal: a line each, long text cut to fit, control characters escaped."""
    table = Table()
    for column in rows.schema:
        number = pa.types.is_integer(column.type)
        # A column that may not wrap keeps its width while rich narrows the widest others.
        table.add_column(
            texts.cell(column.name), justify="right" if number else "left", no_wrap=number
        )
    for row in values(rows):
        table.add_row(*map(texts.cell, row))
    return table


def as_csv(rows: pa.Table) -> str:
    """Return rows as CSV of RFC 4180: a header, CRLF, quotes where they are needed."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows.column_names)
    writer.writerows(map(_as_cells, values(rows)))
    return text.getvalue()


def _as_cells(row: tuple[Any, ...]) -> list[Any]:
    return [orjson.dumps(value).decode() if isinstance(value, list) else value for value in row]


def as_json(rows: pa.Table) -> str:
    """Return rows as a JSON list of objects, one a line."""
    objects = (dict(zip(rows.column_names, row, strict=True)) for row in values(rows))
    lines = (orjson.dumps(one, default=str).decode() for one in objects)
    return "[" + ",\n ".join(lines) + "]\n"
