"""What the Captions page shows, kept on the scheduler: stages, counted as their tasks tell.

A scheduler plugin, which a client brings to whatever scheduler has a dashboard. Without bokeh
there, or without this cutline, there is no page, and the job runs as well.
"""

import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from heapq import nlargest
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final
from weakref import WeakSet

from distributed import Client, Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from cutline import events, late
from cutline.watch import Load

PLUGIN: Final = "cutline-captions-page"

STAGES: Final = 8
"""How many stages are kept; the page of a long-lived scheduler is not to grow."""

POINTS: Final = 400
"""How many points the line of a stage may have before every other one is dropped."""

SLOWEST: Final = 5
"""How many slow tasks are kept."""

EXAMPLES: Final = 3
"""How many examples of a reject reason are kept: the last ones."""


@dataclass(slots=True)
class Progress:
    """How far a stage is, as its tasks have told."""

    begun: events.Begun
    began: float
    ended: float | None = None
    tasks: int = 0
    done: int = 0
    made: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, deque[str]] = field(default_factory=dict)
    slowest: list[events.Done] = field(default_factory=list)
    line: list[tuple[float, int]] = field(default_factory=list)

    def take(self, done: events.Done, now: float) -> None:
        """Count what a task has told."""
        self.tasks += 1
        self.done += 1 if self.begun.unit == "tasks" else done.amount
        self.made.update(done.made)
        self.rejects.update(done.rejects)
        for reason, text in done.examples.items():
            self.examples.setdefault(reason, deque(maxlen=EXAMPLES)).append(text)
        self.slowest = nlargest(SLOWEST, [*self.slowest, done], key=lambda task: task.seconds)
        self.add_point(now)
        if self.tasks >= self.begun.tasks:
            self.ended = now

    def end(self, ended: events.Ended, now: float) -> None:
        """Take in that nobody waits any more; tasks of some stages have not told of themselves."""
        self.tasks = max(self.tasks, ended.tasks)
        if self.begun.unit == "tasks":
            self.done = self.tasks
        if self.ended is None:
            self.ended = now

    def add_point(self, now: float) -> None:
        """Add a point to the line of what was done when, or move the last one if it is near."""
        if len(self.line) > 1 and now - self.line[-2][0] < 1:
            self.line[-1] = (now, self.done)
        else:
            self.line.append((now, self.done))
        if len(self.line) > POINTS:
            del self.line[1::2]

    def rates(self) -> list[tuple[float, float]]:
        """Give the line of how much was done a second, over the seconds since it began.

        Each point is the mean of a twentieth of the time, or of two seconds: tasks end in bursts.
        """
        points = [(self.began, 0), *self.line]
        window = max(2.0, (points[-1][0] - self.began) / 20)
        rates = []
        start = 0
        for now, done in points:
            while start + 1 < len(points) and points[start + 1][0] <= now - window:
                start += 1
            then, was = points[start]
            if now - then >= window:
                rates.append((now - self.began, (done - was) / (now - then)))
        return rates

    @property
    def load(self) -> Load:
        """How much there is to do."""
        return Load(self.begun.amount, self.begun.unit)

    @property
    def whole(self) -> bool:
        """Whether all of its tasks are done."""
        return self.tasks >= self.begun.tasks

    def seconds(self, now: float) -> float:
        """Give how long it has taken."""
        return (now if self.ended is None else self.ended) - self.began

    def left(self, now: float) -> float | None:
        """Estimate how many seconds it will take still, if that can be told."""
        if self.ended is not None or not self.done:
            return None
        return max(0.0, self.seconds(now) * (self.begun.amount - self.done) / self.done)


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
        late.when_loaded(scheduler, partial(self.add_page, scheduler))

    def add_page(self, scheduler: Scheduler) -> None:
        """Add the page to a dashboard that is loaded."""
        from cutline import page  # noqa: PLC0415 - a client without bokeh imports this module

        page.add(scheduler, self)

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
    except late.OF_ANOTHER_VERSION as error:
        return f"the scheduler cannot show it ({error})"
    return ""


# On the scheduler.


def wants_dashboard(dask_scheduler: Scheduler) -> bool:
    """Tell whether a scheduler has a dashboard, or has instead a page that says it lacks bokeh."""
    applications = dask_scheduler.http_application.applications
    missing = "distributed.http.scheduler.missing_bokeh" in sys.modules
    loaded = any(hasattr(application, "app_paths") for application in applications)
    return missing or loaded or late.is_deferred(dask_scheduler)
