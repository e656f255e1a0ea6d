"""Write the samples of a demo to a folder, and count what a correct run must find."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import orjson

from cutline.demo.pictures import pictures
from cutline.demo.samples import DemoOptions, Sample, samples
from cutline.demo.shard_writer import HARMLESS, add_hostile_shard, damage, write_shards
from cutline.errors import CutlineError, UsageError, checked, flat
from cutline.store import disk

_MARKER = "a cutline demo, format 1"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a correct run counts on a demo.

    Attributes
    ----------
    records, seed
        What the demo was made from.
    sidecars
        Entries named ``*.json``, folders too: `rows` and all `rejects` together.
    rows
        Rows of the table.
    rejects
        How many sidecars are rejected for each reason, sorted by reason; none is zero.
    stem_mismatches
        Rows whose image has another stem than their sidecar.
    images
        Image files.
    orphans
        Image files that no row names.
    images_without_caption_file
        Those of the orphans that have no caption file of a row beside them.
    sidecars_without_image
        Sidecars that neither name an image that is there nor have one beside them.
    shards, damaged_shards
        Tar shards, and those of them that are damaged.
    refused
        How many members of the shards an extraction refuses for each reason.
    """

    records: int
    seed: int
    sidecars: int
    rows: int
    rejects: dict[str, int]
    stem_mismatches: int
    images: int
    orphans: int
    images_without_caption_file: int
    sidecars_without_image: int
    shards: int = 0
    damaged_shards: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    marker: str = _MARKER


@flat
@checked
def make_demo(folder: str | os.PathLike[str], options: DemoOptions) -> Expected:
    """Make a dataset, and return what a correct run with default options counts on it.

    Writes ``data/<stem>.json`` beside ``data/<image_name>``, or both as members of
    ``data/data-<number>.tar``; and at the end ``expected.json`` with what is returned.

    Parameters
    ----------
    folder
        A folder that is empty or not there yet.
    options
        How many records, from which seed, with or without images.

    Raises
    ------
    UsageError
        The folder is not empty, or is a file.
    CutlineError
        The file system refuses to write there.
    """
    root = os.fspath(folder)
    tally = _Tally()
    try:
        _claim(root)
        expected = _write_data(tally, os.path.join(root, "data"), options)
        with open(os.path.join(root, "expected.json"), "xb") as file:
            option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            file.write(orjson.dumps(expected, option=option))
    except OSError as error:
        raise CutlineError(
            f"Cannot write the demo to {root}: {error.strerror}. "
            "Name a folder that you may write to, on a disk with space."
        ) from error
    return expected


def _claim(root: str) -> None:
    """Make the folder, or raise UsageError if something is there."""
    try:
        os.makedirs(root, exist_ok=True)
        names = os.listdir(root)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{root} is a file: name a folder for the demo.") from None
    if "expected.json" in names and _is_demo(os.path.join(root, "expected.json")):
        raise UsageError(f"{root} is a demo already: use it, remove it, or name another folder.")
    if names:
        raise UsageError(f"{root} is not empty: name another folder for the demo.")


def _is_demo(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            text = file.read(100_000)  # ours is far smaller
        return bool(orjson.loads(text)["marker"] == _MARKER)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return False


class _Tally:
    """Counts samples as they pass."""

    def __init__(self) -> None:
        self._reasons: Counter[str | None] = Counter()
        self._mismatches = self._images = self._orphans = self._bare = self._lonely = 0

    def counted(self, options: DemoOptions) -> Iterator[Sample]:
        for sample in samples(options):
            is_row = sample.reason is None
            self._reasons[sample.reason] += 1
            self._mismatches += is_row and os.path.splitext(sample.image_name)[0] != sample.stem
            if sample.image is not None:
                self._images += 1
                self._orphans += not is_row
                # A duplicate's image is beside the caption file of the sample that came first.
                self._bare += not is_row and sample.reason != "duplicate"
            elif not options.images or sample.reason != "duplicate":
                self._lonely += 1
            yield sample

    def expected(self, options: DemoOptions) -> Expected:
        rejects = {reason: n for reason, n in self._reasons.items() if reason is not None}
        return Expected(
            records=options.records,
            seed=options.seed,
            sidecars=self._reasons.total(),
            rows=self._reasons[None],
            rejects=dict(sorted(rejects.items())),
            stem_mismatches=self._mismatches,
            images=self._images,
            orphans=self._orphans,
            images_without_caption_file=self._bare,
            sidecars_without_image=self._lonely,
        )


def _write_data(tally: _Tally, data: str, options: DemoOptions) -> Expected:
    arriving = tally.counted(options)
    if options.form == "loose":
        _write_loose(arriving, data)
        return tally.expected(options)
    paths = write_shards(arriving, data, options.records)
    expected = replace(tally.expected(options), shards=len(paths))
    return _made_hostile(expected, paths, options) if options.form == "hostile" else expected


def _made_hostile(expected: Expected, paths: list[str], options: DemoOptions) -> Expected:
    """Damage the last shard, and add a hostile one without sidecars."""
    damage(paths[-1])
    image = pictures("jpg")[0].content if options.images else b""
    refused = add_hostile_shard(f"{os.path.dirname(paths[0])}/data-{len(paths):06}.tar", image)
    return replace(
        expected,
        shards=len(paths) + 1,
        damaged_shards=1,
        refused=dict(sorted({**refused, "damaged_shard": 1}.items())),
        images=expected.images + len(HARMLESS),
        orphans=expected.orphans + len(HARMLESS),
        images_without_caption_file=expected.images_without_caption_file + len(HARMLESS),
    )


def _write_loose(arriving: Iterable[Sample], data: str) -> None:
    """Put sidecars and images beside each other in a new folder.

    A million sidecars on tmpfs take 26 s, of which 17 are the kernel's.
    """
    os.mkdir(data)
    with disk.open_folder(data) as folder:
        for sample in arriving:
            if sample.sidecar is None:
                os.mkdir(f"{sample.stem}.json", dir_fd=folder)
            else:
                _write(f"{sample.stem}.json", sample.sidecar, folder)
            if sample.image is not None:
                _write(sample.image_name, sample.image, folder)


def _write(name: str, content: bytes, folder: int) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    try:
        disk.write_all(file, content)
    finally:
        os.close(file)
