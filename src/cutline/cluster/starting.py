"""What the kinds share that start a cluster by a class of another package."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from distributed import Client, Security

from cutline.cluster.tls import Tls, configured
from cutline.cluster.waiting import Waiting, wait_for_workers
from cutline.errors import CutlineError, UsageError, said
from cutline.process import ctrl_c_held
from cutline.progress import Watcher

LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}
"""Hosts that only this machine reaches."""

INSECURE: Final = (
    "listens on the network without TLS, where whoever reaches it can run code as you: name"
    " certificates below tls, or write insecure: true"
)


def class_of(module: str, name: str, package: str) -> Callable[..., Any]:
    """Return a class or a function of a package that need not be installed.

    Raises
    ------
    UsageError
        It is not there.
    """
    try:
        with ctrl_c_held():  # and given back: dask_jobqueue takes Ctrl-C for itself
            found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise UsageError(
            f"The cluster needs {module} ({said(error)}): pip install '{package}'."
        ) from error
    except AttributeError as error:
        raise UsageError(f"The package {module} has no {name}: correct the class.") from error
    return found


class Started(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cluster that a class of another package starts for a run, and that ends with it.

    Attributes
    ----------
    tls
        Certificates, at the same path on all hosts.
    insecure
        Whether the scheduler may listen on the network without TLS.
    """

    tls: Tls | None = None
    insecure: bool = False

    @contextmanager
    def client(
        self,
        make: Callable[[Security], Any],
        waiting: Waiting,
        watcher: Watcher,
        begin: Callable[[Any], object] = str,
    ) -> Iterator[Client]:
        """Start a cluster, yield a client of it once it has a worker, and end it.

        Parameters
        ----------
        make
            Starts the cluster.
        begin
            Asks the cluster for workers, unless it has them from its start.

        Raises
        ------
        CutlineError
            It does not start, or no worker comes.
        UsageError
            Strangers could reach it.
        """
        with configured(self.tls) as security, _made(partial(make, security)) as cluster:
            parts = urlsplit(str(cluster.scheduler_address))
            if parts.scheme == "tcp" and parts.hostname not in LOOPBACK and not self.insecure:
                raise UsageError(f"The scheduler at {cluster.scheduler_address} {INSECURE}.")
            # A cluster that has certificates of its own hands them on.
            own = getattr(cluster, "security", None) or security
            with Client(cluster, set_as_default=False, security=own) as client:
                begin(cluster)
                wait_for_workers(client, watcher, waiting)
                yield client


def _made(make: Callable[[], Any]) -> AbstractContextManager[Any]:
    made: Any = None
    try:
        with ctrl_c_held():
            made = make()
    except KeyboardInterrupt:  # which was held until the cluster was there
        if made is not None:
            made.close()
        raise
    except Exception as error:  # asyncssh, and any class of any package, has errors of its own
        reason = said(error).rstrip(".")
        raise CutlineError(
            f"The cluster does not start ({reason}): correct its keys, or what they name."
        ) from error
    started: AbstractContextManager[Any] = made
    return started
