"""Parquet files that any tool may have made, read as a stream; and tables of Python values."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cutline.errors import CutlineError, UsageError, said
from cutline.store import trouble
from cutline.store.table_store import TableStore, Version, store_of

UNSOUND: Final = (OSError, ValueError, pa.ArrowException)
"""What pyarrow raises for a parquet file that is damaged, or not there."""


def table_of(columns: Iterable[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Build a table of columns."""
    return pa.table(list(map(pa.array, columns, schema.types)), schema)


def table_of_rows(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Build a table of rows; there may be none."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return table_of(columns or [[]] * len(schema), schema)


def is_there(path: str) -> bool:
    """Return whether a file or a folder has this name in the store of its table."""
    try:
        store_of(path).version(path)
    except OSError:
        return False
    return True


def names_in(folder: str) -> list[str] | None:
    """Return the names of the files in a folder of parts; None if it is no folder."""
    store = store_of(folder)
    return list(store.sizes(folder)) if store.is_folder(folder) else None


@contextmanager
def open_parquet(path: str, mend: str = "name a table") -> Iterator[pq.ParquetFile]:
    """Open a parquet file that the user names, to be read as a stream: a few MB, whatever its size.

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
    CutlineError
        It may not be read.
    """
    path = path.removeprefix("file://")
    store = store_of(path)
    if store.is_folder(path):
        raise UsageError(f"{path} is a folder: name the merged table.")
    if not is_there(path):
        raise UsageError(f"There is no {path}: name a table that `cutline compile` has made.")
    try:
        raw = store.open(path)
        # pre_buffer, the default, reads a whole row group ahead and keeps each one. For ten rows of
        # a 156 MB file in one row group it read all of it, without 0.8 MB. For all of the rows it
        # took 163 MB of Arrow's memory, without 13 MB, in the same time.
        file = pq.ParquetFile(raw, pre_buffer=False, buffer_size=65536)
    except PermissionError as error:
        raise CutlineError(f"{path} may not be read: ask its owner.") from error
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} is no parquet file: {mend}.") from error
    with raw:
        yield file


def check_columns(file: pq.ParquetFile, path: str, columns: Iterable[str]) -> None:
    """Raise UsageError if a table lacks some of these columns, or has one of them twice."""
    missing = set(columns).difference(file.schema_arrow.names)
    if missing:
        names = ", ".join(sorted(missing))
        raise UsageError(f"{path} has no column {names}: name a table of `cutline compile`.")
    check_once(file.schema_arrow, path, columns)


def check_once(schema: pa.Schema, path: str, columns: Iterable[str]) -> None:
    """Raise UsageError if a table has one of these columns twice: it is unclear which is meant."""
    for name in columns:
        if schema.names.count(name) > 1:
            raise UsageError(f"{path} has more than one column {name}: compile it with cutline.")


@contextmanager
def sound(path: str, mend: str = "compile it again") -> Iterator[None]:
    """Raise CutlineError, with what to do, where a parquet file proves to be damaged."""
    try:
        yield
    except UNSOUND as error:
        if isinstance(error, OSError) and error.errno:  # of the file system, and not of pyarrow
            raise CutlineError(
                f"{path} cannot be read ({said(error)}): check that it is there and readable."
            ) from error
        raise CutlineError(f"{path} is damaged ({said(error)}): {mend}.") from error


def is_text(kind: pa.DataType) -> bool:
    """Return whether the values of a column are text, in whatever encoding."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return kind in {pa.string(), pa.large_string(), pa.string_view()}


def is_captions(kind: pa.DataType) -> bool:
    """Return whether a column may hold captions: text, or lists of text."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return is_text(kind.value_type if lists else kind)


def awaited(store: TableStore, name: str) -> Version:
    """Return the version of a file that is there, as soon as this host sees it.

    Raises
    ------
    FileNotFoundError
        It is still not seen after `trouble.LAG` seconds.
    """
    for _ in trouble.looks(name):
        with suppress(FileNotFoundError):
            return store.version(name)
    return store.version(name)


@contextmanager
def opened_parquet(
    store: TableStore, name: str, footer: pq.FileMetaData | None = None, *, checked: bool = False
) -> Iterator[pq.ParquetFile]:
    """Open a parquet file of a table.

    Parameters
    ----------
    store, name
        Where it is.
    footer
        Its footer, if that has been read already.
    checked
        Compare the checksums of its pages.
    """
    with (
        store.open(name) as raw,
        pq.ParquetFile(raw, metadata=footer, page_checksum_verification=checked) as file,
    ):
        yield file


def footer_digest(footer: pq.FileMetaData) -> bytes:
    """Return what tells a parquet file from others of its name, on every host.

    A footer has the sizes and the statistics of each column. An inode is a mount's own on sshfs,
    and so is how exact times are.
    """
    written = pa.BufferOutputStream()
    footer.write_metadata_file(written)
    return blake2b(written.getvalue(), digest_size=16).digest()


def footer_of(store: TableStore, name: str) -> pq.FileMetaData:
    """Read the footer of a parquet file of a table."""
    with store.open(name) as raw:
        return pq.read_metadata(raw)
