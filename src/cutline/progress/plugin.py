"""What the Captions page shows, kept on the scheduler: stages, counted as their tasks tell.

A scheduler plugin, which a client brings to whatever scheduler has a dashboard. Without bokeh
there, or without this cutline, there is no page, and the job runs as well.
"""

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final
from weakref import WeakSet

from distributed import Client, Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from cutline.progress import events
from cutline.progress.stages import STAGES, Progress

PLUGIN: Final = "cutline-captions-page"

OF_ANOTHER_VERSION: Final = (ImportError, AttributeError, LookupError, TypeError)
"""What comes of a Dask or a bokeh that has changed inside."""


class Board(SchedulerPlugin):
    """Follows the stages of every job on a scheduler, and has the page in its dashboard."""

    idempotent = True

    def __init__(self) -> None:
        self.version = version("cutline")
        self.stages: dict[str, Progress] = {}
        self.lost_workers = 0
        self.changes = 0
        """Grows with each change, so that a page knows when to draw itself anew."""

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page to the dashboard.

        Raises
        ------
        ImportError
            The scheduler has another cutline; or its dashboard is loaded, and is of another bokeh
            or Dask than the page needs.
        """
        if self.version != version("cutline"):
            raise ImportError(f"its cutline is {version('cutline')}, and this is {self.version}")
        from cutline.progress import captions_page  # noqa: PLC0415 - a client without bokeh imports this module

        captions_page.add(scheduler, self)

    def log_event(self, topic: str, msg: object) -> None:
        """Take an event."""
        event = events.read_event(msg) if topic == events.TOPIC else None
        if event is None:
            return
        now = time.time()
        self.changes += 1
        if isinstance(event, events.Begun):
            self.stages[event.stage] = Progress(event, now)
            while len(self.stages) > STAGES:
                del self.stages[next(iter(self.stages))]
        elif event.stage in self.stages:
            stage = self.stages[event.stage]
            if isinstance(event, events.Done):
                stage.take(event, now)
            else:
                stage.end(event, now)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:  # noqa: ARG002
        """End the stages of a client that has gone, maybe without a word."""
        for stage in self.stages.values():
            if stage.begun.client == client and stage.ended is None:
                stage.ended = time.time()
                self.changes += 1

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: object) -> None:  # noqa: ARG002
        """Count the workers that were lost while there was work: their tasks run again."""
        if any(stage.ended is None for stage in self.stages.values()):
            self.lost_workers += 1
            self.changes += 1


# On the client.


ASKED: Final[WeakSet[Client]] = WeakSet()
"""The clients whose schedulers have the page, or cannot."""


def show(client: Client, say: Callable[[str], None]) -> None:
    """Have the page in the dashboard of a client's scheduler, or say in one line why not."""
    if client in ASKED:
        return
    ASKED.add(client)
    reason = install(client)
    if reason:
        say(f"The dashboard has no Captions page, but the job runs: {reason}.")


def install(client: Client) -> str:
    """Bring the plugin to the scheduler, and give the reason if that cannot be.

    Not to one whose dashboard was turned off: the page needs bokeh, which takes 0.3 s to import,
    and nobody could see it.
    """
    try:
        if not client.run_on_scheduler(wants_dashboard):
            return ""
        # Asked for beforehand: a plugin that fails to start logs a traceback there.
        if client.run_on_scheduler(find_spec, "bokeh") is None:
            return "the scheduler lacks bokeh; install it there"
        client.register_plugin(Board(), name=PLUGIN)
    except OF_ANOTHER_VERSION as error:
        return f"the scheduler cannot show it ({error})"
    return ""


# On the scheduler.


def wants_dashboard(dask_scheduler: Scheduler) -> bool:
    """Tell whether a scheduler has a dashboard, or has instead a page that says it lacks bokeh."""
    applications = dask_scheduler.http_application.applications
    missing = "distributed.http.scheduler.missing_bokeh" in sys.modules
    loaded = any(hasattr(application, "app_paths") for application in applications)
    return missing or loaded
