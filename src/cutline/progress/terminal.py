"""Progress in a terminal: a bar a stage."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from cutline.progress.summaries import Stepped, Summary, Tabled, readable
from cutline.progress.watcher import Advance, Load
from cutline.record import texts


class Terminal:
    """A watcher that shows a bar a stage, and the summary at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, name: str, load: Load) -> Iterator[Advance]:
        """Show a bar."""
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            _Amount(),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(name, total=load.amount, load=load)
            yield partial(progress.advance, bar)

    def say(self, line: str) -> None:
        """Show a line."""
        self.console.print(texts.clean(line), highlight=False, markup=False, soft_wrap=True)

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


class _Amount(ProgressColumn):
    """How much is done, of how much."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        return Text(task.fields["load"].progress(task.completed, "/"), style="progress.download")


class _Rate(ProgressColumn):
    """How much is done a second."""

    def render(self, task: Task) -> Text:
        """Return the text."""
        speed = task.finished_speed or task.speed
        shown = f"{task.fields['load'].figure(speed)}/s" if speed else ""
        return Text(shown, style="progress.data.speed")
