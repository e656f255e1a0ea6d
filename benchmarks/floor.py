"""The floor: two processes in a tight loop, without Dask, plan, receipts or a check of any field.

    python floor.py compile DATA TABLE
    python floor.py captions TABLE DATA

The first prints the seconds of its stages as `cutline compile --json` does: list, rows, merge. The
second makes each file in its place, where a kill leaves it torn, and no file survives a power cut.
"""

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

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


def rows_of(sidecars: Iterable[bytes]) -> pa.Table:
    widths, heights, captions, filenames = [], [], [], []
    for body in sidecars:
        sidecar = orjson.loads(body)
        if "width" in sidecar:
            widths.append(sidecar["width"])
            heights.append(sidecar["height"])
            captions.append(sidecar["short_caption"])
            filenames.append(sidecar["image_name"])
    return pa.table([widths, heights, captions, filenames], schema=SCHEMA)


def checked_rows(names: Iterable[str], folder: int) -> pa.Table:
    """Return the rows of some sidecars by a plain loop that keeps what a table is promised.

    That is a stamp of each file, by which a later run knows it again; sizes that are whole numbers
    of pixels; a caption in one line; and a filename that leads nowhere else. It stops at the first
    fault.
    """
    widths, heights, captions, filenames, stamps = [], [], [], [], []
    for name in names:
        file = os.open(name, os.O_RDONLY, dir_fd=folder)
        try:
            status = os.fstat(file)
            body = os.read(file, status.st_size + 1)
        finally:
            os.close(file)
        stamps.append((status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        sidecar = orjson.loads(body)
        width = sidecar.get("width")
        if width is None:
            continue
        height, image = sidecar["height"], sidecar["image_name"]
        caption = " ".join(sidecar["short_caption"].splitlines()).strip()
        sizes = type(width) is int and type(height) is int and 0 < width < 2**31 > height > 0
        named = image.isprintable() and not {"/", "\\"} & {*image} and image not in {"", ".", ".."}
        if not (sizes and named and caption and len(body) == status.st_size):
            sys.exit(f"{name} is no row")
        widths.append(width)
        heights.append(height)
        captions.append(caption)
        filenames.append(image)
    hashlib.blake2b(orjson.dumps(stamps)).hexdigest()  # as the receipt of a part has it
    return pa.table([widths, heights, captions, filenames], schema=SCHEMA)


def write_checked_part(data: str, names: list[str], part: str) -> None:
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    pq.write_table(checked_rows(names, folder), part)


def write_part(data: str, names: list[str], part: str) -> None:
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    pq.write_table(rows_of(read_file(name, folder) for name in names), part)


def write_parts(data: str, names: list[str], parts: list[str]) -> None:
    half = -(-len(names) // len(parts))
    in_processes(
        write_part,
        [(data, names[at * half : (at + 1) * half], part) for at, part in enumerate(parts)],
    )


def in_processes(work: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=each) for each in arguments]
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


def write_files(rows: pa.Table, data: str) -> None:
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    captions, filenames = rows["caption"].to_pylist(), rows["filename"].to_pylist()
    for caption, filename in zip(captions, filenames, strict=True):
        name = f"{os.path.splitext(filename)[0]}.txt"
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, dir_fd=folder)
        os.write(file, caption.encode())
        os.close(file)


def write_captions(table: str, data: str) -> None:
    rows = pq.read_table(table, columns=["caption", "filename"])
    half = -(-len(rows) // PROCESSES)
    in_processes(write_files, [(rows[at * half :][:half], data) for at in range(PROCESSES)])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["compile", data, table]:
            print(json.dumps({"stages": compile_table(data, table)}))
        case ["captions", table, data]:
            write_captions(table, data)
        case _:
            sys.exit(__doc__)
