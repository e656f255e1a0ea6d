"""What a job tells while it runs: to a terminal, to a log, or to nobody."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from cutline.records import clean
from cutline.store import shown_size
from cutline.summary import Stepped, Summary, Tabled, in_a_line, readable

LOG_EVERY: Final = 10
"""Seconds between two lines of a log."""

LOG_WIDTH: Final = 120
"""Characters of a line of a table in a log."""

LOG_STEP: Final = 2
"""How many times as long as at the last line a stage has taken at the next one, at least.

With it a stage of one hour has 10 lines, and one of a day 15; a run has seven stages, and its log
is to have less than 60.
"""


TASKS: Final = "tasks"
"""The unit of a stage of which nothing better can be said."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much a stage has to do: sidecars, rows, bytes; or its tasks."""

    amount: int
    unit: str = TASKS

    def of(self, elements: Iterable[object]) -> int:
        """Say how much a task has done, by its results: each has an attribute of the unit's name.

        A task is one task, whatever came of it.
        """
        return 1 if self.unit == TASKS else sum(getattr(one, self.unit) for one in elements)

    def figure(self, amount: float) -> str:
        """Write an amount: a number, but of bytes a size, which has its own unit."""
        return shown_size(round(amount)) if self.unit == "bytes" else f"{amount:,.0f}"

    def progress(self, done: float, of: str = " of ") -> str:
        """Write how much is done of it all."""
        unit = "" if self.unit == "bytes" else f" {self.unit}"
        return f"{self.figure(done)}{of}{self.figure(self.amount)}{unit}"


class Advance(Protocol):
    """Told how much more of a stage is done."""

    def __call__(self, amount: int, /) -> None:
        """Take some of the stage's load."""


class Watcher(Protocol):
    """Somebody who is told how far a job is."""

    def stage(self, name: str, load: Load) -> AbstractContextManager[Advance]:
        """Follow a stage; what it gives is called as tasks are done."""

    def say(self, line: str) -> None:
        """Tell something in one line."""

    def report(self, summary: Summary) -> None:
        """Tell what the job came to."""


class Silent:
    """Tells nobody: the default of the functions."""

    def stage(self, name: str, load: Load) -> AbstractContextManager[Advance]:  # noqa: ARG002
        """Follow nothing."""
        return nullcontext(lambda _: None)

    def say(self, line: str) -> None:
        """Say nothing."""

    def report(self, summary: Summary) -> None:
        """Report nothing."""


SILENT: Final = Silent()


class Terminal:
    """A bar a stage, and the summary at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, name: str, load: Load) -> Iterator[Advance]:
        """Show a bar."""
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            Amount(),
            Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(name, total=load.amount, load=load)
            yield partial(progress.advance, bar)

    def say(self, line: str) -> None:
        """Show a line."""
        self.console.print(clean(line), highlight=False, markup=False, soft_wrap=True)

    def report(self, summary: Summary) -> None:
        """Show the summary, step by step."""
        for step in summary.steps() if isinstance(summary, Stepped) else [summary]:
            if isinstance(step, Tabled):
                self.console.print(step.as_table())
                continue
            for line in readable(step):
                text = Text(line, overflow="fold")
                text.stylize("bold", 0, len(line) if line[0] != " " else 0)
                self.console.print(text, highlight=False)


class Amount(ProgressColumn):
    """How much is done, of how much."""

    def render(self, task: Task) -> Text:
        """Show it."""
        return Text(task.fields["load"].progress(task.completed, "/"), style="progress.download")


class Rate(ProgressColumn):
    """How much is done a second."""

    def render(self, task: Task) -> Text:
        """Show it."""
        speed = task.finished_speed or task.speed
        shown = f"{task.fields['load'].figure(speed)}/s" if speed else ""
        return Text(shown, style="progress.data.speed")


class Log:
    """Whole lines and not many of them, for a file that is read later."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    @contextmanager
    def stage(self, name: str, load: Load) -> Iterator[Advance]:
        """Write a line now and then, and one at the end."""
        began = time.monotonic()
        told = done = 0.0

        def advance(amount: int) -> None:
            nonlocal told, done
            done += amount
            seconds = time.monotonic() - began
            due = seconds - told >= LOG_EVERY and seconds >= LOG_STEP * told
            if due and done < load.amount:
                told = seconds
                left = duration(seconds * (load.amount - done) / done) if done else "who knows"
                self.say(f"{name}: {so_far(done, load, seconds)}, {left} left")

        yield advance
        self.say(f"{name}: {so_far(done, load, time.monotonic() - began)}")

    def say(self, line: str) -> None:
        """Write a line; names in it may hold anything."""
        with suppress(OSError):  # a full disk of the log's, a reader that has gone: no job ends
            print(clean(line), file=self.file, flush=True)

    def report(self, summary: Summary) -> None:
        """Write the summary; of several steps, each in a line."""
        if isinstance(summary, Stepped):
            for step in summary.steps():
                self.say(in_a_line(step))
        elif isinstance(summary, Tabled):
            with suppress(OSError):
                Console(file=self.file, width=LOG_WIDTH).print(summary.as_table())
        else:
            with suppress(OSError):
                print(*readable(summary), sep="\n", file=self.file, flush=True)


def on_stderr() -> Watcher:
    """Watch on standard error: as a terminal if it is one."""
    # Rich takes FORCE_COLOR, which many a log's environment has, for a terminal.
    return Terminal(Console(stderr=True)) if sys.stderr.isatty() else Log(sys.stderr)


def so_far(done: float, load: Load, seconds: float) -> str:
    """Say how much is done, and how fast."""
    pace = f", {rate(done / seconds, load)}" if done and seconds else ""
    return f"{load.progress(done)} in {duration(seconds)}{pace}"


def rate(each_second: float, load: Load) -> str:
    """Write how fast something goes."""
    if each_second < 1:
        return f"{load.figure(60 * each_second)} a minute"
    return f"{load.figure(each_second)} a second"


def duration(seconds: float) -> str:
    """Write a time as people say it."""
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
        """Give the seconds since the job began."""
        return round(time.monotonic() - self.began, 3)
