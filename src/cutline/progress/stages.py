"""How far the stages of jobs are, counted as their tasks tell: what the Captions page shows."""

from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final

from cutline.progress import events
from cutline.progress.watcher import Load

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
        """End the stage: nobody waits for it any more. Tasks of some stages tell nothing."""
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
        """Return how much was done a second, over the seconds since the stage began.

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
        """Return how long it has taken."""
        return (now if self.ended is None else self.ended) - self.began

    def left(self, now: float) -> float | None:
        """Estimate how many more seconds it will take; None before anything is done."""
        if self.ended is not None or not self.done:
            return None
        return max(0.0, self.seconds(now) * (self.begun.amount - self.done) / self.done)


@dataclass(slots=True)
class Board:
    """The last stages of all jobs on a scheduler.

    `changes` grows with each change, so that a page knows when to draw itself anew.
    """

    stages: dict[str, Progress] = field(default_factory=dict)
    lost_workers: int = 0
    changes: int = 0

    @property
    def running(self) -> bool:
        """Whether any stage is at work."""
        return any(stage.ended is None for stage in self.stages.values())

    def take(self, event: events.Event, now: float) -> None:
        """Count what a client or a task has told."""
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

    def client_gone(self, client: str, now: float) -> None:
        """End the stages of a client that has gone."""
        for stage in self.stages.values():
            if stage.begun.client == client and stage.ended is None:
                stage.ended = now
                self.changes += 1

    def worker_gone(self) -> None:
        """Count a worker that was lost while there was work: its tasks run again."""
        if self.running:
            self.lost_workers += 1
            self.changes += 1
