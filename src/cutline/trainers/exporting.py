"""The table in the formats of other trainers and of Hugging Face ``datasets``.

The formats are those of kohya's sd-scripts (its ``docs/dataset_metadata.md`` and
``library/finetuning_dataset.py``), of musubi-tuner (``dataset/datasources.py``) and of
``datasets`` 5 (``packaged_modules/folder_based_builder``).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cutline.errors import CutlineError, UsageError
from cutline.store import disk, parquet
from cutline.table import DEFAULTS

BATCH: Final = 8192
"""Rows that are in memory at a time, and in a row group of ``metadata.parquet``."""

SCHEMA: Final = DEFAULTS.schema


METADATA_SCHEMA: Final = pa.schema(
    [
        ("file_name", pa.string()),
        ("caption", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
    ]
)

OTHER_METADATA: Final = {"metadata.csv", "metadata.jsonl"}
"""What ``datasets`` reads like ``metadata.parquet``, and not where that is, or below it, too."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported; `out` and `data` are absolute."""

    table: str
    out: str
    data: str


class Format(NamedTuple):
    """What a format's readers know its file by, and who writes it."""

    suffix: str
    write: Callable[[Iterator[pa.RecordBatch], Export, BinaryIO], None]


def export(table: disk.AnyPath, out: disk.AnyPath, file_format: str, data: disk.AnyPath) -> int:
    """Write the rows of the table in another format; memory does not grow with the table.

    Parameters
    ----------
    table
        The table.
    out
        The file to write; replaced in one step. Readers tell formats by its name: ``*.jsonl`` for
        ``jsonl``, ``*.json`` for ``kohya``, and for ``imagefolder`` it is ``metadata.parquet`` in
        DATA or in a folder above it.
    file_format
        ``jsonl``: an object a line, ``image_path`` (absolute), ``caption``, ``image_size``.
        ``kohya``: one object of all images, by absolute path, each ``caption`` and ``image_size``.
        ``imagefolder``: a parquet file with ``file_name`` (relative to it) and the other columns.
    data
        The folder that the table's filenames are relative to.

    Returns
    -------
    int
        The number of rows written.

    Raises
    ------
    UsageError
        A path or the format is wrong.
    CutlineError
        The table holds a row that cannot be exported; `out` is as it was.
    """
    if file_format not in FORMATS:
        raise UsageError(f"The format is one of {', '.join(FORMATS)}, not {file_format!r}.")
    asked = Export(os.fspath(table), os.path.realpath(out), os.path.realpath(data))
    check_names(asked, file_format)
    with parquet.open_parquet(asked.table) as file, disk.publish(asked.out) as target:
        FORMATS[file_format].write(row_batches(file, asked), asked, target)
        return int(file.metadata.num_rows)


def default_name(table: str, data: str, file_format: str) -> str:
    """Name the file as the readers of a format look for it: in DATA, or beside the table."""
    suffix = FORMATS[file_format].suffix
    if suffix.startswith("/"):
        return data + suffix
    return os.path.splitext(os.path.abspath(table))[0] + suffix


def check_names(asked: Export, file_format: str) -> None:
    """Refuse what the readers of the format would not find, or not take for it."""
    folder, name = os.path.split(asked.out)
    suffix = FORMATS[file_format].suffix
    if not os.path.isdir(asked.data):
        raise UsageError(f"There is no folder {asked.data}: name the one that holds the images.")
    if not os.path.isdir(folder):
        raise UsageError(f"There is no folder {folder}: make it first.")
    if not asked.out.endswith(suffix):
        raise UsageError(f"{file_format} is read from *{suffix}: give {name} such a name.")
    if file_format == "imagefolder" and not is_below(asked.data, folder):
        raise UsageError(
            f"imagefolder reads {name} from {asked.data} or a folder above it: write it there."
        )
    if file_format == "imagefolder":
        check_alone(folder)
    if file_format == "kohya" and is_below(folder, asked.data):
        raise UsageError(f"{name} would pass for a sidecar in {asked.data}: write it elsewhere.")
    try:
        asked.data.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{asked.data!a} is not UTF-8, as these formats are: rename it."
        ) from error


def check_alone(folder: str) -> None:
    """Refuse a folder of images that has metadata of another kind."""
    for below, _, names in os.walk(folder):
        if not OTHER_METADATA.isdisjoint(names):
            raise UsageError(
                f"There is a metadata file of another kind in {below}, and imagefolder reads one"
                " kind: move it away."
            )


