"""The first rows of a table, of a folder of parts or of the ledger, to look at."""

import csv
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table
from rich.text import Text

from cutline.errors import CutlineError, UsageError

# Control characters, and those that turn the reading direction or break a line.
UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

SHOWN: Final = 1000
"""Characters of a cell that are handed to rich; no terminal is wider."""


def first_rows(path: str, count: int) -> pa.Table:
    """Read the first rows, and little more than these.

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
    rows: list[pa.Table] = []
    for part in part_files(path) if os.path.isdir(path) else [path]:
        rows.append(first_of_file(part, count))
        count -= rows[-1].num_rows
        if count <= 0:
            break
    return pa.concat_tables(rows, promote_options="default")


def part_files(folder: str) -> list[str]:
    """List the parts directly below a folder, in order."""
    names = (name for name in os.listdir(folder) if re.fullmatch(r"part-\d+\.parquet", name))
    # By number: part-100000 comes after part-99999.
    parts = sorted(names, key=lambda name: (len(name), name))
    if not parts:
        raise UsageError(f"There are no parts in {folder}: name a table or its .parts folder.")
    return [os.path.join(folder, name) for name in parts]


def first_of_file(path: str, count: int) -> pa.Table:
    """Read the first rows of one file."""
    batches: list[pa.RecordBatch] = []
    with open_parquet(path) as file, damage(path):
        for batch in file.iter_batches(batch_size=max(count, 1)):
            batches.append(batch)
            if sum(batch.num_rows for batch in batches) >= count:
                break
        rows = pa.Table.from_batches(batches, file.schema_arrow).slice(0, count)
        rows.validate(full=True)  # finds text that is not UTF-8
    return rows


@contextmanager
def open_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """Open a parquet file to be read as a stream, in a few MB whatever its size.

    Raises
    ------
    UsageError
        There is no such file, or it is not parquet.
    """
    if not os.path.exists(path):
        raise UsageError(f"There is no {path}: name a table that `cutline compile` has made.")
    try:
        raw = pa.OSFile(os.fsencode(path))  # as text, Arrow takes only UTF-8, and some for URLs
        # pre_buffer, which is the default, reads a whole row group ahead and keeps every one that
        # it has read: ten rows of a 156 MB file in one row group read all of it, this way 0.8 MB;
        # all rows held 163 MB of Arrow memory, this way 13 MB, and took no longer.
        file = pq.ParquetFile(raw, pre_buffer=False, buffer_size=65536)
    except PermissionError as error:
        raise CutlineError(f"{path} may not be read: ask its owner.") from error
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is no parquet file: name a table or a parts folder.") from error
    with raw:
        yield file


@contextmanager
def damage(path: str) -> Iterator[None]:
    """Say in one sentence that a parquet file is damaged where it is read."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise CutlineError(f"{path} is damaged: compile it again.") from error


def as_table(rows: pa.Table) -> Table:
    """Lay rows out for a terminal: a line each, long text cut to fit, nothing sent raw."""
    table = Table()
    for column in rows.schema:
        number = pa.types.is_integer(column.type)
        # A column that may not wrap keeps its width while rich narrows the widest of the others.
        table.add_column(cell(column.name), justify="right" if number else "left", no_wrap=number)
    for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        table.add_row(*map(cell, row))
    return table


def cell(value: object) -> Text:
    """Make one line of a value, with control characters escaped and markup as it stands."""
    text = "" if value is None else str(value)[:SHOWN]
    return Text(UNSEEN.sub(escaped, text), no_wrap=True, overflow="ellipsis")


def escaped(match: re.Match[str]) -> str:
    r"""Write a character as ``\x1b`` or ``\u202e``."""
    return match.group().encode("unicode_escape").decode()


def as_csv(rows: pa.Table) -> str:
    """Write rows as RFC 4180 has it: a header, CRLF, quotes where they are needed."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in rows.columns), strict=True))
    return text.getvalue()


def as_json(rows: pa.Table) -> str:
    """Write rows as a JSON list of objects, one a line."""
    lines = (orjson.dumps(row, default=str).decode() for row in rows.to_pylist())
    return "[" + ",\n ".join(lines) + "]\n"
