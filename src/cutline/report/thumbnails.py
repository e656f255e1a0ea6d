"""Small pictures of some images, embedded in the report.

A dataset's images are anybody's: one that is damaged, huge or no image has no picture.
"""

import base64
import io
import os
import random
import struct
import warnings
from dataclasses import dataclass
from typing import Final

from PIL import Image

from cutline.plan import ledger
from cutline.record import naming, texts
from cutline.report.shapes import Shapes
from cutline.table import Slice, slices_of

AT_RANDOM: Final = 6
"""How many rows are shown that are drawn by lot; the same ones each time."""

TRIED: Final = 50
"""Lines of the ledger with one reason among which an image is looked for that is there."""

EDGE: Final = 160
"""Pixels of the longer edge of a picture; one has about 5 kB."""

LARGEST: Final = 64_000_000
"""Pixels of the largest image that is opened for it; it takes 200 MB."""

WRONG: Final = (
    *(OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError, TypeError),
    *(EOFError, OverflowError, MemoryError, Image.DecompressionBombError),
)
"""What Pillow raises of images that are not sound."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """An image of the dataset: its name, its caption or why it has no row, and a picture.

    The picture is a ``data:`` URL; it is empty where the image is not there or cannot be shown.
    """

    filename: str
    text: str
    picture: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Some images that have something in common, which the title says."""

    title: str
    shown: list[Thumbnail]


def galleries(table: str, ledger_path: str, data: str, shapes: Shapes) -> list[Gallery]:
    """Return some images of a dataset: at random, by length of the caption, of each reason.

    There are none where not one is there as a file, as in a dataset that is read from its shards.
    """
    longest, shortest = (
        [(filename, caption) for _, filename, caption in extremes]
        for extremes in (shapes.longest, shapes.shortest)
    )
    named = {
        "Drawn by lot": _drawn_by_lot(slices_of(table)),
        "The longest captions": longest,
        "The shortest captions": shortest,
        "One of each reject whose image is there": _of_each_reason(ledger_path, data),
    }
    made = [
        Gallery(title, [Thumbnail(name, text, _picture(data, name)) for name, text in pairs])
        for title, pairs in named.items()
        if pairs
    ]
    return made if any(one.picture for gallery in made for one in gallery.shown) else []


def _drawn_by_lot(slices: list[Slice]) -> list[tuple[str, str]]:
    rows = sum(one.rows for one in slices)
    lots = sorted(random.Random(0).sample(range(rows), min(AT_RANDOM, rows)))  # noqa: S311 - no secret
    found = [
        one.read(["filename", "caption"]).to_pylist()[0]
        for lot in lots
        for one in Slice.between(slices, lot, lot + 1)
    ]
    return [(row["filename"] or "", " / ".join(texts.captions_in(row["caption"]))) for row in found]


def _of_each_reason(ledger_path: str, data: str) -> list[tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    tried: dict[str, int] = {}
    for lines in ledger.read_lines(ledger_path):
        for line in lines.to_pylist():
            reason, filename = line["reason"], line["filename"]
            if not filename or reason in found or tried.get(reason, 0) >= TRIED:
                continue
            tried[reason] = tried.get(reason, 0) + 1
            if _is_file(data, filename):
                found[reason] = filename, f"{reason}: {line['detail']}"
    return [found[reason] for reason in sorted(found)]


def _is_file(data: str, filename: str) -> bool:
    return naming.path_fault(filename) is None and os.path.isfile(os.path.join(data, filename))


def _picture(data: str, filename: str) -> str:
    if not _is_file(data, filename):
        return ""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(f"{data}/{filename}") as image:
            if image.width * image.height > LARGEST:
                return ""
            image.draft("RGB", (EDGE, EDGE))
            image.thumbnail((EDGE, EDGE))
            small = io.BytesIO()
            image.convert("RGB").save(small, "JPEG", quality=70)
    except WRONG:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode()
