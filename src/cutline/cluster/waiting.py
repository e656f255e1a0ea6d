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
"""Seconds of a reason for which none will come: a job may be between two states."""


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


class Wait:
    """A wait for the first worker of a cluster, or for another where all are lost.

    Parameters
    ----------
    least
        Seconds that it takes if `patience` is shorter.

    Attributes
    ----------
    reason
        What is waited for, as of the last look.
    """

    def __init__(self, waiting: Waiting, least: float = 0) -> None:
        self.reason = ""
        self._waiting, self._patience = waiting, max(waiting.patience, least)
        self._begin = self._since = time.monotonic()

    def look(self, watcher: Watcher) -> None:
        """Ask what is waited for, and tell if that has changed."""
        reason = self._waiting.reason()
        if reason != self.reason:
            watcher.say(f"Waiting for workers: {reason}.")
            self.reason, self._since = reason, time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until it is over."""
        end = self._begin + self._patience
        if self.reason == self._waiting.hopeless:
            end = min(end, self._since + HOPELESS_AFTER)
        return end - time.monotonic()

    def in_vain(self, none: str) -> str:
        """Return why it is over, after words that there is no worker."""
        spent = min(time.monotonic() - self._begin, self._patience)
        return f"{none} in {spent:.0f} s ({self.reason}): {self._waiting.mend}"


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
    demand, wait = None, Wait(waiting)
    # Dask itself waits for workers that take tasks; a paused one is there, and the job says so.
    while not client.scheduler_info(n_workers=-1)["workers"]:
        demand = demand or client.submit(abs, 0, key="wait-for-a-worker", pure=False)
        wait.look(watcher)
        if wait.left <= 0:
            raise CutlineError(f"{wait.in_vain('No worker has come')}.")
        try:
            demand.result(timeout=min(wait.left, LOOK_EVERY))
        except TimeoutError:
            continue
    if demand:
        demand.cancel()
