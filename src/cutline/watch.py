"""What a job tells while it runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Final, Protocol


class Watcher(Protocol):
    """Somebody who is told how far a job is."""

    def stage(self, name: str, tasks: int) -> AbstractContextManager[Callable[[int], None]]:
        """Follow a stage; what it gives is called with the number of tasks that are done."""

    def say(self, line: str) -> None:
        """Tell something in one line."""


class Silent:
    """Tells nobody: the default of the functions."""

    def stage(self, name: str, tasks: int) -> AbstractContextManager[Callable[[int], None]]:  # noqa: ARG002
        """Follow nothing."""
        return nullcontext(lambda _: None)

    def say(self, line: str) -> None:
        """Say nothing."""


SILENT: Final = Silent()


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
        """Give the seconds since the job began."""
        return round(time.monotonic() - self.began, 3)
