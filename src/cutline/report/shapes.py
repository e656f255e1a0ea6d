"""What rows look like, counted: the driver on top, and below it what runs on a worker."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client

from cutline.cluster import running
from cutline.progress import Watcher, events
from cutline.table import Slice, slices_of
from cutline.trainers import simpletuner

MOST_SIZES: Final = 500
"""Sizes that are told apart; of more, the edges are rounded to `COARSE` pixels."""

COARSE: Final = 64

LONGEST_EDGE: Final = 8192
"""Pixels; with `COARSE` it bounds how many sizes there can be."""

CHARACTERS: Final = 10
"""The width of a bin of caption lengths."""

LONGEST_CAPTION: Final = 2000
"""Characters; the last bin has all longer captions."""

MEGAPIXEL: Final = 1e6


@dataclass(frozen=True, slots=True)
class Shapes:
    """Counts of rows.

    Attributes
    ----------
    sizes
        By width and height, in pixels, each a multiple of `step`.
    buckets
        By the aspect ratio under which the trainer puts them together.
    lengths
        By the length of the caption in characters, rounded down to `CHARACTERS`.
    small
        Rows whose image is smaller than the trainer's entry takes by default.
    """

    rows: int = 0
    step: int = 1
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    buckets: Counter[float] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    small: int = 0

    def __add__(self, other: Self) -> "Shapes":
        """Put together what two tasks counted, in any order."""
        step = max(self.step, other.step)
        sizes = self.sizes + other.sizes
        if step > 1 or len(sizes) > MOST_SIZES:
            step, sizes = COARSE, coarse(sizes)
        return Shapes(
            self.rows + other.rows,
            step,
            sizes,
            self.buckets + other.buckets,
            self.lengths + other.lengths,
            self.small + other.small,
        )


def coarse(sizes: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
    """Round sizes, so that there cannot be too many."""
    rounded: Counter[tuple[int, int]] = Counter()
    for (width, height), count in sizes.items():
        rounded[coarse_edge(width), coarse_edge(height)] += count
    return rounded


def coarse_edge(edge: int) -> int:
    """Round an edge."""
    return max(COARSE, round(min(edge, LONGEST_EDGE) / COARSE) * COARSE)


def count_shapes(table: str, client: Client | None, watcher: Watcher) -> Shapes:
    """Count what the rows of a table look like."""
    slices = slices_of(table, ["width", "height"])
    if not slices:
        return Shapes()
    bag = running.bag_of(slices, count_slices, stage="report-rows")
    return sum(running.results(bag, client, watcher), Shapes())


# On a worker from here on.


def count_slices(slices: Iterable[Slice]) -> list[Shapes]:
    """Count the rows of some slices."""
    return [count_slice(one) for one in slices]


def count_slice(one: Slice) -> Shapes:
    """Count the rows of a slice: a size that many rows have is looked at once."""
    began = perf_counter()
    columns = ["width", "height", "caption"]
    rows = one.read(columns).select(columns)
    # Arrow filters and measures only some kinds of text: not string_view, nor a dictionary.
    rows = rows.set_column(2, "caption", rows["caption"].cast(pa.large_string())).drop_null()
    rows = rows.filter(pc.and_(above_zero(rows["width"]), above_zero(rows["height"])))
    groups = rows.group_by(["width", "height"]).aggregate([([], "count_all")])
    sizes: Counter[tuple[int, int]] = Counter()
    buckets: Counter[float] = Counter()
    small = 0
    for width, height, count in zip(
        *(column.to_pylist() for column in groups.columns), strict=True
    ):
        sizes[width, height] += count
        buckets[simpletuner.aspect_bucket(width, height)] += count
        if width * height < simpletuner.DEFAULTS.minimum_image_size * MEGAPIXEL:
            small += count
    lengths = lengths_of(rows["caption"])
    events.tell(events.Done(one.rows, {"rows counted": len(rows)}, {}, perf_counter() - began))
    return Shapes() + Shapes(len(rows), 1, sizes, buckets, lengths, small)


def above_zero(edges: pa.ChunkedArray) -> pa.ChunkedArray:
    """Tell which edges are above 0, by a 0 of their type: a uint64 may not fit that of Python."""
    return pc.greater(edges, pa.scalar(0, edges.type))


def lengths_of(captions: pa.ChunkedArray) -> Counter[int]:
    """Count captions by their length."""
    lengths = pc.min_element_wise(pc.utf8_length(captions), LONGEST_CAPTION)
    bins = pc.value_counts(pc.multiply(pc.divide(lengths, CHARACTERS), CHARACTERS))
    return Counter({pair["values"]: pair["counts"] for pair in bins.to_pylist()})
