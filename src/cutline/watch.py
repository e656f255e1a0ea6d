"""What a job tells while it runs: to a terminal, to a log, or to nobody."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TextIO, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cutline.records import clean

Advance = Callable[[int], None]

LOG_EVERY: Final = 10
"""Seconds between two lines of a log."""

LOG_WIDTH: Final = 120
"""Characters of a line of a table in a log."""


class Summary(Protocol):
    """What a job gives back."""

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints."""


@runtime_checkable
class Tabled(Protocol):
    """A summary that is read as a table."""

    def as_table(self) -> Table:
        """Lay it out."""


@runtime_checkable
class Stepped(Protocol):
    """A summary of several steps, each with one of its own."""

    def steps(self) -> list[Summary]:
        """Give those of the steps."""


class Watcher(Protocol):
    """Somebody who is told how far a job is."""

    def stage(self, name: str, tasks: int) -> AbstractContextManager[Advance]:
        """Follow a stage; what it gives is called with the number of tasks that are done."""

    def say(self, line: str) -> None:
        """Tell something in one line."""

    def report(self, summary: Summary) -> None:
        """Tell what the job came to."""


class Silent:
    """Tells nobody: the default of the functions."""

    def stage(self, name: str, tasks: int) -> AbstractContextManager[Advance]:  # noqa: ARG002
        """Follow nothing."""
        return nullcontext(lambda _: None)

    def say(self, line: str) -> None:
        """Say nothing."""

    def report(self, summary: Summary) -> None:
        """Report nothing."""


SILENT: Final = Silent()


class Terminal:
    """A bar a stage, and a table at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, name: str, tasks: int) -> Iterator[Advance]:
        """Show a bar."""
        columns = (
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(name, total=tasks)
            yield lambda count: progress.advance(bar, count)

    def say(self, line: str) -> None:
        """Show a line."""
        self.console.print(clean(line), highlight=False, markup=False, soft_wrap=True)

    def report(self, summary: Summary) -> None:
        """Show a table."""
        for step in steps(summary):
            self.console.print(step.as_table() if isinstance(step, Tabled) else plain_table(step))


class Log:
    """Whole lines and not many of them, for a file that is read later."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    @contextmanager
    def stage(self, name: str, tasks: int) -> Iterator[Advance]:
        """Write a line now and then, and one at the end."""
        began = told = time.monotonic()
        done = 0

        def advance(count: int) -> None:
            nonlocal done, told
            done += count
            if time.monotonic() - told >= LOG_EVERY:
                told = time.monotonic()
                self.say(f"{name}: {done:,} of {tasks:,} tasks in {told - began:.0f} s")

        yield advance
        self.say(f"{name}: {done:,} of {tasks:,} tasks in {time.monotonic() - began:.1f} s")

    def say(self, line: str) -> None:
        """Write a line; names in it may hold anything."""
        print(clean(line), file=self.file, flush=True)

    def report(self, summary: Summary) -> None:
        """Write a line, or a table."""
        for step in steps(summary):
            if isinstance(step, Tabled):
                Console(file=self.file, width=LOG_WIDTH).print(step.as_table())
            else:
                self.say(", ".join(f"{name}: {value}" for name, value in flat(step.as_json())))


def on_stderr() -> Watcher:
    """Watch on standard error: as a terminal if it is one."""
    # Rich takes FORCE_COLOR, which many a log's environment has, for a terminal.
    return Terminal(Console(stderr=True)) if sys.stderr.isatty() else Log(sys.stderr)


def steps(summary: Summary) -> list[Summary]:
    """Give the summaries of a job's steps, or its own."""
    return summary.steps() if isinstance(summary, Stepped) else [summary]


def plain_table(summary: Summary) -> Table:
    """Lay a summary out, a value a line."""
    table = Table(show_header=False, box=None)
    for name, value in flat(summary.as_json()):
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    return table


def flat(body: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name the values of nested objects by their path."""
    for name, value in body.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name} ")
        else:
            yield prefix + name, value


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
