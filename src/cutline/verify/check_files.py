"""What is wrong between rows, files and the ledger: one range of keys on a worker.

All records of a key come together, so most checks are a set difference on two columns.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from cutline.record import texts
from cutline.sources import local_folder
from cutline.trainers import simpletuner
from cutline.verify.check_rows import read_caption
from cutline.verify.checks import Finding, Findings, found
from cutline.verify.list_folder import CAPTION, IMAGE, SIDECAR
from cutline.verify.orphans import STRAY, Ledger, Orphan, explain, image_of

NAMES: Final = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("filename", pa.binary(), nullable=False),
    ]
)
"""A row: its key and its filename, in the bytes of the file system."""


@dataclass(frozen=True, slots=True)
class Records:
    """What is there of some keys.

    Attributes
    ----------
    rows
        The rows, as `NAMES`.
    images
        The images that the trainer may list, in the same columns, and their extensions.
    captions, sidecars
        The keys of the caption files and of the sidecars.
    ledger
        The lines of the ledger, as `orphans.KEYED_LEDGER`.
    """

    rows: pa.Table
    images: pa.Table
    captions: pa.ChunkedArray
    sidecars: pa.ChunkedArray
    ledger: pa.Table

    @classmethod
    def of(cls, rows: pa.Table, files: pa.Table, ledger: pa.Table) -> Self:
        """Tell files apart by their kind."""
        kinds = [files.filter(pc.equal(files["kind"], kind)) for kind in range(3)]
        images = kinds[IMAGE]
        paths = pc.binary_join_element_wise(images["key"], images["extension"], b"")
        images = images.append_column("filename", paths)
        return cls(rows, images, kinds[CAPTION]["key"], kinds[SIDECAR]["key"], ledger)


def check_files(records: Records, data: str) -> tuple[Findings, list[Orphan]]:
    """Find what has no counterpart.

    Returns
    -------
    tuple
        What was found, and all images without row and stray caption files, sorted by path.
    """
    rows, images = records.rows, records.images
    gone, odd = split_missing(outside(rows, "filename", images["filename"]), data)
    with_image = pa.chunked_array([*images["key"].chunks, *odd["key"].chunks], pa.binary())
    alone = others(records.captions, with_image)
    with local_folder.open_folder(data) as root:
        orphans = explain_orphans(records, root)
        lonely = [
            key + b".json"
            for key in sorted(others(records.sidecars, with_image).to_pylist())
            if not names_image(key + b".json", root)
        ]
        blank = [path for path in captions_of(orphans) if is_blank(path, root)]
    findings = {
        "duplicate_filenames": duplicates(rows),
        "rows_without_image": shown(gone),
        "unlisted_images": shown(odd) + shown(upper_case(records)),
        "images_without_caption_file": shown(outside(images, "key", records.captions)),
        "caption_files_without_image": found(
            texts.shown_path(key) + ".txt" for key in alone.to_pylist()
        ),
        "sidecars_without_image": found(map(texts.shown_path, lonely)),
        "empty_caption_files": found(map(texts.shown_path, blank)),
        **orphan_findings(orphans, set(blank)),
    }
    strays = sorted(others(alone, rows["key"]).to_pylist())
    return findings, [*orphans, *(Orphan(key + b".txt", *STRAY) for key in strays)]


def outside(lines: pa.Table, column: str, known: pa.ChunkedArray) -> pa.Table:
    """Give the lines whose value in a column is not among the known ones."""
    return lines.filter(pc.invert(pc.is_in(lines[column], known)))


def others(values: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give the values that are not among the known ones."""
    return values.filter(pc.invert(pc.is_in(values, known)))


def shown(lines: pa.Table) -> Finding:
    """Count lines, and show some by their filename."""
    return found(map(texts.shown_path, lines["filename"].to_pylist()))


def split_missing(rows: pa.Table, data: str) -> tuple[pa.Table, pa.Table]:
    """Tell rows without image from rows whose image has an extension that is not listed."""
    there = [
        extension(filename).lower() not in simpletuner.IMAGES
        and os.path.isfile(os.path.join(os.fsencode(data), filename))
        for filename in rows["filename"].to_pylist()
    ]
    mask = pa.array(there, pa.bool_())
    return rows.filter(pc.invert(mask)), rows.filter(mask)


def extension(filename: bytes) -> bytes:
    """Give a filename's extension without the dot."""
    return os.path.splitext(filename)[1][1:]


def upper_case(records: Records) -> pa.Table:
    """Give the rows whose image the trainer does not list: it looks for ``*.jpg``, not ``*.JPG``.

    A large letter in an extension is rare, so the few extensions are looked at and not the rows.
    """
    every = pc.unique(records.images["extension"])
    large = [name for name in every.to_pylist() if name != name.lower()]
    images = records.images.filter(
        pc.is_in(records.images["extension"], pa.array(large, pa.binary()))
    )
    return records.rows.filter(pc.is_in(records.rows["filename"], images["filename"]))


def duplicates(rows: pa.Table) -> Finding:
    """Find the rows of a sample that an earlier row has: its caption file would be both's."""
    counts = rows.group_by("key").aggregate([("key", "count"), ("filename", "min")])
    twice = counts.filter(pc.greater(counts["key_count"], 1))
    more = sum(twice["key_count"].to_pylist()) - len(twice)
    return Finding(more, found(map(texts.shown_path, twice["filename_min"].to_pylist())).examples)


def explain_orphans(records: Records, root: int) -> list[Orphan]:
    """Say why images have no row."""
    images = outside(records.images, "filename", records.rows["filename"]).sort_by("filename")
    if not len(images):
        return []
    captions = others(records.captions, records.rows["key"])
    files = set(records.sidecars.to_pylist()), set(captions.to_pylist())
    pairs = zip(images["filename"].to_pylist(), images["key"].to_pylist(), strict=True)
    return list(explain(pairs, Ledger(records.ledger), files, root))


def orphan_findings(orphans: list[Orphan], blank: set[bytes]) -> Findings:
    """Count orphans; one that has no width and has a caption in its file is nobody's oversight."""
    captioned = [orphan.caption is not None and orphan.caption not in blank for orphan in orphans]
    settled = [
        orphan.reason == "no_width" and has_caption
        for orphan, has_caption in zip(orphans, captioned, strict=True)
    ]
    lines = [
        f"{texts.shown_path(path)} ({reason}: {detail})" for path, reason, detail, *_ in orphans
    ]
    return {
        "images_without_row": found(compress(lines, map(not_, settled))),
        "images_left_out": found(compress(lines, settled)),
    }


def captions_of(orphans: list[Orphan]) -> Iterator[bytes]:
    """Give the caption files of orphans, which no row's slice has looked at."""
    return (orphan.caption for orphan in orphans if orphan.caption is not None)


def is_blank(caption: bytes, root: int) -> bool:
    """Tell whether a caption file holds no text."""
    text = read_caption(root, caption)
    return text is not None and not text.strip()


def names_image(sidecar: bytes, root: int) -> bool:
    """Tell whether a sidecar names an image that is there, though of another stem than its own."""
    image = image_of(sidecar, root)
    return image is not None and local_folder.is_regular(local_folder.stamp_of(root, image))