def is_below(folder: str, above: str) -> bool:
    """Tell whether a folder is another one or somewhere in it."""
    return os.path.commonpath([folder, above]) == above


def row_batches(file: pq.ParquetFile, asked: Export) -> Iterator[pa.RecordBatch]:
    """Read the four columns of the table, checked."""
    parquet.check_columns(file, asked.table, SCHEMA.names)
    with parquet.sound(asked.table):
        for batch in file.iter_batches(batch_size=BATCH, columns=SCHEMA.names):
            batch.validate(full=True)  # finds text that is not UTF-8
            rows = cast_rows(batch, asked)
            check_rows(rows, asked)
            yield rows


def cast_rows(batch: pa.RecordBatch, asked: Export) -> pa.RecordBatch:
    """Make the four columns of the types that compiling gives them."""
    columns = []
    for field in SCHEMA:
        column = batch[field.name]
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise UsageError(
                f"{asked.table} has a column {field.name} of {column.type}, not all of which can be"
                f" {field.type}: compile it with cutline."
            ) from error
    return pa.record_batch(columns, schema=SCHEMA)


def check_rows(rows: pa.RecordBatch, asked: Export) -> None:
    """Refuse what `cutline compile` does not write: the table may have been edited since."""
    for name in SCHEMA.names:
        if rows[name].null_count:
            raise CutlineError(f"{asked.table} has a row without {name}: run `cutline verify`.")
    for filename in rows["filename"].to_pylist():
        if not stays_inside(filename):
            raise CutlineError(
                f"{asked.table} names {filename!a}, outside of DATA: run `cutline verify`."
            )


def stays_inside(filename: str) -> bool:
    """Tell whether a filename is relative and has no step upwards.

    A backslash counts as a slash, because ``datasets`` makes it one after its own check.
    """
    steps = filename.replace("\\", "/").split("/")
    return "\0" not in filename and {"", ".", ".."}.isdisjoint(steps)


def write_jsonl(batches: Iterator[pa.RecordBatch], asked: Export, target: BinaryIO) -> None:
    """Write an object a line, for sd-scripts and musubi-tuner."""
    for path, caption, size in samples(batches, asked):
        sample = {"image_path": path, "caption": caption, "image_size": size}
        target.write(orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE))


def write_kohya(batches: Iterator[pa.RecordBatch], asked: Export, target: BinaryIO) -> None:
    """Write one object of all images, for sd-scripts.

    The size is ``image_size``; ``train_resolution``, which older versions read too, is that of
    the bucket, and with the image's own size in it they would train each size as a bucket.
    """
    target.write(b"{")
    separator = b"\n"
    for path, caption, size in samples(batches, asked):
        about = {"caption": caption, "image_size": size}
        target.write(separator + orjson.dumps(path) + b": " + orjson.dumps(about))
        separator = b",\n"
    target.write(b"\n}\n")


def samples(
    batches: Iterator[pa.RecordBatch], asked: Export
) -> Iterator[tuple[str, str, list[int]]]:
    """Give each image's path, caption and size."""
    for rows in batches:
        width, height, captions, filenames = (column.to_pylist() for column in rows.columns)
        for row in zip(filenames, captions, width, height, strict=True):
            yield f"{asked.data}/{row[0]}", row[1], [row[2], row[3]]


def write_imagefolder(batches: Iterator[pa.RecordBatch], asked: Export, target: BinaryIO) -> None:
    """Write ``metadata.parquet``, whose file names are relative to its own folder."""
    way = os.path.relpath(asked.data, os.path.dirname(asked.out))
    prefix = "" if way == "." else way + "/"
    with pq.ParquetWriter(target, METADATA_SCHEMA) as writer:
        for rows in batches:
            names = pc.binary_join_element_wise(prefix, rows["filename"], "")
            columns = [names, rows["caption"], rows["width"], rows["height"]]
            writer.write_batch(pa.record_batch(columns, schema=METADATA_SCHEMA))


FORMATS: Final = {
    "jsonl": Format(".jsonl", write_jsonl),
    "imagefolder": Format("/metadata.parquet", write_imagefolder),
    "kohya": Format(".json", write_kohya),
}
