"""The floor on S3: get what is needed and do nothing with it. One process or more.

    python s3_floor.py objects CLIENT BUCKET PROCESSES AT_ONCE
    python s3_floor.py ranges CLIENT BUCKET PROCESSES AT_ONCE
    python s3_floor.py whole CLIENT BUCKET PROCESSES AT_ONCE

CLIENT is `aiobotocore` or `obstore`. The first lists the bucket and gets each object; the last
does so with shards; the second gets the ranges of the sidecars of each shard, which it knows from
the members' sizes, because a floor may believe what it likes. The server is that of the environment
variables that botocore reads.
"""

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

Wanted: TypeAlias = tuple[str, int, int] | tuple[str]
"""A key, and where a range begins and ends if it is not the whole object."""

Get: TypeAlias = Callable[[str, int], list[Wanted]]
"""Returns what to get of an object, by key and size."""

ENDPOINT = os.environ.get("AWS_ENDPOINT_URL_S3", "")


async def by_aiobotocore(
    bucket: str, share: tuple[int, int], at_once: int, get: Get
) -> tuple[int, int]:
    import aiobotocore.config  # noqa: PLC0415 - one client is not to start with the other
    import aiobotocore.session  # noqa: PLC0415

    config = aiobotocore.config.AioConfig(max_pool_connections=at_once)
    async with aiobotocore.session.get_session().create_client("s3", config=config) as client:
        keys = []
        async for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys += [(each["Key"], each["Size"]) for each in page.get("Contents", [])]

        async def one(key: str, start: int = 0, end: int | None = None) -> int:
            more = {} if end is None else {"Range": f"bytes={start}-{end - 1}"}
            answer = await client.get_object(Bucket=bucket, Key=key, **more)
            async with answer["Body"] as body:
                return len(await body.read())

        return await all_of(one, keys[share[0] :: share[1]], at_once, get)


async def by_obstore(
    bucket: str, share: tuple[int, int], at_once: int, get: Get
) -> tuple[int, int]:
    from obstore.store import S3Store  # noqa: PLC0415

    store = S3Store(
        bucket,
        endpoint=ENDPOINT,
        access_key_id="any",
        secret_access_key="any",
        region="us-east-1",
        client_options={"allow_http": True},
    )
    keys = [(each["path"], each["size"]) for page in store.list() for each in page]

    async def one(key: str, start: int = 0, end: int | None = None) -> int:
        if end is None:
            return len(await (await store.get_async(key)).bytes_async())
        return len(await store.get_range_async(key, start=start, end=end))

    return await all_of(one, keys[share[0] :: share[1]], at_once, get)


async def all_of(
    one: Callable[..., Awaitable[int]], keys: Iterable[tuple[str, int]], at_once: int, get: Get
) -> tuple[int, int]:
    gate = asyncio.Semaphore(at_once)

    async def gated(*arguments: str | int) -> int:
        async with gate:
            return await one(*arguments)

    wanted = [arguments for key, size in keys for arguments in get(key, size)]
    return len(wanted), sum(await asyncio.gather(*(gated(*each) for each in wanted)))


def whole_object(key: str, _: int) -> list[Wanted]:
    return [(key,)]


def ranges_of(key: str, size: int) -> list[Wanted]:
    """Return a range of 2.5 kB for each sidecar among images of 100 kB."""
    step = 512 + 2560 + 512 + 100_352
    return [(key, start, start + 3584) for start in range(0, size - step + 1, step)]


WAYS = {"objects": whole_object, "whole": whole_object, "ranges": ranges_of}


def work(client: str, bucket: str, share: tuple[int, int], at_once: int, get: Get) -> None:
    by = by_aiobotocore if client == "aiobotocore" else by_obstore
    print(*asyncio.run(by(bucket, share, at_once, get)))


def main(verb: str, client: str, bucket: str, processes: int, at_once: int) -> None:
    get = WAYS[verb]
    jobs = [
        multiprocessing.get_context("spawn").Process(
            target=work, args=(client, bucket, (number, processes), at_once, get)
        )
        for number in range(processes)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        sys.exit("a process of the floor failed")


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
