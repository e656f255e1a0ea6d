"""Waiting for the workers of a cluster, with a line that says for what."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from distributed import Client

from cutline.errors import CutlineError
from cutline.progress import Watcher

LOOK_EVERY: Final = 2
"""Seconds between two looks at what is waited for."""

HOPELESS_AFTER: Final = 60
"""Seconds after which no worker will come of its own accord, where none is on its way."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long the kind of a cluster waits for workers where there is none.

    Attributes
    ----------
    patience
        Seconds.
    reason
        Returns why there is none yet: jobs in a queue.
    mend
        What to do if none comes.
    hopeless
        The reason for which none will come.
    """

    patience: float
    reason: Callable[[], str]
    mend: str
    hopeless: str = ""

    def seconds(self, reason: str, least: float = 0) -> float:
        """Return how long to wait for this reason, and at the least if there is hope."""
        if reason == self.hopeless:
            return min(self.patience, HOPELESS_AFTER)
        return max(self.patience, least)


_OF: Final = WeakKeyDictionary[Client, Waiting]()


def waiting_of(client: Client) -> Waiting | None:
    """Return how to wait for workers; None for ever, on a client that the user brings."""
    return _OF.get(client)


def wait_for_workers(client: Client, watcher: Watcher, waiting: Waiting) -> None:
    """Wait until a cluster has a worker, and tell what is waited for whenever that changes.

    A cluster that scales with its work starts a worker once a task waits for one, so one does.

    Raises
    ------
    CutlineError
        None has come.
    """
    _OF[client] = waiting
    demand, told, begin = None, "", time.monotonic()
    # Dask itself waits for workers that take tasks; a paused one is there, and the job says so.
    while not client.scheduler_info(n_workers=-1)["workers"]:
        demand = demand or client.submit(abs, 0, key="wait-for-a-worker", pure=False)
        reason = waiting.reason()
        seconds = waiting.seconds(reason)
        left = begin + seconds - time.monotonic()
        if left <= 0:
            raise CutlineError(f"No worker has come in {seconds:g} s ({reason}): {waiting.mend}.")
        if reason != told:
            watcher.say(f"Waiting for workers: {reason}.")
            told = reason
        try:
            demand.result(timeout=min(left, LOOK_EVERY))
        except TimeoutError:
            continue
    if demand:
        demand.cancel()
