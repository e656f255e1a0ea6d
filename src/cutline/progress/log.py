"""Progress in a log: a few whole lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, TextIO

from rich.console import Console

from cutline.progress.summaries import Stepped, Summary, Tabled, findings_of, in_a_line, readable
from cutline.progress.watcher import Advance, Load, duration
from cutline.record import texts

LOG_EVERY: Final = 10
"""Seconds between two lines of a log."""

LOG_WIDTH: Final = 120
"""Characters of a line of a table in a log."""

LOG_STEP: Final = 2
"""The least ratio of the times that a stage has taken at two lines in a row.

A stage of one hour has 10 lines then, and one of a day 15: the log of a run, which has seven
stages, must stay below 60.
"""


class Log:
    """A watcher that writes a few whole lines, for a file that is read later."""

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
                self.say(f"{name}: {_so_far(done, load, seconds)}, {left} left")

        yield advance
        self.say(f"{name}: {_so_far(done, load, time.monotonic() - began)}")

    def say(self, line: str) -> None:
        """Write a line; names in it may hold anything."""
        with suppress(OSError):  # a full disk or a reader that has gone ends no job
            print(time.strftime("%H:%M:%S"), texts.clean(line), file=self.file, flush=True)

    def report(self, summary: Summary) -> None:
        """Write the summary; of several steps, each in a line."""
        if isinstance(summary, Stepped):
            for step in summary.steps():
                self.say(in_a_line(step))
                for line in findings_of(step):
                    self.say(line)
        elif isinstance(summary, Tabled):
            with suppress(OSError):
                Console(file=self.file, width=LOG_WIDTH).print(summary.as_table())
        else:
            with suppress(OSError):
                print(*readable(summary), sep="\n", file=self.file, flush=True)


def _so_far(done: float, load: Load, seconds: float) -> str:
    pace = f", {_rate(done / seconds, load)}" if done and seconds else ""
    return f"{load.progress(done)} in {duration(seconds)}{pace}"


def _rate(each_second: float, load: Load) -> str:
    if each_second < 1:
        return f"{load.figure(60 * each_second)} a minute"
    return f"{load.figure(each_second)} a second"
