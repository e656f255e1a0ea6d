"""Looks after the workers of a cluster while a stage runs, and tells what becomes of them."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from distributed import CancelledError, Client, Future
from tornado.ioloop import PeriodicCallback

from cutline.cluster import worker_checks, worker_events
from cutline.cluster.waiting import Wait, waiting_of
from cutline.errors import CutlineError
from cutline.process import private_api
from cutline.progress import Watcher

LOOK_EVERY: Final = 3
"""Seconds between two looks: a silent worker is told after 12 at most."""

LEAST_PATIENCE: Final = 300
"""Seconds that others have to come when all workers are lost, however short the first had."""


@contextmanager
def looked_after(
    client: Client, watcher: Watcher, futures: Sequence[Future[Any]]
) -> Iterator[None]:
    """Tell the user of a cluster what happens to its workers.

    Parameters
    ----------
    futures
        What the block waits for. It is cancelled if all workers are lost and no other comes.

    Raises
    ------
    CutlineError
        None has come.
    """
    loop = client.loop
    assert loop is not None  # the client is connected
    checks = worker_checks.current()
    hosts = checks.hosts if checks else {}
    before = worker_events.workers_of(client.scheduler_info(n_workers=-1), hosts)
    looks = _Looks(client, watcher, futures, hosts, before)
    if idle := worker_events.why_idle(before):
        watcher.say(idle)
    looking = PeriodicCallback(looks.look, 1000 * LOOK_EVERY)
    loop.add_callback(looking.start)
    try:
        yield
        client.sync(looks.look)
    except CancelledError:
        if looks.in_vain:
            raise CutlineError(looks.in_vain) from None
        raise
    finally:
        loop.add_callback(looking.stop)


@dataclass(slots=True)
class _Looks:
    client: Client
    watcher: Watcher
    futures: Sequence[Future[Any]]
    hosts: Mapping[str, str]
    before: dict[str, worker_events.Worker]
    heard: dict[str, worker_events.Heard] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    wait: Wait | None = None
    in_vain: str = ""

    async def look(self) -> None:
        identity = await private_api.identity_of(self.client)
        if identity is None:
            return
        now, clock = worker_events.workers_of(identity, self.hosts), time.monotonic()
        self.heard = worker_events.heard_of(self.heard, now, clock)
        silent = worker_events.silent_of(self.heard, clock)
        for line in worker_events.changes(self.before, now):
            self.watcher.say(line)
        for line in worker_events.silences(self.silent, silent, now):
            self.watcher.say(line)
        self.before, self.silent = now, silent
        waiting = waiting_of(self.client)
        if now or waiting is None:
            self.wait = None
        else:
            self.wait = self.wait or Wait(waiting, LEAST_PATIENCE)
            await self._wait_on(self.wait)

    async def _wait_on(self, wait: Wait) -> None:
        await asyncio.to_thread(wait.look, self.watcher)
        if wait.left <= 0:
            none = wait.in_vain("All workers are lost, and no other has come")
            self.in_vain = f"{none}, and run this again, which goes on from what is done."
            await self.client.cancel(self.futures)
