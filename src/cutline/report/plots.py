"""The plots of the report."""

from collections import Counter
from typing import Final

from bokeh.embed import components
from bokeh.models import (
    ColumnDataSource,
    DataRange1d,
    FactorRange,
    HoverTool,
    Model,
    NumeralTickFormatter,
    Range,
)
from bokeh.plotting import figure
from bokeh.resources import Resources

from cutline.report.shapes import CHARACTERS, CLIP, CLIP_A_WORD, ENDS, Shapes

COLOUR: Final = "#3b8ea5"

INK: Final = "#3a4248"
"""The page's own script turns this and the next where a reader likes it dark."""

FAINT: Final = "#e6eaec"

MARK: Final = "#d9713c"

HEIGHT: Final = 300

SMALLEST, LARGEST = 5, 42
"""Pixels across the circles in the plot of sizes."""

PADDED: Final = 0.4

NAMED: Final = 6
"""How many sizes are named in the plot at most, the most frequent ones that have room."""

LABEL: Final = (0.4, 0.08)
"""The width and height of a name, as shares of the plot in a narrow window."""

TOKENS: Final = 5
"""How many numbers of tokens are one bar."""

CROWDED: Final = 8
"""With more bars than this, the labels are turned."""

ROWS: Final = [("rows", "@count{0,0}"), ("share", "@share{0.0 %}")]

BUCKETS: Final = 24
"""How many aspect ratios have a bar; the rarer ones share one."""


def script_and_divs(shapes: Shapes) -> tuple[str, dict[str, str]]:
    """Draw the plots of the report.

    Returns
    -------
    str
        The script that fills them, in HTML.
    dict of str
        The place of each, in HTML, by name: ``sizes``, ``buckets``, ``lengths`` and ``tokens``.
    """
    plots: dict[str, Model] = {
        "sizes": _sizes_plot(shapes),
        "buckets": _buckets_plot(shapes),
        "lengths": _lengths_plot(shapes),
        "tokens": _tokens_plot(shapes),
    }
    script, divs = components(plots)
    return script, divs


def library() -> str:
    """Return BokehJS itself, in HTML, so that the page needs nothing from elsewhere."""
    return str(Resources(mode="inline", components=["bokeh"]).render_js())


def _sizes_plot(shapes: Shapes) -> figure:
    ranked = shapes.sizes.most_common()
    most = ranked[0][1] if ranked else 1
    named = _with_room([size for size, _ in ranked])
    source = ColumnDataSource(
        {
            "width": [width for (width, _), _ in ranked],
            "height": [height for (_, height), _ in ranked],
            "count": [count for _, count in ranked],
            "share": [count / shapes.rows for _, count in ranked],
            "diameter": [SMALLEST + LARGEST * (count / most) ** 0.5 for _, count in ranked],
            "label": [f"{w} x {h}" if (w, h) in named else "" for (w, h), _ in ranked],
        }
    )
    # Padded, so that the circles at the edge are whole.
    drawn = _styled(DataRange1d(range_padding=PADDED), DataRange1d(range_padding=PADDED))
    drawn.scatter(
        "width",
        "height",
        size="diameter",
        source=source,
        color=COLOUR,
        alpha=0.55,
        line_color="white",
    )
    drawn.text(
        "width",
        "height",
        "label",
        source=source,
        text_align="center",
        text_baseline="middle",
        text_font_size="11px",
        text_color=INK,
    )
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = "width", "height"
    drawn.xaxis.formatter = drawn.yaxis.formatter = NumeralTickFormatter(format="0,0")
    drawn.xgrid.grid_line_color = FAINT
    drawn.add_tools(HoverTool(tooltips=[("", "@width x @height"), *ROWS]))
    return drawn


def _with_room(sizes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the sizes that can be named in the plot, no name on another one."""
    named: list[tuple[int, int]] = []
    spans = [max(edges) - min(edges) or 1 for edges in zip(*sizes, strict=True)]
    for size in sizes:
        apart = (
            any(
                abs(size[axis] - other[axis]) / spans[axis] / (1 + PADDED) > LABEL[axis]
                for axis in (0, 1)
            )
            for other in named
        )
        if all(apart) and len(named) < NAMED:
            named.append(size)
    return named


def _buckets_plot(shapes: Shapes) -> figure:
    kept = sorted(ratio for ratio, _ in shapes.buckets.most_common(BUCKETS))
    counts = {f"{ratio:g}": shapes.buckets[ratio] for ratio in kept}
    if rest := shapes.buckets.total() - sum(counts.values()):
        counts["other"] = rest
    source = ColumnDataSource(
        {
            "ratio": list(counts),
            "count": list(counts.values()),
            "share": [count / shapes.rows for count in counts.values()],
        }
    )
    drawn = _styled(FactorRange(factors=list(counts)), DataRange1d(start=0))
    drawn.vbar("ratio", top="count", width=0.8, source=source, color=COLOUR)
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = "width / height", "rows"
    drawn.xaxis.major_label_orientation = 0.9 if len(counts) > CROWDED else 0
    drawn.add_tools(HoverTool(tooltips=[("ratio", "@ratio"), *ROWS]))
    return drawn


def _histogram(counts: Counter[int], rows: int, width: int, label: str, about: str) -> figure:
    lefts = sorted(counts)
    source = ColumnDataSource(
        {
            "left": lefts,
            "right": [left + width for left in lefts],
            "last": [left + width - 1 for left in lefts],
            "count": [counts[left] for left in lefts],
            "share": [counts[left] / rows for left in lefts],
        }
    )
    drawn = _styled(DataRange1d(start=0), DataRange1d(start=0))
    drawn.quad("left", "right", "count", 0, source=source, color=COLOUR, line_color="white")
    drawn.xaxis.axis_label, drawn.yaxis.axis_label = label, "rows"
    drawn.add_tools(HoverTool(tooltips=[(about, "@left to @last"), *ROWS]))
    return drawn


def _lengths_plot(shapes: Shapes) -> figure:
    return _histogram(shapes.lengths, shapes.rows, CHARACTERS, "characters", "characters")


def _tokens_plot(shapes: Shapes) -> figure:
    counts: Counter[int] = Counter()
    for words, rows in shapes.words.items():
        tokens = round(words * CLIP_A_WORD) + ENDS
        counts[tokens // TOKENS * TOKENS] += rows
    drawn = _histogram(counts, shapes.rows, TOKENS, "tokens, estimated", "tokens, about")
    drawn.vspan(x=[CLIP], line_color=MARK, line_width=2, line_dash="dashed")
    return drawn


def _styled(x_range: Range, y_range: Range) -> figure:
    drawn = figure(height=HEIGHT, tools="", toolbar_location=None, x_range=x_range, y_range=y_range)
    drawn.sizing_mode = "stretch_width"
    drawn.min_border_right = 12
    drawn.outline_line_color = None
    drawn.background_fill_color = drawn.border_fill_color = None
    drawn.xgrid.grid_line_color = None
    drawn.ygrid.grid_line_color = FAINT
    drawn.yaxis.formatter = NumeralTickFormatter(format="0,0")
    drawn.axis.axis_line_color = FAINT
    drawn.axis.major_tick_line_color = drawn.axis.minor_tick_line_color = None
    drawn.axis.major_label_text_color = drawn.axis.axis_label_text_color = INK
    drawn.axis.axis_label_text_font_style = "normal"
    return drawn
