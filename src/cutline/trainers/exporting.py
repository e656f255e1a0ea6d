"""The table in the formats of other trainers and of Hugging Face ``datasets``."""

import os
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client

from cutline.errors import CutlineError, UsageError, checked
from cutline.progress import SILENT, Watcher
from cutline.record import Rules
from cutline.sources import shard_names
from cutline.store import disk, parquet
from cutline.table import DEFAULTS, CompileOptions
from cutline.trainers.formats import Export, Format, ShardFormat
from cutline.trainers.imagefolder import IMAGEFOLDER
from cutline.trainers.in_shards import shards_of
from cutline.trainers.jsonl import JSONL
from cutline.trainers.kohya import KOHYA
from cutline.trainers.webshart import WEBSHART
from cutline.trainers.wids import WIDS

BATCH: Final = 8192
"""Rows that are in memory at a time, and in a row group of ``metadata.parquet``."""

SCHEMA: Final = DEFAULTS.schema

SEVERAL: Final = CompileOptions(Rules(every_caption=True)).schema
"""That of a table with a list of captions."""

FORMATS: Final[dict[str, Format | ShardFormat]] = {
    "jsonl": JSONL,
    "imagefolder": IMAGEFOLDER,
    "kohya": KOHYA,
    "webshart": WEBSHART,
    "wids": WIDS,
}


@checked
def export(
    table: disk.AnyPath,
    out: disk.AnyPath,
    file_format: str,
    data: shard_names.Where | None = None,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> int:
    """Write the rows of the table in another format; memory does not grow with the table.

    Parameters
    ----------
    table
        The table, ``X.parquet``.
    out
        The file to write; replaced in one step. Readers go by its name: ``*.jsonl`` for ``jsonl``,
        ``*.json`` for ``kohya``, and for ``imagefolder`` ``metadata.parquet`` in DATA or in a
        folder above it.
    file_format
        ``jsonl``: an object a line, ``image_path`` (absolute), ``caption``, ``image_size``.
        ``kohya``: one object of all images, by absolute path, each ``caption`` and ``image_size``.
        ``imagefolder``: a parquet file with ``file_name`` (relative to it) and the other columns.
        ``webshart``: a folder ``X.webshart`` beside the table, an index for each of its shards.
        ``wids``: a JSON index ``*.wids.json`` of the shards, with rejected samples, too.
    data
        The folder that the table's filenames are relative to. For the last two, the shards that
        the table was compiled from: a folder, a glob or a list. By default ``data`` beside the
        table, and shards beside it, too.
    client
        The Dask cluster to index shards on if that has to be done again; without one, Dask's
        scheduler of this process.
    watcher
        Who is told how far the job is.

    Returns
    -------
    int
        The number of rows written; of samples for ``wids``.

    Raises
    ------
    UsageError
        A path or the format is wrong.
    CutlineError
        The table holds a row that cannot be exported; `out` is as it was.
    """
    if file_format not in FORMATS:
        raise UsageError(f"The format is one of {', '.join(FORMATS)}, not {file_format!r}.")
    form, path = FORMATS[file_format], os.path.realpath(out)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise UsageError(f"There is no folder {folder}: make it first.")
    if not path.endswith(form.suffix):
        raise UsageError(f"{file_format} is read from *{form.suffix}: give {name} such a name.")
    if isinstance(form, ShardFormat):
        return form.write(os.fspath(table), shards_of(table, data), path, client, watcher)
    return _export_file(form, Export(os.fspath(table), path, _folder_of(table, data)))


def _export_file(form: Format, asked: Export) -> int:
    _check_data(asked)
    form.check(asked)
    with parquet.open_parquet(asked.table) as file, disk.publish(asked.out) as target:
        form.write(_row_batches(file, asked), asked, target)
        return int(file.metadata.num_rows)


def _folder_of(table: disk.AnyPath, data: shard_names.Where | None) -> str:
    if data is None:
        data = os.path.join(os.path.dirname(disk.absolute(table)), "data")
    if not isinstance(data, str | os.PathLike):
        raise UsageError("The images are in one folder: name it, and no list.")
    return os.path.realpath(data)


def _check_data(asked: Export) -> None:
    if not os.path.isdir(asked.data):
        raise UsageError(f"There is no folder {asked.data}: name the one that holds the images.")
    try:
        asked.data.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{asked.data!a} is not UTF-8, as these formats are: rename it."
        ) from error


def _row_batches(file: pq.ParquetFile, asked: Export) -> Iterator[pa.RecordBatch]:
    parquet.check_columns(file, asked.table, SCHEMA.names)
    with parquet.sound(asked.table):
        for batch in file.iter_batches(batch_size=BATCH, columns=SCHEMA.names):
            batch.validate(full=True)  # finds text that is not UTF-8
            rows = _cast_rows(batch, asked)
            _check_rows(rows, asked)
            yield rows


def _cast_rows(batch: pa.RecordBatch, asked: Export) -> pa.RecordBatch:
    columns = []
    schema = SCHEMA
    if not parquet.is_text(batch["caption"].type) and parquet.is_captions(batch["caption"].type):
        schema = SEVERAL
    for field in schema:
        column = batch[field.name]
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise UsageError(
                f"{asked.table} has a column {field.name} of {column.type}, not all of which can be"
                f" {field.type}: compile it with cutline."
            ) from error
    return pa.record_batch(columns, schema=schema)


def _check_rows(rows: pa.RecordBatch, asked: Export) -> None:
    # `cutline compile` writes no such rows, but the table may have been edited since.
    for name in SCHEMA.names:
        if rows[name].null_count:
            raise CutlineError(f"{asked.table} has a row without {name}: run `cutline verify`.")
    for filename in rows["filename"].to_pylist():
        if not _stays_inside(filename):
            raise CutlineError(
                f"{asked.table} names {filename!a}, outside of DATA: run `cutline verify`."
            )


def _stays_inside(filename: str) -> bool:
    # A backslash counts as a slash, because ``datasets`` makes it one after its own check.
    steps = filename.replace("\\", "/").split("/")
    return "\0" not in filename and {"", ".", ".."}.isdisjoint(steps)
