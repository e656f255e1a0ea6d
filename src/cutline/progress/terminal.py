"""Progress in a terminal: a bar a stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from cutline.progress.summaries import Stepped, Summary, Tabled, in_a_line, readable
from cutline.progress.watcher import PATIENCE, Advance, Load
from cutline.record import texts

BESIDE_BAR: Final = 71
"""Columns of a terminal that the rest of a line needs, if a million sidecars are counted."""

LEAST_BAR, LONGEST_BAR = 4, 40

LEAST_SECONDS: Final = 0.01
"""A stage that took less has the rate of one that took so long."""


class Terminal:
    """A watcher that shows a bar a stage, and the summary at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, name: str, load: Load) -> Iterator[Advance]:
        """Show a bar."""
        columns = (
            TextColumn("{task.description:<23}"),
            BarColumn(max(LEAST_BAR, min(LONGEST_BAR, self.console.width - BESIDE_BAR))),
            _Amount(),
            _Rate(),
            _Left(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(name, total=load.amount, load=load)
            yield partial(progress.advance, bar)

    def say(self, line: str) -> None:
        """Show a line."""
        text = texts.wrapped(texts.clean(line), self.console.width)
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def report(self, summary: Summary) -> None:
        """Show the summary; of several steps, each in short."""
        if isinstance(summary, Stepped):
            steps = Table.grid(padding=(0, 2))
            for step in summary.steps():
                name, _, short = in_a_line(step).partition(": ")
                found = step.as_table(in_short=True) if isinstance(step, Tabled) else Text(short)
                steps.add_row(Text(name, style="bold"), found)
            self.console.print(steps, highlight=False)
        elif isinstance(summary, Tabled):
            self.console.print(summary.as_table())
        else:
            for line in readable(summary):
                text = Text(line, overflow="fold")
                text.stylize("bold", 0, len(line) if line[0] != " " else 0)
                self.console.print(text, highlight=False)


class _Amount(ProgressColumn):
    """How much is done, of how much."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        shown = task.fields["load"].progress(task.completed, "/")
        return Text(shown, style="progress.download", no_wrap=True)


class _Rate(ProgressColumn):
    """How much is done a second."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        if task.finished_time is not None:  # rich's own is that of the last moment
            speed = task.completed / max(task.finished_time, LEAST_SECONDS)
        else:
            speed = 0.0 if _is_young(task) else task.speed or 0.0
        shown = f"{task.fields['load'].figure(speed)}/s" if speed else ""
        return Text(shown, style="progress.remaining", no_wrap=True)


class _Left(TimeRemainingColumn):
    """How much time is left, when that is known."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        unknown = _is_young(task) or task.time_remaining is None
        return Text() if unknown and not task.finished else super().render(task)


def _is_young(task: Task) -> bool:
    return (task.elapsed or 0) < PATIENCE
