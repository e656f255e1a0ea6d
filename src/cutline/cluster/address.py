"""A cluster that somebody else has started."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import msgspec
from distributed import Client, Security
from distributed import connect as connect_to

from cutline.errors import CutlineError, UsageError

PATIENCE: Final = 15
"""Seconds that a scheduler has to answer, and its first worker to be there."""


class Address(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="address"
):
    """A scheduler that is running already, as in ``tcp://host:8786``."""

    address: str

    @property
    def has_dashboard(self) -> bool:
        """Whether the cluster shows a dashboard; it does unless its scheduler was told not to."""
        return True

    @contextmanager
    def open(self) -> Iterator[Client]:
        """Join the scheduler, yield a client of it, and leave it running.

        Raises
        ------
        UsageError
            The address cannot be one.
        CutlineError
            No scheduler answers there, or it has no workers.
        """
        with self._joined() as client:
            try:
                # Dask waits for one that takes tasks; a paused one is there, and the job says so.
                if not client.scheduler_info(n_workers=-1)["workers"]:
                    client.wait_for_workers(1, timeout=PATIENCE)
            except TimeoutError as error:
                raise CutlineError(
                    f"The scheduler at {self.address} has no workers: start some with"
                    " `dask worker`."
                ) from error
            yield client

    def _joined(self) -> Client:
        try:
            _reach(self.address)
            return Client(self.address, timeout=PATIENCE, set_as_default=False)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"The scheduler cannot be at {self.address} ({error}): write it as tcp://HOST:PORT."
            ) from error
        except OSError as error:
            raise CutlineError(
                f"No Dask scheduler answers at {self.address}: start one, or correct the address."
            ) from error


def _reach(address: str) -> None:
    """Raise OSError where no scheduler answers.

    A Client waits for ever for a server that is none, such as the dashboard's, and one that cannot
    be made takes half a minute to go away.
    """
    with ThreadPoolExecutor(1) as apart:  # in a notebook this thread has a loop that runs
        apart.submit(asyncio.run, _shake_hands(address)).result()


async def _shake_hands(address: str) -> None:
    options = Security().get_connection_args("client")
    async with asyncio.timeout(PATIENCE):
        comm = await connect_to(address, timeout=PATIENCE, **options)
    await comm.close()
