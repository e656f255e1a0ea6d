"""Rows that an entry leaves out because their images are smaller than its `minimum_image_size`."""

from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from cutline.table import slices_of
from cutline.trainers.entry_fields import Entry
from cutline.trainers.simpletuner import LIMITS, MEGAPIXEL

SIZE: Final = ["width", "height"]


class Small(NamedTuple):
    """How many rows are too small for an entry, how many others there are, and what it asks for."""

    rows: int
    others: int
    least: str

    def in_words(self, name: str, path: str) -> str:
        """Return a sentence about them and an entry of a file."""
        every = self.rows + self.others
        return (
            f"{self.rows:,} of {every:,} rows are of images below {self.least}, and"
            f" the trainer leaves them out: lower minimum_image_size of the entry {name!r} in"
            f" {path}."
        )


def rows_below(table: str, entry: Entry) -> Small | None:
    """Return how many rows of a table are too small for an entry, or None if none is.

    As `meets_resolution_requirements` of SimpleTuner's ``metadata/backends/base.py`` has it.

    Raises
    ------
    UsageError
        The table is not there or has no sizes.

    Examples
    --------
    >>> rows_below("any.parquet", {"minimum_image_size": 0})
    """
    least, kind = entry.get("minimum_image_size"), entry.get("resolution_type", "area")
    known = isinstance(least, int | float) and kind in LIMITS  # somebody may have edited it
    if not known or not least:
        return None
    sizes = [_below(one.read(SIZE), float(least), kind) for one in slices_of(table, SIZE)]
    below = pa.chunked_array(sizes, pa.bool_())
    rows = pc.sum(below).as_py() or 0
    return Small(rows, len(below) - rows, f"{least:g} {LIMITS[kind].unit}") if rows else None


def _below(sizes: pa.Table, least: float, kind: str) -> pa.Array:
    width, height = (column.combine_chunks().cast(pa.int64()) for column in sizes.columns)
    if kind == "pixel":
        return pc.less(pc.min_element_wise(width, height), least)
    return pc.less(
        pc.multiply(width, height), least * MEGAPIXEL if kind == "area" else least * least
    )
