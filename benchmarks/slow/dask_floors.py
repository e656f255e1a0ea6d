"""The floors as Dask jobs: what a local cluster with a dashboard costs, and still nothing checked.

    python dask_floors.py read THREADS DATA
    python dask_floors.py write THREADS TABLE DATA
    python dask_floors.py look THREADS DATA
    python dask_floors.py objects BUCKET AT_ONCE
    python dask_floors.py ranges BUCKET AT_ONCE
    python dask_floors.py whole BUCKET AT_ONCE

They are the least that any program must do that lets its users watch two workers on Dask's
dashboard. What is read or written is as in floors.py, and in s3_floor.py with aiobotocore.
"""

import sys
from collections.abc import Callable
from typing import Any

import floors
import s3_floor
from distributed import Client, LocalCluster

HOST = "127.0.0.1"
PROCESSES = 2


def on_cluster(work: Callable[..., object], shares: list[tuple[Any, ...]]) -> None:
    with (
        LocalCluster(
            n_workers=PROCESSES, threads_per_worker=1, host=HOST, dashboard_address=f"{HOST}:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        tasks = [client.submit(work, *share, pure=False) for share in shares]
        client.gather(tasks)


def read(data: str, number: int, threads: int) -> None:
    # Listed again, which is cheaper than to send the names.
    floors.read_all(data, floors.sidecar_names(data)[number::PROCESSES], threads)


def write(data: str, table: str, number: int, threads: int) -> None:
    floors.write_all(data, floors.captions_of(table)[number::PROCESSES], threads)


def look(data: str, number: int, threads: int) -> None:
    floors.look_at_all(data, floors.sample_names(data)[number::PROCESSES], threads)


def get(verb: str, bucket: str, number: int, at_once: int) -> None:
    s3_floor.work("aiobotocore", bucket, (number, PROCESSES), at_once, s3_floor.WAYS[verb])


def main(arguments: list[str]) -> None:
    numbers = range(PROCESSES)
    match arguments:
        case ["read", threads, data]:
            on_cluster(read, [(data, number, int(threads)) for number in numbers])
        case ["write", threads, table, data]:
            on_cluster(write, [(data, table, number, int(threads)) for number in numbers])
        case ["look", threads, data]:
            on_cluster(look, [(data, number, int(threads)) for number in numbers])
        case [("objects" | "ranges" | "whole") as verb, bucket, at_once]:
            on_cluster(get, [(verb, bucket, number, int(at_once)) for number in numbers])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
