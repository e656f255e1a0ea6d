"""The one whom a job tells how far it is, and the clock of its stages."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from cutline.progress.summaries import Summary
from cutline.store import space

PATIENCE: Final = 2
"""Seconds of a stage before anybody knows how long it will take."""

TASKS: Final = "tasks"
"""The unit of a stage that counts nothing better."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much a stage has to do: sidecars, rows, bytes; or its tasks."""

    amount: int
    unit: str = TASKS

    def of(self, elements: Iterable[object]) -> int:
        """Return how much a task has done: the sum of its results' attributes of the unit's name.

        Where the unit is tasks it is one, whatever the results are.
        """
        return 1 if self.unit == TASKS else sum(getattr(one, self.unit) for one in elements)

    def figure(self, amount: float) -> str:
        """Write an amount: a number, or for bytes a size with its unit."""
        return space.shown_size(round(amount)) if self.unit == "bytes" else f"{amount:,.0f}"

    def progress(self, done: float, of: str = " of ") -> str:
        """Write how much is done, of how much."""
        unit = "" if self.unit == "bytes" else f" {self.unit}"
        return f"{self.figure(done)}{of}{self.figure(self.amount)}{unit}"


Advance: TypeAlias = Callable[[int], None]
"""Adds to what is done of a stage's load."""


class Watcher(Protocol):
    """Somebody who is told how far a job is: a terminal, a log, or nobody."""

    def stage(self, name: str, load: Load) -> AbstractContextManager[Advance]:
        """Follow a stage; the value of the context is called as tasks are done."""

    def say(self, line: str) -> None:
        """Tell something in one line."""

    def report(self, summary: Summary) -> None:
        """Tell what the job came to."""


class Silent:
    """A watcher that tells nobody: the default of the functions."""

    def stage(self, name: str, load: Load) -> AbstractContextManager[Advance]:  # noqa: ARG002
        """Follow nothing."""
        return nullcontext(lambda _: None)

    def say(self, line: str) -> None:
        """Say nothing."""

    def report(self, summary: Summary) -> None:
        """Report nothing."""


SILENT: Final = Silent()


def duration(seconds: float) -> str:
    """Write a time as people do, as in ``1 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


@dataclass
class Clock:
    """How long the stages of a job took, in seconds."""

    began: float = field(default_factory=time.monotonic)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        began = time.monotonic()
        yield
        self.stages[name] = round(time.monotonic() - began, 3)

    def total(self) -> float:
        """Return the seconds since the job began."""
        return round(time.monotonic() - self.began, 3)
