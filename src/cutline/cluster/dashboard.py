"""Where the dashboard of a cluster is, and Dask's own report of a job."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import dask
from distributed import Client, performance_report

from cutline.cluster.starting import LOOPBACK
from cutline.errors import CutlineError, UsageError
from cutline.process import private_api

PLAIN_LINK: Final = "{scheme}://{host}:{port}/status"
"""Dask's default of ``distributed.dashboard.link``."""

EVERYWHERE: Final = {"", "0.0.0.0", "::"}  # noqa: S104 - read, not asked for
"""How a server names its address if it listens on all."""


def check_dashboard_address(address: str) -> None:
    """Refuse an address of the dashboard that cannot be one.

    Raises
    ------
    UsageError
        It is neither ``none`` nor ends in a port.
    """
    _, _, port = address.rpartition(":")
    if address != "none" and not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise UsageError(
            f"The dashboard's address {address} is not HOST:PORT: correct it, or write none."
        )


def scheduler_options(address: str) -> dict[str, Any]:
    """Return what a scheduler is called with to show its dashboard there, or none."""
    if address == "none":
        # It listens all the same, for its metrics.
        return {"dashboard_address": "127.0.0.1:0", "dashboard": False}
    return {"dashboard_address": address}


def link_template() -> str:
    """Return the user's template of the dashboard's link, or a plain one if that cannot be filled.

    It may hold variables of the environment, which need not be set.
    """
    template = dask.config.get("distributed.dashboard.link", PLAIN_LINK)
    try:
        template.format(**{**os.environ, "scheme": "http", "host": "a", "port": 1})
    except (LookupError, ValueError, AttributeError):
        return PLAIN_LINK
    return str(template)


def where(client: Client, page: str = "status") -> list[str]:
    """Return lines about where the dashboard is, and how to reach it on another host.

    A dashboard asks for no password, so a firewall should keep it to its host, and the way in is
    through ssh: from this host, and to whoever reads this through ssh or in the log of a batch job.
    The link is to a page of it.
    """
    host, address, port = client.run_on_scheduler(private_api.dashboard_listens)
    far = host != socket.gethostname()
    away = far or "SSH_CONNECTION" in os.environ or "SLURM_JOB_ID" in os.environ
    inside = "127.0.0.1" if address in EVERYWHERE | LOOPBACK else address
    shown = host if address in EVERYWHERE and away else inside
    link = f"http://{shown}:{port}/{page}"
    if dask.config.get("distributed.dashboard.link") != PLAIN_LINK:
        # Through a proxy that somebody has set up.
        link = re.sub("/status$", f"/{page}", client.dashboard_link or link)
    lines = [f"The dashboard is at {link}"]
    if away:
        tunnel = f"ssh -N -L 8787:{inside}:{port} {host}"
        start = "From here" if far else "From your own machine"
        lines.append(f"{start}: {tunnel}  # and open http://127.0.0.1:8787/{page}")
    return lines


def check_report(path: str) -> None:
    """Refuse a path where Dask's report cannot be written, before the job begins.

    Raises
    ------
    UsageError
        The path is a folder, or its folder is not there or cannot be written to.
    """
    if os.path.isdir(path) or not os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK):
        raise UsageError(
            f"The report cannot be {path}: name a file in a folder that can be written."
        )


@contextmanager
def reported(client: Client, path: str) -> Iterator[None]:
    """Write Dask's own report of what is done in the block.

    Raises
    ------
    CutlineError
        The scheduler cannot draw it.
    """
    logging.getLogger("distributed.sizeof").setLevel(logging.ERROR)  # of profiles, which are deep
    try:
        with client.as_current(), performance_report(filename=path):
            yield
    except ImportError as error:  # raised on the scheduler
        raise CutlineError(
            f"The report {path} cannot be drawn ({error}): install bokeh where the scheduler is."
        ) from error
