"""Where the dashboard of a cluster is, and Dask's own report of a job."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import dask
from distributed import Client, performance_report

from cutline.errors import CutlineError, UsageError

PLAIN_LINK: Final = "{scheme}://{host}:{port}/status"
"""How Dask writes the link unless told otherwise."""

LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}
"""Where a scheduler on another host seems to be, when it is reached through a tunnel."""


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


def where(client: Client) -> list[str]:
    """Return lines about where the dashboard is, and how to reach it on another host.

    A dashboard asks for no password, so a firewall should keep it to its host, and the way in is
    through ssh.
    """
    lines = [f"The dashboard is at {client.dashboard_link}"]
    host = client.run_on_scheduler(socket.gethostname)
    if host != socket.gethostname():
        info = client.scheduler_info(n_workers=0)
        reached = urlsplit(str(info["address"])).hostname
        name = host if reached in LOOPBACK else reached
        lines.append(_tunnel(info["services"]["dashboard"], str(name)))
    return lines


def _tunnel(port: int, host: str) -> str:
    return f"From here: ssh -N -L 8787:127.0.0.1:{port} {host}  # and open http://127.0.0.1:8787"


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
