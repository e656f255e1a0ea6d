"""The floors on storage that answers slowly: bare threads that check nothing.

    python floors.py read THREADS DATA [DATA ...]
    python floors.py write THREADS TABLE DATA [DATA ...]
    python floors.py look THREADS DATA [DATA ...]

Each process has so many threads and works through one of the folders, which are one folder seen
from one host or two; there are two processes on each. The first reads each sidecar whole. The
second makes the caption file of each row whole: written in a staging folder of the thread's own,
which stays open, and renamed. The third asks each image for its size, because one may be empty, and
reads the headers of 1,000 of them and each caption file. The kernel lets one process at a time work
in a folder of a mount; so all but the rename, which has to, happens in another.
"""

import itertools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PROCESSES = 2  # a host
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
READ_BYTES = 1 << 16
HEADERS = 1_000


def opened(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def sidecar_names(data: str) -> list[str]:
    return sorted(name for name in os.listdir(data) if name.endswith(".json"))


def sample_names(data: str) -> list[str]:
    return sorted(name for name in os.listdir(data) if not name.endswith(".json"))


def read_all(data: str, names: Sequence[str], threads: int) -> None:
    folder = opened(data)

    def read(name: str) -> int:
        file = os.open(name, os.O_RDONLY, dir_fd=folder)
        try:
            return len(os.read(file, READ_BYTES))
        finally:
            os.close(file)

    in_threads(read, names, threads)


def look_at_all(data: str, names: Sequence[str], threads: int) -> None:
    folder = opened(data)
    captions = [name for name in names if name.endswith(".txt")]
    images = [name for name in names if not name.endswith(".txt")]

    def look(name: str) -> int:
        return os.stat(name, dir_fd=folder).st_size

    headers = HEADERS // PROCESSES
    in_threads(look, images, threads)
    read_all(data, images[:headers], threads)
    read_all(data, captions, threads)


def write_all(data: str, files: Sequence[tuple[str, bytes]], threads: int) -> None:
    folder, own, numbers = opened(data), threading.local(), itertools.count()

    def begin() -> None:
        own.path = f"{os.path.dirname(data)}/.floor-{os.getpid()}-{next(numbers)}"
        os.mkdir(own.path)
        own.staging = opened(own.path)

    def write(named: tuple[str, bytes]) -> None:
        name, content = named
        file = os.open("attempt", NEW, 0o666, dir_fd=own.staging)
        os.write(file, content)
        os.close(file)
        os.rename("attempt", name, src_dir_fd=own.staging, dst_dir_fd=folder)

    in_threads(write, files, threads, begin)


def in_threads(
    work: Callable[[Any], object],
    items: Iterable[Any],
    threads: int,
    begin: Callable[[], None] | None = None,
) -> None:
    with ThreadPoolExecutor(threads, initializer=begin) as pool:
        for _ in pool.map(work, items):
            pass


def captions_of(table: str) -> list[tuple[str, bytes]]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - the first floor is to start without it

    rows = pq.read_table(table, columns=["caption", "filename"])
    stems = (os.path.splitext(name)[0] for name in rows["filename"].to_pylist())
    captions = (caption.encode() for caption in rows["caption"].to_pylist())
    return [(f"{stem}.txt", caption) for stem, caption in zip(stems, captions, strict=True)]


def in_processes(
    work: Callable[..., None], hosts: Sequence[str], items: Sequence[Any], threads: int
) -> None:
    workers = PROCESSES * len(hosts)
    processes = [
        multiprocessing.get_context("fork").Process(
            target=work, args=(hosts[number % len(hosts)], items[number::workers], threads)
        )
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("a process of the floor failed")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read", threads, *hosts] if hosts:
            in_processes(read_all, hosts, sidecar_names(hosts[0]), int(threads))
        case ["write", threads, table, *hosts] if hosts:
            in_processes(write_all, hosts, captions_of(table), int(threads))
        case ["look", threads, *hosts] if hosts:
            in_processes(look_at_all, hosts, sample_names(hosts[0]), int(threads))
        case _:
            sys.exit(__doc__)
