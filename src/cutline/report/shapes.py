"""Counts of what the rows of a table look like; below the driver is what runs on workers."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, Self, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client

from cutline.cluster import running, worker_checks
from cutline.progress import Watcher, events
from cutline.record import texts
from cutline.store import parquet
from cutline.table import Slice, slices_of
from cutline.trainers import simpletuner

MOST_SIZES: Final = 500
"""How many sizes are counted as they are; with more, edges are rounded to `COARSE` pixels."""

COARSE: Final = 64

LONGEST_EDGE: Final = 8192
"""In pixels; longer edges count as this, so that there cannot be too many rounded sizes."""

CHARACTERS: Final = 10
"""How many lengths of captions are one bin."""

LONGEST_CAPTION: Final = 2000
"""In characters; longer captions are in the last bin."""


MOST_WORDS: Final = 1000
"""Captions of more words count as this many."""

WORD: Final = r"\pL+|\pN|[^\s\pL\pN]+"
"""What CLIP's tokenizer cuts a text into before it cuts words: letters, a digit, other signs."""

CLIP: Final = 77
"""Tokens that CLIP takes."""

CLIP_A_WORD: Final = 1.05
"""Tokens that CLIP's tokenizer makes of each: it made 1.02 of the demo's captions, and 1.13 of
technical prose."""

T5_A_WORD: Final = 1.25
"""Tokens of T5's, whose vocabulary is smaller: a rule of thumb, which was not measured."""

ENDS: Final = 2
"""Tokens that begin and end a text."""

MANY, EACH = 4000, 8
"""Of more captions than this, only each eighth is cut into words, and counts for eight: to cut all
takes three times as long as all else that is counted."""

EXTREMES: Final = 3
"""How many of the longest and of the shortest captions are kept."""

Captioned: TypeAlias = tuple[int, str, str]
"""The length of a caption in characters, its filename, and itself."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Counts of rows.

    Attributes
    ----------
    sizes
        Rows by width and height, in pixels, each a multiple of `step`.
    buckets
        Rows by the aspect ratio of the bucket that the trainer puts the image into.
    lengths
        Rows by the length of the caption in characters, rounded down to `CHARACTERS`.
    words
        Rows by how many words and signs the caption has, as `WORD` cuts it; of many, about.
    small
        Rows whose image is too small for the trainer's entry with its defaults.
    longest, shortest
        The rows with the longest and the shortest captions, the first by name of equal ones.
    """

    rows: int = 0
    step: int = 1
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    buckets: Counter[float] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)
    small: int = 0
    longest: tuple[Captioned, ...] = ()
    shortest: tuple[Captioned, ...] = ()

    def __add__(self, other: Self) -> "Shapes":
        """Return the counts of two tasks together; their order does not matter."""
        step = max(self.step, other.step)
        sizes = self.sizes + other.sizes
        if step > 1 or len(sizes) > MOST_SIZES:
            step, sizes = COARSE, _coarse(sizes)
        return Shapes(
            self.rows + other.rows,
            step,
            sizes,
            self.buckets + other.buckets,
            self.lengths + other.lengths,
            self.words + other.words,
            self.small + other.small,
            _first_of((*self.longest, *other.longest), longest=True),
            _first_of((*self.shortest, *other.shortest), longest=False),
        )


def _first_of(captions: tuple[Captioned, ...], *, longest: bool) -> tuple[Captioned, ...]:
    sign = -1 if longest else 1
    return tuple(heapq.nsmallest(EXTREMES, captions, key=lambda one: (sign * one[0], one[1])))


def _coarse(sizes: Counter[tuple[int, int]]) -> Counter[tuple[int, int]]:
    rounded: Counter[tuple[int, int]] = Counter()
    for (width, height), count in sizes.items():
        rounded[_coarse_edge(width), _coarse_edge(height)] += count
    return rounded


def _coarse_edge(edge: int) -> int:
    return max(COARSE, round(min(edge, LONGEST_EDGE) / COARSE) * COARSE)


