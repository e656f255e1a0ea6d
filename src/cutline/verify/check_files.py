"""What is wrong between rows, files and the ledger, in one range of keys, on a worker.

All that has a key is together here, so most checks are a set difference on two columns.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import compress
from operator import not_
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from cutline import in_flight
from cutline.record import texts
from cutline.sources import line_format, local_folder
from cutline.store import disk
from cutline.trainers import simpletuner
from cutline.verify.check_rows import read_caption
from cutline.verify.checks import Finding, Findings, found
from cutline.verify.list_folder import CAPTION, EMPTY, IMAGE, SIDECAR
from cutline.verify.near_names import Misnamed, find_misnamed
from cutline.verify.orphan_reasons import (
    EMPTY_IMAGE,
    STRAY,
    Ledger,
    Orphan,
    Sidecars,
    explain,
    image_in,
    of_unusable,
)

NAMES: Final = pa.schema(
    [
        pa.field("key", pa.binary(), nullable=False),
        pa.field("filename", pa.binary(), nullable=False),
    ]
)
"""A row: its key and its filename, in the bytes of the file system."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What is there of the samples of some keys.

    Attributes
    ----------
    rows
        The rows, as `NAMES`.
    images
        The images that the trainer may list, in the same columns, and their extensions.
    empty
        Those of them with nothing in them.
    captions
        The keys of the caption files.
    sidecars
        The sidecars, in the same columns as the images.
    ledger
        The lines of the ledger, as `orphans.KEYED_LEDGER`.
    """

    rows: pa.Table
    images: pa.Table
    empty: pa.Table
    captions: pa.ChunkedArray
    sidecars: pa.Table
    ledger: pa.Table

    @classmethod
    def of(cls, rows: pa.Table, files: pa.Table, ledger: pa.Table) -> Self:
        """Sort files by their kind, out of lines of `FILES`."""
        kinds = [files.filter(pc.equal(files["kind"], kind)) for kind in range(4)]
        empty, sidecars = _with_paths(kinds[EMPTY]), _with_paths(kinds[SIDECAR])
        images = pa.concat_tables([_with_paths(kinds[IMAGE]), empty])
        return cls(rows, images, empty, kinds[CAPTION]["key"], sidecars, ledger)

    def sidecar_paths(self) -> Sidecars:
        """Return the paths of the sidecars by their keys."""
        ordered = self.sidecars.sort_by("filename")  # of two, the one in small letters stays
        return dict(zip(ordered["key"].to_pylist(), ordered["filename"].to_pylist(), strict=True))


def _with_paths(files: pa.Table) -> pa.Table:
    paths = pc.binary_join_element_wise(files["key"], files["extension"], b"")
    return files.append_column("filename", paths)


def check_files(samples: Samples, data: str) -> tuple[Findings, list[Orphan]]:
    """Check that rows, images, caption files and sidecars have each other.

    Returns
    -------
    tuple
        The findings; and all images without row, all stray caption files and all empty images,
        each sorted by path.
    """
    rows, images = samples.rows, samples.images
    gone, odd = _split_missing(_outside(rows, "filename", images["filename"]), data)
    with disk.open_folder(data) as root:
        orphans, misnamed = _explain_orphans(samples, gone, root)
        near = gone.filter(pc.is_in(gone["filename"], _binary(one.named for one in misnamed)))
        gone = _outside(gone, "filename", near["filename"])
        with_image = pa.chunked_array(
            [chunk for lines in (images, odd, near) for chunk in lines["key"].chunks], pa.binary()
        )
        alone = _others(samples.captions, with_image)
        others = _outside(samples.sidecars, "key", with_image)["filename"].to_pylist()
        known = {one.sidecar for one in misnamed}
        lonely = _without_image([one for one in others if one not in known], data, root)
        # The slices of rows have looked at all other caption files.
        own = [path for *_, path in orphans if path is not None]
        blank = [*compress(own, in_flight.in_order(partial(_is_blank, root), own))]
        empty = pa.concat_tables([_among(rows, samples.empty), _empty(odd, root)])
        emptied = sorted(empty["filename"].to_pylist())
        unusable = list(of_unusable(emptied, EMPTY_IMAGE, root))
    named = _outside(images, "filename", _binary(one.path for one in misnamed))
    findings = {
        "duplicate_filenames": _duplicates(rows),
        "rows_without_image": _shown(gone),
        "misnamed_images": found(map(str, misnamed)),
        "empty_images": _shown(empty),
        "unlisted_images": _shown(odd) + _shown(_upper_case(samples)),
        "images_without_caption_file": _shown(_outside(named, "key", samples.captions)),
        "caption_files_without_image": found(
            texts.shown_path(key) + ".txt" for key in alone.to_pylist()
        ),
        "sidecars_without_image": found(map(texts.shown_path, lonely)),
        "empty_caption_files": found(map(texts.shown_path, blank)),
        **_orphan_findings(orphans, set(blank)),
    }
    strays = sorted(_others(alone, rows["key"]).to_pylist())
    return findings, [*orphans, *(Orphan(key + b".txt", *STRAY) for key in strays), *unusable]


def _outside(lines: pa.Table, column: str, known: pa.ChunkedArray) -> pa.Table:
    return lines.filter(pc.invert(pc.is_in(lines[column], known)))


def _among(lines: pa.Table, files: pa.Table) -> pa.Table:
    return lines.filter(pc.is_in(lines["filename"], files["filename"]))


def _others(values: pa.ChunkedArray, known: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.filter(pc.invert(pc.is_in(values, known)))


def _shown(lines: pa.Table) -> Finding:
    return found(map(texts.shown_path, lines["filename"].to_pylist()))


def _split_missing(rows: pa.Table, data: str) -> tuple[pa.Table, pa.Table]:
    folder = os.fsencode(data)

    def is_there(filename: bytes) -> bool:
        odd = os.path.splitext(filename)[1][1:].lower() not in simpletuner.IMAGES
        return odd and os.path.isfile(os.path.join(folder, filename))

    mask = pa.array([*in_flight.in_order(is_there, rows["filename"].to_pylist())], pa.bool_())
    return rows.filter(pc.invert(mask)), rows.filter(mask)


def _empty(rows: pa.Table, root: int) -> pa.Table:
    stamps = in_flight.in_order(partial(local_folder.stamp_of, root), rows["filename"].to_pylist())
    empty = [size == 0 and local_folder.is_regular((mode,)) for mode, size, *_ in stamps]
    return rows.filter(pa.array(empty, pa.bool_()))


def _upper_case(samples: Samples) -> pa.Table:
    # The rows whose image the trainer does not list: it looks for ``*.jpg``, not ``*.JPG``. Capital
    # letters are rare, so the few extensions are compared and not the rows.
    every = pc.unique(samples.images["extension"])
    large = [name for name in every.to_pylist() if name != name.lower()]
    images = samples.images.filter(
        pc.is_in(samples.images["extension"], pa.array(large, pa.binary()))
    )
    return samples.rows.filter(pc.is_in(samples.rows["filename"], images["filename"]))


def _duplicates(rows: pa.Table) -> Finding:
    # Rows of a sample that an earlier row has: they would share a caption file.
    counts = rows.group_by("key").aggregate([("key", "count"), ("filename", "min")])
    twice = counts.filter(pc.greater(counts["key_count"], 1))
    more = sum(twice["key_count"].to_pylist()) - len(twice)
    return Finding(more, found(map(texts.shown_path, twice["filename_min"].to_pylist())).examples)


def _binary(values: Iterable[bytes | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.binary())])


def _explain_orphans(
    samples: Samples, gone: pa.Table, root: int
) -> tuple[list[Orphan], list[Misnamed]]:
    images = _outside(samples.images, "filename", samples.rows["filename"]).sort_by("filename")
    if not len(images):
        return [], []
    captions = _others(samples.captions, samples.rows["key"])
    sidecars = samples.sidecar_paths()
    pairs = zip(images["filename"].to_pylist(), images["key"].to_pylist(), strict=True)
    files = sidecars, set(captions.to_pylist())
    orphans = list(explain(pairs, Ledger(samples.ledger), files, root))
    names = gone["filename"].to_pylist()
    misnamed = find_misnamed(orphans, names, samples.images, samples.ledger, sidecars, root)
    apart = {one.path for one in misnamed}
    return [orphan for orphan in orphans if orphan.path not in apart], misnamed


def _orphan_findings(orphans: list[Orphan], blank: set[bytes]) -> Findings:
    # An orphan without a width that has a caption file was left out on purpose.
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


def _is_blank(root: int, caption: bytes) -> bool:
    text = read_caption(root, caption)
    return text is not None and not text.strip()


def _without_image(sidecars: list[bytes], data: str, root: int) -> list[bytes]:
    # One may name an image of another stem than its own.
    lines = line_format.lines_of(pa.array(sidecars, pa.binary()))
    read = local_folder.Folder(data).read(lines)
    images = [image_in(sidecar, record) for sidecar, record, _ in read]
    named = [image for image in images if image is not None]
    stamps = in_flight.in_order(partial(local_folder.stamp_of, root), named)
    there = {*compress(named, map(local_folder.is_regular, stamps))}
    return [one for one, image in zip(sidecars, images, strict=True) if image not in there]
