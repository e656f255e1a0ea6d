"""A cluster to work on: from a `cluster.yaml` and the command line to a Dask client."""

import difflib
import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dask
import msgspec
import yaml
from distributed import Client, LocalCluster

from cutline.errors import CutlineError, UsageError

MUST_MATCH: Final = ("cutline", "pyarrow", "orjson", "fsspec")
"""Packages whose versions change the bytes of what is written."""

PATIENCE: Final = 15
"""Seconds that a scheduler has to answer, and its first worker to be there."""


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="local"):
    """A cluster on this machine that is started for the job and stopped after it.

    Attributes
    ----------
    workers
        Worker processes; without it one a core.
    threads_per_worker
        One is best: reading and judging records holds Python's lock.
    memory_limit
        Of each worker, as Dask writes it: ``4GiB``, or ``auto`` for its share of the machine.
    dashboard_address
        Where the dashboard listens, or ``none``.
    """

    workers: int | None = None
    threads_per_worker: int = 1
    memory_limit: str = "auto"
    dashboard_address: str = "127.0.0.1:8787"


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
        raise UsageError(f"The cluster file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"The cluster file {path} is not YAML: {reason}.") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"The cluster file {path} is wrong: {explain(body, error)}.") from error
    return cluster


def explain(body: object, error: msgspec.ValidationError) -> str:
    """Say what is wrong with a cluster file, and name the key that was likely meant."""
    if not isinstance(body, dict):
        return "it holds no keys; start from the cluster.yaml of the project"
    kinds = {"local": Local, "address": Address}
    if body.get("kind") not in kinds:
        return f"kind is {body.get('kind')!r}, and must be {' or '.join(kinds)}"
    known = ["kind", *kinds[body["kind"]].__struct_fields__]
    for key in body:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0) or known
            return f"it has no key {key!r}; the nearest is {near[0]!r}"
    return str(error)


@contextmanager
def connect(cluster: Cluster) -> Iterator[Client]:
    """Start a cluster or join one, and give a client of it that works with this cutline.

    Raises
    ------
    CutlineError
        It cannot be reached, has no workers, or they have other versions.
    """
    with dask.config.set(
        {
            # A worker that dies takes down every task that it had, guilty or not: three times,
            # which is Dask's default, is soon reached by a part that did nothing.
            "distributed.scheduler.allowed-failures": 10,
        }
    ):
        if isinstance(cluster, Address):
            with join(cluster.address) as client:
                yield client
        else:
            with start(cluster) as started, Client(started, set_as_default=False) as client:
                yield client


def start(cluster: Local) -> LocalCluster:
    """Start a cluster on this machine."""
    dashboard = cluster.dashboard_address
    try:
        return LocalCluster(
            n_workers=cluster.workers or os.cpu_count(),
            threads_per_worker=cluster.threads_per_worker,
            memory_limit=cluster.memory_limit,
            host="127.0.0.1",
            dashboard_address=None if dashboard == "none" else dashboard,
        )
    except (OSError, ValueError) as error:
        raise CutlineError(f"The local cluster does not start: {error}.") from error


@contextmanager
def join(address: str) -> Iterator[Client]:
    """Join a scheduler that is running."""
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise CutlineError(
            f"No Dask scheduler answers at {address}: start one, or correct the address."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise CutlineError(
                f"The scheduler at {address} has no workers: start some with `dask worker`."
            ) from error
        check_versions(client)
        yield client


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
