"""The ``imagefolder`` of Hugging Face ``datasets``: ``metadata.parquet`` beside the images.

The format is that of ``packaged_modules/folder_based_builder`` of ``datasets`` 5.
"""

import os
from itertools import chain
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cutline.errors import UsageError
from cutline.trainers.formats import Export, Format, Rows, is_within

SCHEMA: Final = pa.schema(
    [
        ("file_name", pa.string()),
        ("caption", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
    ]
)

OTHER_METADATA: Final = {"metadata.csv", "metadata.jsonl"}
"""Read by ``datasets`` too, but not with ``metadata.parquet`` in or above their folder."""


def _check(asked: Export) -> None:
    folder, name = os.path.split(asked.out)
    if not is_within(asked.data, folder):
        raise UsageError(
            f"imagefolder reads {name} from {asked.data} or a folder above it: write it there."
        )
    for below, _, names in os.walk(folder):
        if not OTHER_METADATA.isdisjoint(names):
            raise UsageError(
                f"There is a metadata file of another kind in {below}, and imagefolder reads one"
                " kind: move it away."
            )


def _write(batches: Rows, asked: Export, target: BinaryIO) -> None:
    way = os.path.relpath(asked.data, os.path.dirname(asked.out))
    prefix = "" if way == "." else way + "/"  # file names are relative to the file's own folder
    first = next(batches, None)
    if first is None:
        pq.write_table(pa.Table.from_batches([], SCHEMA), target)
        return
    schema = SCHEMA.set(1, first.schema.field("caption"))  # one or a list of several
    with pq.ParquetWriter(target, schema) as writer:
        for rows in chain([first], batches):
            names = pc.binary_join_element_wise(prefix, rows["filename"], "")
            columns = [names, rows["caption"], rows["width"], rows["height"]]
            writer.write_batch(pa.record_batch(columns, schema=schema))


IMAGEFOLDER: Final = Format("/metadata.parquet", _write, _check)
