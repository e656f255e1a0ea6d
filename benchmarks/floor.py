"""The floor: two processes in a tight loop, without Dask, plan, receipts or a check of any field.

    python floor.py DATA TABLE

Prints the seconds of its stages as `cutline compile --json` does: list, rows, merge.
"""

import json
import multiprocessing
import os
import sys
from time import perf_counter

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

PROCESSES = 2
READ_BYTES = 16384
SCHEMA = pa.schema(
    {"width": pa.int64(), "height": pa.int64(), "caption": pa.string(), "filename": pa.string()}
)


def sidecar_names(data: str) -> list[str]:
    return sorted(name for name in os.listdir(data) if name.endswith(".json"))


def read_file(name: str, folder: int) -> bytes:
    file = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        content = chunk = os.read(file, READ_BYTES)
        while len(chunk) == READ_BYTES:
            chunk = os.read(file, READ_BYTES)
            content += chunk
        return content
    finally:
        os.close(file)


def write_part(data: str, names: list[str], part: str) -> None:
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    widths, heights, captions, filenames = [], [], [], []
    for name in names:
        sidecar = orjson.loads(read_file(name, folder))
        if "width" in sidecar:
            widths.append(sidecar["width"])
            heights.append(sidecar["height"])
            captions.append(sidecar["short_caption"])
            filenames.append(sidecar["image_name"])
    pq.write_table(pa.table([widths, heights, captions, filenames], schema=SCHEMA), part)


def write_parts(data: str, names: list[str], parts: list[str]) -> None:
    half = -(-len(names) // len(parts))
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=write_part, args=(data, names[at * half : (at + 1) * half], part))
        for at, part in enumerate(parts)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("a process of the floor failed")


def merge(parts: list[str], table: str) -> None:
    pq.write_table(pa.concat_tables([pq.read_table(part) for part in parts]), table)


def compile_table(data: str, table: str) -> dict[str, float]:
    parts = [f"{table}.{number}" for number in range(PROCESSES)]
    began = perf_counter()
    names = sidecar_names(data)
    listed = perf_counter()
    write_parts(data, names, parts)
    written = perf_counter()
    merge(parts, table)
    return {
        "list": listed - began,
        "rows": written - listed,
        "merge": perf_counter() - written,
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(json.dumps({"stages": compile_table(*sys.argv[1:])}))
