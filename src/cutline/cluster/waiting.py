"""Waiting for the workers of a cluster, with a line that says for what."""

import time
from collections.abc import Callable
from typing import Final

from distributed import Client

from cutline.errors import CutlineError
from cutline.progress import Watcher

LOOK_EVERY: Final = 2
"""Seconds between two looks at what is waited for."""


def wait_for_workers(
    client: Client, watcher: Watcher, patience: float, waits_for: Callable[[], str], mend: str
) -> None:
    """Wait until a cluster has a worker, and tell what is waited for whenever that changes.

    A cluster that scales with its work starts a worker once a task waits for one, so one does.

    Parameters
    ----------
    patience
        Seconds.
    waits_for
        Why there is none yet: jobs in a queue.
    mend
        What to do if none comes.

    Raises
    ------
    CutlineError
        None has come.
    """
    demand, told, end = None, "", time.monotonic() + patience
    # Dask itself waits for workers that take tasks; a paused one is there, and the job says so.
    while not client.scheduler_info(n_workers=-1)["workers"]:
        demand = demand or client.submit(abs, 0, key="wait-for-a-worker", pure=False)
        left, reason = end - time.monotonic(), waits_for()
        if left <= 0:
            raise CutlineError(f"No worker has come in {patience:g} s ({reason}): {mend}.")
        if reason != told:
            watcher.say(f"Waiting for workers: {reason}.")
            told = reason
        try:
            demand.result(timeout=min(left, LOOK_EVERY))
        except TimeoutError:
            continue
    if demand:
        demand.cancel()
