"""How the workers of a cluster are, in words: lost, joined, short of memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from distributed import Client
from tornado.ioloop import PeriodicCallback

LOOK_EVERY: Final = 10
"""Seconds between two looks at the workers."""


class Worker(NamedTuple):
    """How a worker is."""

    paused: bool
    spills: bool


@contextmanager
def told(client: Client, say: Callable[[str], None]) -> Iterator[None]:
    """Tell when workers are lost or short of memory, until the block ends."""
    before = workers_of(client.scheduler_info())
    scheduler, loop = client.scheduler, client.loop
    assert scheduler is not None  # a client that is open has them
    assert loop is not None

    async def look() -> None:
        nonlocal before
        with suppress(OSError):  # the scheduler is gone: the job hears of that itself
            now = workers_of(await scheduler.identity())
            for line in changes(before, now):
                say(line)
            before = now

    looking = PeriodicCallback(look, 1000 * LOOK_EVERY)
    loop.add_callback(looking.start)
    try:
        yield
        client.sync(look)
    finally:
        loop.add_callback(looking.stop)


def workers_of(scheduler: Mapping[str, Any]) -> dict[str, Worker]:
    """Take from what a scheduler tells of itself how each worker is."""
    return {
        address: Worker(
            paused=worker["status"] == "paused",
            spills=worker["metrics"].get("spilled_bytes", {}).get("disk", 0) > 0,
        )
        for address, worker in scheduler["workers"].items()
    }


def changes(before: Mapping[str, Worker], now: Mapping[str, Worker]) -> Iterator[str]:
    """Say what has changed between two looks, in a line each."""
    fine = Worker(paused=False, spills=False)
    gone = len(before.keys() - now.keys())
    if gone:
        their = "it was" if gone == 1 else "they were"
        yield f"{workers(gone)} lost: what {their} doing is done again by others."
    joined = len(now.keys() - before.keys())
    if joined:
        yield f"{workers(joined)} new on the cluster."
    paused = sum(now[name].paused and not before.get(name, fine).paused for name in now)
    if paused:
        yield f"{workers(paused)} paused: short of memory, until other data has left it."
    resumed = sum(before[name].paused and not now[name].paused for name in now.keys() & before)
    if resumed:
        yield f"{workers(resumed)} at work again."
    spilling = sum(now[name].spills and not before.get(name, fine).spills for name in now)
    if spilling:
        yield f"{workers(spilling)} short of memory: data goes to disk, which is slower."


def workers(count: int) -> str:
    """Write a number of workers as the beginning of a sentence."""
    return "1 worker is" if count == 1 else f"{count:,} workers are"
