"""The image beside each sidecar: which one it is, and how large, for rules that use images.

A plan has the images of its sidecars as more columns of its lines. They come from the listing, and
of shards from their indexes, so that no task has to look for them.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Final

import imagesize
import pyarrow as pa

from cutline.record import judging, naming, texts
from cutline.sources import Source, line_format

IMAGES: Final = pa.schema([(f"image_{field.name}", field.type) for field in line_format.LINES])
"""The columns of a sidecar's image: those of a line, all null if it has none."""

PAIRED: Final = pa.schema([*line_format.LINES, *IMAGES])
"""A line of a listing, and the image of its sidecar."""

_HEADS: Final = (2**16, 2**20, 2**24)
"""Bytes that are read of an image until its header tells its size: some hold a preview first."""


def paired(sidecars: pa.Table, files: pa.Table) -> pa.Table:
    """Add to the lines of sidecars the images among some files, of the same folder or shard.

    The image of ``x.jpg.json`` is ``x.jpg``; that of ``x.json`` the first file whose name is that
    of an image and has this stem.
    """
    images = files.filter(pa.array(map(naming.is_image, files["path"].to_pylist()), pa.bool_()))
    paths = images["path"].to_pylist()
    stems = [path[: -len(".json")] for path in sidecars["path"].to_pylist()]
    places = _places([os.path.splitext(path)[0] for path in paths])
    if any(map(naming.is_image, stems)):
        places |= _places(paths)
    taken = images.take(pa.array(map(places.get, stems), pa.int64()))
    return pa.table([*sidecars.columns, *taken.columns], PAIRED)


def _places(names: list[bytes]) -> dict[bytes, int]:
    return {name: place for place, name in reversed([*enumerate(names)])}  # the first stays


def image_lines(lines: pa.Table) -> pa.Table:
    """Return the images of some lines as lines of a listing, in which the path may be null."""
    return lines.select(IMAGES.names).rename_columns(line_format.LINES.names)


@dataclass(frozen=True, slots=True)
class PicturedSource:
    """A source that tells of each sidecar which image is beside it, and measures that.

    The stamp of a sidecar ends with the name of its image and, where images are measured, with the
    stamp of that.
    """

    source: Source
    measure: bool

    def __str__(self) -> str:
        return str(self.source)

    def stamps(self, lines: pa.Table) -> Sequence[line_format.Stamp]:
        """Return the stamps of the sidecars of some lines."""
        own = self.source.stamps(lines)
        return [
            (*stamp, *image) for stamp, image in zip(own, self._image_stamps(lines), strict=True)
        ]

    def is_unreadable(self, stamp: line_format.Stamp) -> bool:
        """Return whether the stamp is that of a sidecar that cannot be read."""
        return self.source.is_unreadable(stamp)

    def read(self, lines: pa.Table) -> Iterator[line_format.PicturedSidecar]:
        """Read the sidecars of some lines."""
        images = image_lines(lines)
        places = zip(
            *(images[name].to_pylist() for name in ("path", "offset", "size")), strict=True
        )
        with self.source.heads(lines) as head:
            stamps = self._image_stamps(lines)
            for sidecar, (image, offset, size), seen in zip(
                self.source.read(lines), places, stamps, strict=True
            ):
                path, data, stamp = sidecar
                measure = partial(_measured, partial(head, image, offset), size)
                pictured = (
                    judging.Pictured(data, image, measure) if isinstance(data, bytes) else data
                )
                yield path, pictured, (*stamp, *seen)

    def heads(self, lines: pa.Table) -> AbstractContextManager[line_format.Head]:
        """Open what reads the first bytes of images."""
        return self.source.heads(lines)

    def _image_stamps(self, lines: pa.Table) -> list[line_format.Stamp]:
        images = image_lines(lines)
        names = [path and texts.shown_path(path) for path in images["path"].to_pylist()]
        if not self.measure:
            return [(name,) for name in names]
        there = images.set_column(0, line_format.LINES.field("path"), images["path"].fill_null(b""))
        return [
            (name, *stamp) for name, stamp in zip(names, self.source.stamps(there), strict=True)
        ]


def _measured(head: Callable[[int], bytes], size: int | None) -> judging.Size | None:
    """Return the width and height of an image as its header has them, turned as its EXIF says."""
    for length in _HEADS:
        data = head(length if size is None else min(size, length))
        width, height = imagesize.get(BytesIO(data), exif_rotation=True)
        if width > 0 and height > 0:
            return width, height
        if len(data) < length:
            break
    return None
