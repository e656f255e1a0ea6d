"""A cluster that somebody else has started."""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Annotated, Any, Final

import dask
import msgspec
from distributed import Client, Security
from distributed import connect as connect_to

from cutline.cluster.tls import Tls, check_address, configured
from cutline.cluster.waiting import Waiting, wait_for_workers
from cutline.errors import CutlineError, UsageError, said
from cutline.progress import SILENT, Watcher

PATIENCE: Final = 15
"""Seconds that a scheduler has to answer, and its first worker to be there."""

PATIENCE_WITH_FILE: Final = 300
"""Seconds where a file names the scheduler, which is how one is started together with the job."""


class Address(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="address"
):
    """A scheduler that is running already.

    Attributes
    ----------
    address
        Where it is, as in ``tcp://host:8786``. Without it, where ``DASK_SCHEDULER_ADDRESS`` says.
    scheduler_file
        Or the file in which it says so itself: ``dask scheduler --scheduler-file``.
    tls
        Certificates; without it, those that Dask is configured with.
    patience
        Seconds for its file to be there, for it to answer, and for its first worker: 15, and 300
        with a scheduler file.
    """

    address: str | None = None
    scheduler_file: str | None = None
    tls: Tls | None = None
    patience: Annotated[float, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        """Refuse two schedulers, and none."""
        if self.address is not None and self.scheduler_file is not None:
            raise UsageError(
                "Both an address and a scheduler file name a scheduler: give one of them."
            )
        if self._named() is None:
            raise UsageError(
                "No scheduler is named: give address or scheduler_file, or set"
                " DASK_SCHEDULER_ADDRESS."
            )

    def _named(self) -> str | None:
        configured_one: str | None = dask.config.get("scheduler-address", None)
        return self.address if self.address is not None else self.scheduler_file or configured_one

    def _patience(self) -> float:
        return self.patience or (PATIENCE_WITH_FILE if self.scheduler_file else PATIENCE)

    @contextmanager
    def open(self, watcher: Watcher = SILENT) -> Iterator[Client]:
        """Join the scheduler, yield a client of it, and leave it running.

        Raises
        ------
        UsageError
            The address cannot be one, or certificates are wrong.
        CutlineError
            No scheduler answers there, or no worker comes.
        """
        address, patience = str(self._named()), self._patience()
        if self.scheduler_file is not None:
            address = address_in(self.scheduler_file, patience, watcher)
        with configured(self.tls) as security, self._joined(address, security) as client:
            waiting = Waiting(
                patience,
                lambda: f"the scheduler at {address} has no workers",
                "start some with `dask worker`, or raise patience in a cluster file",
            )
            wait_for_workers(client, watcher, waiting)
            yield client

    def _joined(self, address: str, security: Security) -> Client:
        check_address(address, security)
        try:
            _reach(address, self._patience(), security)
            return Client(
                address, timeout=self._patience(), security=security, set_as_default=False
            )
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"The scheduler cannot be at {address} ({error}): write it as tcp://HOST:PORT."
            ) from error
        except OSError as error:
            raise CutlineError(
                f"No Dask scheduler answers at {address}: start one, or correct the address."
            ) from error


def address_in(path: str, patience: float, watcher: Watcher = SILENT) -> str:
    """Read a scheduler's address from its file, once the scheduler has written it.

    Raises
    ------
    UsageError
        It is not there in time, or is no such file.
    """
    end, told = time.monotonic() + patience, False
    while not (os.path.exists(path) and os.path.getsize(path)):
        if time.monotonic() > end:
            raise UsageError(
                f"There is no scheduler file {path}: name the one that"
                " `dask scheduler --scheduler-file` writes."
            )
        if not told:
            watcher.say(f"Waiting for a scheduler to write {path}.")
            told = True
        time.sleep(0.2)
    try:
        with open(path, encoding="utf-8") as file:
            body: Any = json.load(file)
        return str(body["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"The scheduler file {path} cannot be read ({said(error)}): name the one that"
            " `dask scheduler --scheduler-file` has written."
        ) from error


def _reach(address: str, patience: float, security: Security) -> None:
    """Raise OSError where no scheduler answers.

    A Client waits for ever for a server that is none, such as the dashboard's, and one that cannot
    be made takes half a minute to go away.
    """
    with ThreadPoolExecutor(1) as apart:  # in a notebook this thread has a loop that runs
        apart.submit(asyncio.run, _shake_hands(address, patience, security)).result()


async def _shake_hands(address: str, patience: float, security: Security) -> None:
    options = security.get_connection_args("client")
    async with asyncio.timeout(patience):
        comm = await connect_to(address, timeout=patience, **options)
    await comm.close()
