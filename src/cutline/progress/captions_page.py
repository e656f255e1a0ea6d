"""The Captions page of the Dask dashboard: the board, drawn.

Imported on the scheduler only, because it needs bokeh. What it shows of records is cut to a length
by the tasks and escaped here: names and texts in them are anybody's.
"""

import time
from html import escape
from importlib.resources import files
from typing import Any, Final

from bokeh.document import Document
from bokeh.models import ColumnDataSource, DataRange1d, NumeralTickFormatter
from bokeh.models.widgets import Div
from bokeh.plotting import figure
from distributed import Scheduler
from distributed.dashboard.components.scheduler import BOKEH_THEME, env
from distributed.dashboard.core import BokehApplication
from distributed.dashboard.scheduler import template_variables
from tornado.ioloop import IOLoop

from cutline.progress.plugin import Board
from cutline.progress.stages import Progress
from cutline.progress.watcher import duration

NAME: Final = "captions"
"""The page's address below the dashboard's, and its name in the navigation."""

EVERY: Final = 500
"""Milliseconds between two looks at the board."""

COLORS: Final = ("#3b8ea5", "#d9713c", "#6aa84f", "#8e63b0")

STYLE: Final = files("cutline.progress").joinpath("captions_page.css").read_text(encoding="utf-8")

NOTE: Final = (
    "Counted as tasks tell of themselves: a task that ran twice, because its worker was lost, is"
    " counted twice here. The counts in the job's own summary come from receipts."
)


def add(scheduler: Scheduler, board: Board) -> None:
    """Add the page to a scheduler's dashboard and its navigation.

    Raises
    ------
    ImportError
        The scheduler could not load the dashboard that it was asked for.
    """
    applications = scheduler.http_application.applications
    shown = [app for app in applications if hasattr(app, "app_paths")]
    if not shown:
        raise ImportError("it shows no dashboard")

    def document(server: Scheduler, extra: dict[str, Any], doc: Document) -> None:  # noqa: ARG001
        draw(board, extra, doc)

    variables = template_variables(scheduler)
    application = BokehApplication(
        {f"/{NAME}": document}, scheduler, prefix=shown[0].prefix, template_variables=variables
    )
    scheduler.http_application.add_application(application)
    application.initialize(IOLoop.current())
    application.start()
    # One list, which every page of the dashboard takes its navigation from.
    variables["pages"].insert(1, NAME)


def draw(board: Board, extra: dict[str, Any], doc: Document) -> None:
    """Draw the page for one browser, and keep it up to date."""
    stages, rejects, slowest = (
        Div(stylesheets=[STYLE], sizing_mode="stretch_width") for _ in range(3)
    )
    lines = ColumnDataSource({"x": [], "y": [], "color": [], "name": []})
    drawn = -1

    def update() -> None:
        nonlocal drawn
        running = any(stage.ended is None for stage in board.stages.values())
        if board.changes == drawn and not running:
            return
        drawn = board.changes
        now = time.time()
        stages.text = stages_html(board, now)
        rejects.text = rejects_html(board)
        slowest.text = slowest_html(board)
        lines.data = lines_data(board)

    update()
    for part in (stages, rate_figure(lines), rejects, slowest):
        doc.add_root(part)
    doc.add_periodic_callback(update, EVERY)
    doc.title = "Dask: Captions"
    doc.theme = BOKEH_THEME
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)


def rate_figure(lines: ColumnDataSource) -> figure:
    """Draw how much each stage did a second, over time."""
    plot = figure(
        title="Done a second, over the seconds since the stage began",
        height=220,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
        x_range=DataRange1d(start=0),
        y_range=DataRange1d(start=0),
    )
    plot.multi_line("x", "y", color="color", legend_field="name", line_width=2, source=lines)
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0]")
    plot.add_layout(plot.legend[0], "right")
    plot.xgrid.visible = False
    plot.outline_line_color = None
    return plot


def lines_data(board: Board) -> dict[str, list[Any]]:
    """Give the lines of that figure: the last stage's, and those that can be held against it.

    Bytes, which are drawn as megabytes, have no scale in common with rows.
    """
    data: dict[str, list[Any]] = {"x": [], "y": [], "color": [], "name": []}
    drawn = [(stage, stage.rates()) for stage in board.stages.values()]
    drawn = [(stage, rates) for stage, rates in drawn if len(rates) > 1]
    in_bytes = bool(drawn) and drawn[-1][0].begun.unit == "bytes"
    for place, (stage, rates) in enumerate(drawn):
        if (stage.begun.unit == "bytes") == in_bytes:
            data["x"].append([seconds for seconds, _ in rates])
            data["y"].append([rate / 1e6 if in_bytes else rate for _, rate in rates])
            data["color"].append(COLORS[place % len(COLORS)])
            data["name"].append(stage.begun.name + (" (MB)" if in_bytes else ""))
    return data


