"""The floor on shards: two processes in a tight loop that believe what the headers say.

    python shard_floor.py compile SHARDS TABLE
    python shard_floor.py extract SHARDS DATA

No index, plan or receipt, and no name or checksum is checked. The second makes each file in its
place, where a kill leaves it torn, and no file survives a power cut.
"""

import glob
import os
import sys
from collections.abc import Iterator

import pyarrow.parquet as pq

from floor import PROCESSES, in_processes, merge, rows_of
from walk import believed


def sidecars_in(shards: list[str]) -> Iterator[bytes]:
    for path in shards:
        with open(path, "rb") as file:
            for name, offset, size in believed(path):
                if name.endswith(b".json"):
                    yield os.pread(file.fileno(), size, offset)


def write_part(shards: list[str], part: str) -> None:
    pq.write_table(rows_of(sidecars_in(shards)), part)


def unpack(shards: list[str], data: str) -> None:
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    for path in shards:
        with open(path, "rb") as archive:
            for name, offset, size in believed(path):
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                file = os.open(name, flags, 0o666, dir_fd=folder)
                copy(archive.fileno(), offset, size, file)
                os.close(file)


def copy(archive: int, offset: int, size: int, file: int) -> None:
    while size and (copied := os.sendfile(file, archive, offset, size)):
        offset, size = offset + copied, size - copied


def shares_of(folder: str) -> list[list[str]]:
    shards = sorted(glob.glob(f"{glob.escape(folder)}/*.tar"))
    return [shards[at::PROCESSES] for at in range(PROCESSES)]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["compile", folder, table]:
            parts = [f"{table}.{number}" for number in range(PROCESSES)]
            in_processes(write_part, list(zip(shares_of(folder), parts, strict=True)))
            merge(parts, table)
        case ["extract", folder, data]:
            os.mkdir(data)
            in_processes(unpack, [(share, data) for share in shares_of(folder)])
        case _:
            sys.exit(__doc__)
