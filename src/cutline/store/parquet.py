"""Parquet files that may be anybody's, opened to be read as a stream; tables of what Python has."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cutline.errors import CutlineError, UsageError, said
from cutline.store.table_store import TableStore, store_of


def table_of(columns: Iterable[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of columns."""
    return pa.table(list(map(pa.array, columns, schema.types)), schema)


def table_of_rows(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of rows, of which there may be none."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return table_of(columns or [[]] * len(schema), schema)


UNSOUND: Final = (OSError, ValueError, pa.ArrowException)
"""How pyarrow tells that a parquet file is damaged, or not there."""


@contextmanager
def open_parquet(path: str, mend: str = "name a table") -> Iterator[pq.ParquetFile]:
    """Open a parquet file to be read as a stream, in a few MB whatever its size.

    Parameters
    ----------
    path
        The file.
    mend
        What to do if it is not parquet.

    Raises
    ------
    UsageError
        There is no such file, it is a folder, or it is not parquet.
    """
    path = path.removeprefix("file://")
    if not os.path.exists(path):
        raise UsageError(f"There is no {path}: name a table that `cutline compile` has made.")
    if os.path.isdir(path):
        raise UsageError(f"{path} is a folder: name the merged table.")
    try:
        raw = store_of(path).open(path)
        # pre_buffer, which is the default, reads a whole row group ahead and keeps every one that
        # it has read: ten rows of a 156 MB file in one row group read all of it, this way 0.8 MB;
        # all rows held 163 MB of Arrow memory, this way 13 MB, and took no longer.
        file = pq.ParquetFile(raw, pre_buffer=False, buffer_size=65536)
    except PermissionError as error:
        raise CutlineError(f"{path} may not be read: ask its owner.") from error
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is no parquet file: {mend}.") from error
    with raw:
        yield file


def check_columns(file: pq.ParquetFile, path: str, columns: Iterable[str]) -> None:
    """Refuse a table that lacks some of these columns, or has one of them twice."""
    missing = set(columns).difference(file.schema_arrow.names)
    if missing:
        names = ", ".join(sorted(missing))
        raise UsageError(f"{path} has no column {names}: name a table of `cutline compile`.")
    check_once(file.schema_arrow, path, columns)


def check_once(schema: pa.Schema, path: str, columns: Iterable[str]) -> None:
    """Refuse a table that has one of these columns twice: nobody knows which one is meant."""
    for name in columns:
        if schema.names.count(name) > 1:
            raise UsageError(f"{path} has more than one column {name}: compile it with cutline.")


@contextmanager
def sound(path: str, mend: str = "compile it again") -> Iterator[None]:
    """Say in one sentence that a parquet file is damaged, where it is read, and what to do."""
    try:
        yield
    except UNSOUND as error:
        if isinstance(error, OSError) and error.errno:  # of the file system, and not of pyarrow
            raise CutlineError(f"{path} cannot be read ({said(error)}): see to that.") from error
        raise CutlineError(f"{path} is damaged ({said(error)}): {mend}.") from error


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column's values are text in Python, however they are kept."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return kind in {pa.string(), pa.large_string(), pa.string_view()}


@contextmanager
def opened_parquet(
    store: TableStore, name: str, footer: pq.FileMetaData | None = None, *, checked: bool = False
) -> Iterator[pq.ParquetFile]:
    """Open a parquet file of a table; `footer` is what has been read of it already.

    `checked` has the checksums of its pages compared.
    """
    with (
        store.open(name) as raw,
        pq.ParquetFile(raw, metadata=footer, page_checksum_verification=checked) as file,
    ):
        yield file


def footer_of(store: TableStore, name: str) -> pq.FileMetaData:
    """Read the footer of a parquet file of a table."""
    with store.open(name) as raw:
        return pq.read_metadata(raw)
