"""Progress in a notebook: a bar a stage, below the cell that runs."""

import html
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from cutline.progress.on_stderr import on_stderr
from cutline.progress.summaries import Summary
from cutline.progress.watcher import PATIENCE, Advance, Load, Watcher, duration
from cutline.record import texts

EVERY: Final = 0.2
"""Seconds between two drawings of a bar."""


def show_progress() -> Watcher:
    """Return a watcher to hand to a job: bars in a notebook or a terminal, lines in a log.

    Examples
    --------
    >>> summary = compile_table("data", "t.parquet", watcher=show_progress())  # doctest: +SKIP
    """
    # Only a notebook has a kernel; IPython in a terminal has not, and is a terminal.
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return Notebook() if getattr(shell, "kernel", None) is not None else on_stderr()


class Notebook:
    """A watcher that shows a bar a stage; the summary is what the cell's last line shows."""

    @contextmanager
    def stage(self, name: str, load: Load) -> Iterator[Advance]:
        """Show a bar."""
        from IPython.display import HTML, DisplayHandle  # noqa: PLC0415 - who has a notebook has it

        began = drawn = time.monotonic()
        done = 0
        handle = DisplayHandle()
        handle.display(HTML(_bar(name, load, 0, 0.0)))

        def advance(amount: int) -> None:
            nonlocal done, drawn
            done += amount
            now = time.monotonic()
            if now - drawn >= EVERY:
                drawn = now
                handle.update(HTML(_bar(name, load, done, now - began)))

        try:
            yield advance
        finally:
            handle.update(HTML(_bar(name, load, done, time.monotonic() - began)))

    def say(self, line: str) -> None:
        """Print a line."""
        print(texts.clean(line))  # noqa: T201 - it is for this

    def report(self, summary: Summary) -> None:
        """Show nothing: a notebook shows what a function returns."""


def _bar(name: str, load: Load, done: int, seconds: float) -> str:
    told = f"{load.progress(done)}, {duration(seconds)}"
    if 0 < done < load.amount and seconds >= PATIENCE:
        told += f", about {duration(seconds * (load.amount - done) / done)} left"
    bar = f"<progress value='{done}' max='{max(load.amount, 1)}'></progress>"
    return f"<div><code>{html.escape(name)}</code> {bar} {html.escape(told)}</div>"