def stages_html(board: Board, now: float) -> str:
    """Write the table of stages, and above it how it goes in a sentence."""
    lost = board.lost_workers
    losses = f" {lost:,} worker{'s' if lost > 1 else ''} lost: tasks ran again." if lost else ""
    heads = ("Stage", "", "!Done", "!Made", "!Rejected", "!A second", "!Took", "!Left")
    rows = [stage_row(stage, now) for stage in board.stages.values()]
    return (
        f"<h1>Captions</h1><p>{sentence(board, now)}{losses}</p>{table(heads, rows)}"
        f"<p class='quiet note'>{NOTE}</p>"
    )


def sentence(board: Board, now: float) -> str:
    """Say what goes on."""
    for stage in reversed(board.stages.values()):
        begun, left = stage.begun, stage.left(now)
        if stage.ended is None:
            soon = f", about {duration(left)} left" if left is not None else ""
            return f"<b>{escape(begun.name)}</b> is at work{soon}."
        if stage.whole:
            return f"<b>{escape(begun.name)}</b> is done, in {duration(stage.seconds(now))}."
        return f"<b>{escape(begun.name)}</b> was stopped."
    return "Nothing has begun yet."


def stage_row(stage: Progress, now: float) -> str:
    """Write one stage."""
    begun, seconds, left = stage.begun, stage.seconds(now), stage.left(now)
    share = stage.done / begun.amount if begun.amount else 1
    state = "" if stage.ended is None else "whole" if stage.whole else "stopped"
    made = ", ".join(f"{count:,} {escape(name)}" for name, count in stage.made.items() if count)
    numbers = (
        escape(stage.load.progress(stage.done)),
        made,
        f"{stage.rejects.total():,}",
        stage.load.figure(stage.done / seconds) if stage.done and seconds else "",
        duration(seconds),
        state.replace("whole", "done") or (duration(left) if left is not None else ""),
    )
    return (
        f"<tr data-stage='{escape(begun.name)}'><td class=name>{escape(begun.name)}</td>"
        f"<td class=wide>{bar(share, state)}</td>{''.join(map(number, numbers))}</tr>"
    )


def rejects_html(board: Board) -> str:
    """Write the rejects of each stage by reason, with the last examples."""
    html = []
    for stage in reversed(board.stages.values()):
        total = stage.rejects.total()
        if total:
            most = max(stage.rejects.values())
            share = total / (total + stage.made.total())
            rows = [
                f"<tr data-reason='{escape(reason)}'><td class=name>{escape(reason)}</td>"
                f"{number(f'{count:,}')}<td>{bar(count / most, 'rejects')}</td>"
                f"<td class=example>{'<br>'.join(map(escape, stage.examples.get(reason, ())))}</td>"
                for reason, count in stage.rejects.most_common()
            ]
            html.append(
                f"<h2>Rejected by {escape(stage.begun.name)}: {total:,} ({share:.1%})</h2>"
                + table(("Reason", "!Count", "", "The last ones"), rows)
            )
    return "".join(html)


def slowest_html(board: Board) -> str:
    """Write the slowest tasks of each stage."""
    rows = [
        f"<tr><td class=name>{escape(task.task)}</td><td>{escape(stage.begun.name)}</td>"
        f"{number(f'{task.seconds:.2f} s')}{number(stage.load.figure(task.amount))}"
        f"{number(stage.load.figure(task.amount / task.seconds))}"
        f"<td class=quiet>{escape(task.worker)}</td>"
        for stage in reversed(board.stages.values())
        for task in stage.slowest
        if task.seconds
    ]
    heads = ("Task", "Stage", "!Took", "!Did", "!A second", "Worker")
    return f"<h2>The slowest tasks</h2>{table(heads, rows)}" if rows else ""


def table(heads: tuple[str, ...], rows: list[str]) -> str:
    """Write a table; a head with a ``!`` is one of numbers."""
    cells = "".join(
        f"<th class=number>{head[1:]}</th>" if head[:1] == "!" else f"<th>{head}</th>"
        for head in heads
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def number(text: str) -> str:
    """Write a cell of a number."""
    return f"<td class=number>{text}</td>"


def bar(share: float, kind: str) -> str:
    """Write a bar that is filled to a share."""
    return f"<div class='bar {kind}'><div style='width:{min(share, 1):.1%}'></div></div>"
