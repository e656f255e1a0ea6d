"""What a trainer needs beside the sidecars: an image and a caption file for each record.

    python samples.py TABLE DATA

The images are headers only, because `cutline verify` lists them and opens a thousand for their
sizes. The caption files hold what the table says; those of records that gave no row hold something,
so that verify has orphans to explain and finds nothing that fails.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import contenders
from data import PROCESSES, image_header
from measure import run
from room import Room, fresh_data

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@contextmanager
def samples_in(room: Room, data: str) -> Iterator[str]:
    """Make a folder of samples from sidecars, which it has under other names."""
    with fresh_data(room, data)() as folder:
        table = contenders.table_in(folder)
        run(contenders.cutline("compile", data, table))
        run(contenders.script("samples", table, f"{folder}/data"))
        yield f"{folder}/data"


def files_of(table: str) -> list[tuple[str, bytes]]:
    """Return the names and the contents of what stands beside each record, row or not."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - the bench itself is to stay small

    rows = pq.read_table(table).to_pylist()
    rejects = pq.read_table(table.replace(".parquet", ".rejects.parquet"), columns=["filename"])
    none = {"width": 1, "height": 1, "caption": "no row"}
    files = []
    for row in [*rows, *(reject | none for reject in rejects.to_pylist())]:
        files.append((row["filename"], image_header(row["width"], row["height"])))
        files.append((f"{os.path.splitext(row['filename'])[0]}.txt", row["caption"].encode()))
    return files


def write_slice(table: str, data: str, first: int) -> None:
    at = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    for name, content in files_of(table)[first::PROCESSES]:
        file = os.open(name, NEW, 0o644, dir_fd=at)
        os.write(file, content)
        os.close(file)


def make(table: str, data: str) -> None:
    slices = [(table, data, first) for first in range(PROCESSES)]
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        pool.starmap(write_slice, slices)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make(*sys.argv[1:])
