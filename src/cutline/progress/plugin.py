"""The scheduler plugin that keeps the board of a scheduler, and shows it in its dashboard.

A client brings it to any scheduler that has a dashboard. If bokeh or this cutline is not there,
the page is missing and the job runs.
"""

import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final
from weakref import WeakKeyDictionary

from distributed import Client, Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from cutline.process import private_api
from cutline.progress import events
from cutline.progress.stages import Board

NO_PAGE: Final = "The dashboard has no Captions page, but the job runs:"

_SHOWN: Final[WeakKeyDictionary[Client, bool]] = WeakKeyDictionary()
"""The clients that were asked for, and whether their schedulers have the page."""


def show_captions_page(client: Client, say: Callable[[str], None]) -> bool:
    """Add the Captions page to the dashboard of a client's scheduler, unless it is there.

    Parameters
    ----------
    say
        Called with one line if the page cannot be shown.

    Returns
    -------
    bool
        Whether the page is there.
    """
    if client not in _SHOWN:
        _SHOWN[client] = _install(client, say)
    return _SHOWN[client]


def _install(client: Client, say: Callable[[str], None]) -> bool:
    """Register the plugin, or say why that cannot be.

    A scheduler whose dashboard is turned off is left alone: the page needs bokeh, which takes 0.3 s
    to import, and nobody could see it.
    """
    try:
        if not client.run_on_scheduler(private_api.wants_dashboard):
            return False
        # Asked first: a plugin that fails to start logs a traceback there.
        if client.run_on_scheduler(find_spec, "bokeh") is None:
            say(f"{NO_PAGE} the scheduler lacks bokeh; install it there.")
            return False
        client.register_plugin(BoardPlugin(), name=events.PLUGIN)
    except private_api.CHANGED as error:
        say(f"{NO_PAGE} the scheduler cannot show it ({error}).")
        return False
    return True


class BoardPlugin(SchedulerPlugin):
    """Keeps a board of the stages of every job on a scheduler, and shows it as a page."""

    idempotent = True

    def __init__(self) -> None:
        self.version = version("cutline")
        self.board = Board()

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page to the dashboard.

        Raises
        ------
        ImportError
            The scheduler has another cutline, or a dashboard that a page cannot be added to.
        """
        if self.version != version("cutline"):
            raise ImportError(f"its cutline is {version('cutline')}, and this is {self.version}")
        from cutline.progress import captions_page  # noqa: PLC0415 - bokeh may be missing on a client

        for told_at, message in scheduler.get_events(events.TOPIC):
            self._take(message, told_at)  # the job that brings the page has begun before
        draw = partial(captions_page.draw, self.board)
        private_api.add_page(scheduler, captions_page.NAME, "Dask: Captions", draw)

    def log_event(self, topic: str, msg: object) -> None:
        """Take an event."""
        if topic == events.TOPIC:
            self._take(msg, time.time())

    def _take(self, message: object, now: float) -> None:
        event = events.read_event(message)
        if event is not None:
            self.board.take(event, now)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:  # noqa: ARG002
        """End the jobs of a client that has gone, maybe without a word."""
        self.board.client_gone(client, time.time())

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: object) -> None:  # noqa: ARG002
        """Count a worker that was lost at work."""
        self.board.worker_gone()
