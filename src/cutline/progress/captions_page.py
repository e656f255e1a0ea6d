"""The Captions page of the Dask dashboard: a board, drawn.

Imported on the scheduler only, because it needs bokeh. What it shows of records is cut to a length
by the tasks and escaped by the template: names and texts in them are anybody's.
"""

import time
from importlib.resources import files
from typing import Any, Final

import jinja2
from bokeh.document import Document
from bokeh.models import ColumnDataSource, CustomJS, DataRange1d, NumeralTickFormatter
from bokeh.models.widgets import Div
from bokeh.plotting import figure

from cutline.progress.stages import Board
from cutline.progress.watcher import duration

NAME: Final = "captions"
"""The page's address below the dashboard's, and its name in the navigation."""

EVERY: Final = 500
"""Milliseconds between two looks at the board."""

BEAT: Final = 3
"""Seconds between two signs of life for a browser, which come also when nothing has changed."""

SILENCE: Final = 15
"""Seconds without a sign of life after which a page says that its connection is gone."""

ALIVE: Final = f"""
gone.visible = false;
clearTimeout(window.cutline_silence);
window.cutline_silence = setTimeout(() => {{ gone.visible = true; }}, {SILENCE * 1000});
"""
"""What a browser does at a sign of life: a process that stands still, and a host that is cut off,
close no connection."""

COLORS: Final = ("#3b8ea5", "#d9713c", "#6aa84f", "#8e63b0")

HERE: Final = files("cutline.progress")
STYLE: Final = HERE.joinpath("captions_page.css").read_text(encoding="utf-8")
TEMPLATE: Final = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
).from_string(
    HERE.joinpath("captions_page.html.j2").read_text(encoding="utf-8"), {"duration": duration}
)


def draw(board: Board, doc: Document) -> None:
    """Draw the page for one browser, and keep it up to date."""
    jobs, details = (Div(stylesheets=[STYLE], sizing_mode="stretch_width") for _ in range(2))
    gone = Div(
        text=gone_html(),
        stylesheets=[STYLE],
        sizing_mode="stretch_width",
        visible=False,
    )
    lines = ColumnDataSource({"x": [], "y": [], "color": [], "name": []})
    rates = _rate_figure(lines)
    drawn = -1

    def update() -> None:
        nonlocal drawn
        if board.changes == drawn and not board.running:
            return
        drawn = board.changes
        jobs.text = jobs_html(board, time.time())
        details.text = details_html(board)
        lines.data = lines_data(board)
        rates.visible = bool(lines.data["x"])

    def beat() -> None:
        gone.tags = [time.time()]

    def leave(_: object) -> None:
        board.viewers -= 1

    update()
    for part in (gone, jobs, rates, details):
        doc.add_root(part)
    doc.add_periodic_callback(update, EVERY)
    doc.config.notify_connection_status = False  # `gone` says it in words, and stays
    doc.js_on_event("connection_lost", CustomJS(args={"gone": gone}, code="gone.visible = true"))
    alive = CustomJS(args={"gone": gone}, code=ALIVE)
    doc.js_on_event("client_reconnected", alive)
    gone.js_on_change("tags", alive)
    doc.add_periodic_callback(beat, BEAT * 1000)
    board.viewers += 1
    doc.on_session_destroyed(leave)


def _rate_figure(lines: ColumnDataSource) -> figure:
    plot = figure(
        title="Done a second",
        height=240,
        visible=False,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
        x_range=DataRange1d(start=0),
        y_range=DataRange1d(start=0),
    )
    plot.multi_line("x", "y", color="color", legend_field="name", line_width=2, source=lines)
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0]")
    plot.xaxis.axis_label = "seconds since the stage began"
    plot.add_layout(plot.legend[0], "below")
    plot.legend.orientation, plot.legend.ncols = "horizontal", 2
    plot.xgrid.visible = False
    plot.yaxis.minor_tick_line_color = None
    plot.outline_line_color = None
    return plot


def lines_data(board: Board) -> dict[str, list[Any]]:
    """Return the lines of the rates of the last job: its last stage's, and those of that scale.

    Bytes are drawn as megabytes, and never beside rows.
    """
    data: dict[str, list[Any]] = {"x": [], "y": [], "color": [], "name": []}
    stages = [*board.jobs.values()][-1].stages if board.jobs else []
    drawn = [(stage, stage.rates()) for stage in stages]
    drawn = [(stage, rates) for stage, rates in drawn if len(rates) > 1]
    in_bytes = bool(drawn) and drawn[-1][0].begun.unit == "bytes"
    for place, (stage, rates) in enumerate(drawn):
        if (stage.begun.unit == "bytes") == in_bytes:
            data["x"].append([seconds for seconds, _ in rates])
            data["y"].append([rate / 1e6 if in_bytes else rate for _, rate in rates])
            data["color"].append(COLORS[place % len(COLORS)])
            data["name"].append(stage.begun.name + (" (MB)" if in_bytes else ""))
    return data


def jobs_html(board: Board, now: float) -> str:
    """Write how each job goes, and the table of its stages; the last job comes first."""
    return str(TEMPLATE.module.jobs(board, now))  # type: ignore[attr-defined]


def gone_html() -> str:
    """Write that nothing more comes from the scheduler."""
    return str(TEMPLATE.module.gone())  # type: ignore[attr-defined]


def details_html(board: Board) -> str:
    """Write the rejects of each stage by reason with the last examples, and its slowest tasks."""
    return str(TEMPLATE.module.details(board))  # type: ignore[attr-defined]
