"""A cluster to work on: a local one is started, one that runs is joined."""

import asyncio
import importlib.metadata
import importlib.util
import logging
import multiprocessing
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import dask
import distributed.utils
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.comm.core import connect as connect_to
from distributed.security import Security
from distributed.utils import LoopRunner

from cutline.cluster.config import Address, Cluster, Local, has_dashboard
from cutline.errors import CutlineError, UsageError, said
from cutline.process import ENVIRONMENT, ctrl_c_held, uncollected

MUST_MATCH: Final = ("cutline", "pyarrow", "orjson", "msgspec", "fsspec")
"""Packages whose versions change the bytes of what is written."""

TALKATIVE: Final = (
    "distributed.batched",
    "distributed.client",
    "distributed.utils_comm",
    "tornado.application",
)
"""Loggers that print tracebacks when a scheduler goes, which a job says in one sentence."""

PATIENCE: Final = 15
"""Seconds that a scheduler has to answer, and its first worker to be there."""

ALONE: Final = Local()

CONFIG: Final = {
    # What a worker has not begun stays with the scheduler: a worker that dies takes down the task
    # that it was at, and no other.
    "distributed.scheduler.worker-saturation": 1.0,
    # A worker that dies takes down every task that it had, guilty or not: three times, which is
    # Dask's default, is soon reached by a part that did nothing.
    "distributed.scheduler.allowed-failures": 10,
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ENVIRONMENT.items()},
}
"""What Dask has to know while a cluster is used."""


@contextmanager
def connect(cluster: Cluster | str = ALONE) -> Iterator[Client]:
    """Start a cluster or join one, and give a client of it that works with this cutline.

    Parameters
    ----------
    cluster
        A local cluster to start, which is the default; or the address of a scheduler that runs.

    Raises
    ------
    CutlineError
        It cannot be reached, has no workers, or they have other versions.
    """
    if isinstance(cluster, str):
        cluster = Address(cluster)
    threshold = logging.root.manager.disable
    with ExitStack() as stack:
        for name in TALKATIVE:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        stack.callback(logging.disable, threshold)
        stack.enter_context(dask.config.set(CONFIG))
        client = stack.enter_context(
            join(cluster) if isinstance(cluster, Address) else start(cluster)
        )
        try:
            yield client
        except BaseException:
            # Dask logs a traceback for each answer that it was still waiting for.
            logging.disable()
            raise


@contextmanager
def start(cluster: Local) -> Iterator[Client]:
    """Start a cluster on this machine."""
    with local_cluster(cluster) as started, Client(started, set_as_default=False) as client:
        yield client


def local_cluster(cluster: Local) -> LocalCluster:
    """Start the processes."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(1)  # a worker that runs the script which started it, whose own process tells that
    address = cluster.dashboard_address
    of_scheduler: dict[str, object] = {}
    if not has_dashboard(cluster):
        # Dask listens all the same, for what is no page.
        address, of_scheduler = "127.0.0.1:0", {"dashboard": False}
    # Dask would import here what a server that it forks workers from should have, such as pandas:
    # 0.13 s. If there is one, it is that of `prefork`, and has loaded what workers need.
    distributed.utils._forkserver_preload_set = True  # noqa: SLF001
    started: LocalCluster | None = None
    try:
        with ctrl_c_held(), uncollected(), warnings.catch_warnings():
            # Dask takes another one, and the job says which.
            warnings.filterwarnings("ignore", message="Port .* is already in use")
            started = LocalCluster(
                n_workers=cluster.workers or CPU_COUNT,
                threads_per_worker=cluster.threads_per_worker,
                memory_limit=cluster.memory_limit,
                host="127.0.0.1",
                dashboard_address=address,
                scheduler_kwargs=of_scheduler,
            )
    except KeyboardInterrupt:  # which was held until the processes were there
        if started is not None:
            started.close()
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = said(error).rstrip(".")
        raise CutlineError(
            f"The local cluster does not start ({reason}): correct its options, or if this is a"
            ' script, put its work below `if __name__ == "__main__":`.'
        ) from error
    return started


@contextmanager
def join(cluster: Address) -> Iterator[Client]:
    """Join a scheduler that is running."""
    address = cluster.address
    try:
        reach(address)
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"The scheduler cannot be at {address} ({error}): write it as tcp://HOST:PORT."
        ) from error
    except OSError as error:
        raise CutlineError(
            f"No Dask scheduler answers at {address}: start one, or correct the address."
        ) from error
    with client:
        try:
            # Dask waits for one that takes tasks; a paused one is there, and the job says so.
            if not client.scheduler_info()["workers"]:
                client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise CutlineError(
                f"The scheduler at {address} has no workers: start some with `dask worker`."
            ) from error
        check_scheduler(client)
        check_versions(client)
        yield client


def reach(address: str) -> None:
    """See that a scheduler answers.

    A Client waits for ever for a server that does not, such as the dashboard's, and one that cannot
    be made takes half a minute to go away.
    """
    runner = LoopRunner()
    runner.start()
    try:
        runner.run_sync(shake_hands, address)
    finally:
        runner.stop()


async def shake_hands(address: str) -> None:
    """Connect to a scheduler as a Client does, and leave again."""
    options = Security().get_connection_args("client")
    async with asyncio.timeout(PATIENCE):
        comm = await connect_to(address, timeout=PATIENCE, **options)
    await comm.close()


def check_scheduler(client: Client) -> None:
    """Refuse a scheduler that cannot read the tasks of a job."""
    # A function of the standard library, which fails nowhere.
    if client.run_on_scheduler(importlib.util.find_spec, "cutline") is None:
        raise CutlineError(
            "The scheduler lacks cutline, and has to read its tasks: install it there."
        )


def check_versions(client: Client) -> None:
    """Refuse workers that lack cutline, or would write other bytes."""
    for package in MUST_MATCH:
        here = importlib.metadata.version(package)
        # A function of the standard library: it is there on a worker that lacks cutline.
        there = client.run(importlib.metadata.version, package, on_error="return")
        for worker, version in there.items():
            if version != here:
                has = "lacks" if isinstance(version, Exception) else f"has version {version} of"
                raise CutlineError(
                    f"The worker at {worker} {has} {package}, and this is {here}:"
                    f" install {package}=={here} there."
                )