def count_shapes(table: str, client: Client | None, watcher: Watcher) -> Shapes:
    """Count the rows of a table by size, bucket and length of the caption.

    Raises
    ------
    UsageError
        The table lacks a column.
    CutlineError
        The table is damaged.
    """
    slices = slices_of(table, ["width", "height"])
    if not slices:
        return Shapes()
    bag = running.bag_of(slices, _count_slices, stage="report-rows")
    read = worker_checks.reads_table(table)
    with worker_checks.checked(client, watcher, read):
        return sum(running.results(bag, client, watcher), Shapes())


# What follows runs on workers.


def _count_slices(slices: Iterable[Slice]) -> list[Shapes]:
    return [_count_slice(one) for one in slices]


def _count_slice(one: Slice) -> Shapes:
    # A size that many rows have is looked at once.
    began = perf_counter()
    columns = ["width", "height", "caption", "filename"]
    rows = one.read(columns).select(columns)
    rows = rows.set_column(2, "caption", _as_text(rows["caption"]))
    names = rows["filename"].cast(pa.large_string())
    rows = rows.set_column(3, "filename", pc.fill_null(names, "")).drop_null()
    rows = rows.filter(pc.and_(_above_zero(rows["width"]), _above_zero(rows["height"])))
    groups = rows.group_by(["width", "height"]).aggregate([([], "count_all")])
    sizes: Counter[tuple[int, int]] = Counter()
    buckets: Counter[float] = Counter()
    small = 0
    for width, height, count in zip(
        *(column.to_pylist() for column in groups.columns), strict=True
    ):
        sizes[width, height] += count
        buckets[simpletuner.aspect_bucket(width, height)] += count
        if width * height < simpletuner.DEFAULTS.minimum_image_size * simpletuner.MEGAPIXEL:
            small += count
    captions = rows["caption"]
    lengths = pc.utf8_length(captions)
    events.tell(events.Done(one.rows, {"rows counted": len(rows)}, {}, perf_counter() - began))
    return Shapes() + Shapes(
        len(rows),
        1,
        sizes,
        buckets,
        _counts(_binned(lengths)),
        _words_of(captions),
        small,
        _extremes(rows, lengths, "descending"),
        _extremes(rows, lengths, "ascending"),
    )


def _as_text(captions: pa.ChunkedArray) -> pa.ChunkedArray:
    # Arrow filters and measures only some kinds of text: not string_view, nor a dictionary. Of
    # several captions the first is measured.
    if parquet.is_text(captions.type):
        return captions.cast(pa.large_string())
    firsts = (next(iter(texts.captions_in(cell)), None) for cell in captions.to_pylist())
    return pa.chunked_array([pa.array(firsts, pa.large_string())])


def _above_zero(edges: pa.ChunkedArray) -> pa.ChunkedArray:
    # With a 0 of their own type: a uint64 may not fit Arrow's default.
    return pc.greater(edges, pa.scalar(0, edges.type))


def _binned(lengths: pa.ChunkedArray) -> pa.ChunkedArray:
    lengths = pc.min_element_wise(lengths, LONGEST_CAPTION)
    return pc.multiply(pc.divide(lengths, CHARACTERS), CHARACTERS)


def _counts(numbers: pa.ChunkedArray) -> Counter[int]:
    return Counter(
        {pair["values"]: pair["counts"] for pair in pc.value_counts(numbers).to_pylist()}
    )


def _words_of(captions: pa.ChunkedArray) -> Counter[int]:
    each = EACH if len(captions) > MANY else 1
    some = captions.take(pa.array(range(0, len(captions), each)))
    words = pc.min_element_wise(pc.count_substring_regex(some, WORD), MOST_WORDS)
    return Counter({number: rows * each for number, rows in _counts(words).items()})


def _extremes(rows: pa.Table, lengths: pa.ChunkedArray, order: str) -> tuple[Captioned, ...]:
    keyed = pa.table({"length": lengths, "filename": rows["filename"]})
    keys = [("length", order), ("filename", "ascending")]
    places = pc.select_k_unstable(keyed, min(EXTREMES, len(rows)), keys)
    found = rows.take(places).select(["filename", "caption"]).to_pylist()
    return tuple((len(row["caption"]), row["filename"], row["caption"]) for row in found)
