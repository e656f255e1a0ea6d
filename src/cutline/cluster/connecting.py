"""A client of a cluster, with Dask set up for a job."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import dask
from distributed import Client

from cutline.cluster.dashboard import link_template
from cutline.cluster.kinds import Address, Cluster, Local
from cutline.cluster.worker_checks import check_scheduler
from cutline.errors import checked
from cutline.process import ENVIRONMENT, private_api
from cutline.progress import SILENT, Watcher

ALONE: Final = Local()

_PROFILE: Final = "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"

CONFIG: Final = {
    # What a worker has not begun stays with the scheduler: a worker that dies takes down the task
    # that it was at, and no other.
    "distributed.scheduler.worker-saturation": 1.0,
    # A worker that dies takes down every task that it had, guilty or not: three times, which is
    # Dask's default, is soon reached by a part that did nothing.
    "distributed.scheduler.allowed-failures": 10,
    "distributed.worker.profile.enabled": ENVIRONMENT[_PROFILE] == "True",
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ENVIRONMENT.items()},
}
"""How Dask is configured while a cluster is used."""


@checked
@contextmanager
def connect(cluster: Cluster | str = ALONE, watcher: Watcher = SILENT) -> Iterator[Client]:
    """Start a cluster or join one, and yield a client of it.

    Parameters
    ----------
    cluster
        What to start or to join: by default a local cluster; a string is the address of a
        scheduler that is running.
    watcher
        Told what is waited for.

    Raises
    ------
    CutlineError
        It does not start, cannot be reached, or has no workers.
    """
    chosen = Address(cluster) if isinstance(cluster, str) else cluster
    threshold = logging.root.manager.disable
    # An odd template of the dashboard's link must not end a job.
    config = {**CONFIG, "distributed.dashboard.link": link_template()}
    with ExitStack() as stack:
        for name, level in private_api.QUIET_CLIENT.items():
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(level)
        stack.callback(logging.disable, threshold)
        stack.enter_context(dask.config.set(config))
        client = stack.enter_context(chosen.open(watcher))
        check_scheduler(client)
        try:
            yield client
        except BaseException:
            # Dask logs a traceback for each answer that it was still waiting for.
            logging.disable()
            raise
