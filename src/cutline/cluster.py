"""A cluster to work on: from a `cluster.yaml` and the command line to a Dask client."""

import asyncio
import difflib
import importlib.metadata
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Final

import dask
import distributed.utils
import msgspec
import yaml
from dask.system import CPU_COUNT
from dask.utils import parse_bytes
from distributed import Client, LocalCluster
from distributed.comm.core import connect as connect_to
from distributed.security import Security
from distributed.utils import LoopRunner

from cutline import late
from cutline.errors import CutlineError, UsageError
from cutline.prefork import ENVIRONMENT, uncollected
from cutline.stopping import ctrl_c_held

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

Count = Annotated[int, msgspec.Meta(ge=1)]


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="local"):
    """A cluster on this machine that is started for the job and stopped after it.

    Attributes
    ----------
    workers
        Worker processes; without it one for each core that this process may use.
    threads_per_worker
        One is best: reading and judging records holds Python's lock.
    memory_limit
        Of each worker, as Dask writes it: ``4GiB``, or ``auto`` for its share of the machine.
    dashboard_address
        Where the dashboard listens, or ``none``.
    """

    workers: Count | None = None
    threads_per_worker: Count = 1
    memory_limit: str = "auto"
    dashboard_address: str = "127.0.0.1:8787"

    def __post_init__(self) -> None:
        """Refuse an amount of memory that Dask cannot read, and an address that cannot be one."""
        if self.memory_limit != "auto":
            parse_bytes(self.memory_limit)
        if self.dashboard_address != "none":
            _, _, port = self.dashboard_address.rpartition(":")
            if not (port.isascii() and port.isdigit() and int(port) < 2**16):
                raise UsageError(
                    f"The dashboard's address {self.dashboard_address} is not HOST:PORT: correct"
                    " it, or write none."
                )


class Address(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="address"
):
    """A scheduler that is running already."""

    address: str


Cluster = Local | Address


def read_cluster(path: str) -> Cluster:
    """Read a `cluster.yaml`.

    Raises
    ------
    UsageError
        It is not there, is not YAML, or has a key or a value that cannot be.
    """
    try:
        with open(path, encoding="utf-8") as file:
            body = yaml.safe_load(file)
        cluster: Cluster = msgspec.convert(body, Cluster)
    except OSError as error:
        raise UsageError(
            f"The cluster file {path} cannot be read ({error.strerror}): name a cluster.yaml."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"The cluster file {path} is not YAML: correct it, {reason}.") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"The cluster file {path} is wrong: {explain(body, error)}.") from error
    return cluster


def explain(body: object, error: msgspec.ValidationError) -> str:
    """Say what is wrong with a cluster file, and name the key that was likely meant."""
    if not isinstance(body, dict):
        return "it holds no keys; start from the cluster.yaml of the project"
    kinds = {"local": Local, "address": Address}
    if "kind" not in body:
        return f"it has no kind, which must be {' or '.join(kinds)}"
    kind = str(body["kind"])
    if kind not in kinds:
        return f"kind is {kind!r}, and must be {' or '.join(kinds)}"
    known = ["kind", *kinds[kind].__struct_fields__]
    for key in body:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0) or known
            return f"it has no key {key!r}; the nearest is {near[0]!r}"
    return str(error)


def has_dashboard(cluster: Cluster) -> bool:
    """Tell whether a cluster shows a dashboard."""
    return isinstance(cluster, Address) or cluster.dashboard_address != "none"


@contextmanager
def connect(cluster: Cluster) -> Iterator[Client]:
    """Start a cluster or join one, and give a client of it that works with this cutline.

    Raises
    ------
    CutlineError
        It cannot be reached, has no workers, or they have other versions.
    """
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
    address = cluster.dashboard_address
    of_scheduler: dict[str, object] = {}
    if not has_dashboard(cluster):
        # Dask listens all the same, for what is no page.
        address, of_scheduler = "127.0.0.1:0", {"dashboard": False}
    elif importlib.util.find_spec("bokeh"):  # without it, Dask has a page that asks for it
        of_scheduler = {"dashboard": False, "plugins": [late.Late()]}
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
        raise CutlineError(
            f"The local cluster does not start ({error}): correct its options."
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
