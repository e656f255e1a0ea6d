"""What a job would take, before it is done: `--dry-run`.

A sample is compiled in a temporary folder, and a few files without a name are written where the
job would write. Nothing is changed. Every number that is not counted is called an estimate.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from cutline.captions import is_table
from cutline.errors import checked
from cutline.extract import ExtractOptions, lines_due
from cutline.plan import planning, shard_index
from cutline.progress import Summary
from cutline.recipe.dataset_root import check_shards, layout
from cutline.recipe.whole_run import RUN_DEFAULTS, RunOptions
from cutline.record import naming, texts
from cutline.sources import Origin, local_folder, open_source, shard_names, tar_shards
from cutline.store import SmallFiles, TableFiles, disk, space
from cutline.table import DEFAULTS, CompileOptions, slices_of, trial

Item = TypeVar("Item")

SAMPLED: Final = 4_000
"""Rows and members that are looked at."""

NAMED: Final = ["filename", "caption"]

WRITTEN: Final = 100
"""Files that are written to see how long it takes."""

OWN_FILES: Final = 5
"""The table, its ledger, the plan, what was merged and the timings."""

TIMING: Final = 150
"""About how many bytes the timing of a part takes."""

TOTAL: Final = ("files", "bytes", "inodes")

ESTIMATED: Final = ("rows", "files", "bytes", "inodes")

ENTRY: Final = 75
"""Bytes of an entry of webshart's index without its name and caption."""

SECONDS_AN_ENTRY: Final = 8e-5
"""Seconds that one takes, beyond start-up: 1.6 s for 19,700 in 69 shards; the client writes all."""


@dataclass(frozen=True, slots=True, repr=False)
class Cost(Summary):
    """What a job would take.

    Attributes
    ----------
    job
        Its name.
    where
        The folder that it writes to.
    counts
        What it reads and writes; always with `files`, `bytes` and `inodes`.
    estimated
        Which of the counts are estimates; the rest were counted.
    minutes
        By the speed of the sample; None if that could not be measured.
    workers
        How many processes that is with.
    damage
        A sentence about the shards that were read and are damaged; empty if none is.
    """

    job: str
    where: str
    counts: dict[str, int]
    estimated: tuple[str, ...]
    minutes: float | None
    workers: int
    damage: str = ""

    @property
    def needed(self) -> space.Room:
        """The room that its files take."""
        return space.Room(self.counts["bytes"], self.counts["inodes"])

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        free = space.free_room(_there(self.where))
        return {
            "job": self.job,
            "dry_run": True,
            **self.counts,
            "minutes": self.minutes,
            "workers": self.workers,
            "estimated": [*self.estimated, "minutes"],
            "free_bytes": free.bytes,
            "free_inodes": free.inodes,
            "data": self.where,
        }

    def in_words(self) -> str:
        """Return what it would write, in one sentence."""
        if not self.counts["files"] and not self.counts["bytes"]:
            return f"has nothing to write to {self.where}"
        about = "about " if "files" in self.estimated else ""
        size = space.shown_size(self.counts["bytes"])
        time = "" if self.minutes is None else f", in {_shown_time(self.minutes)}"
        free = space.shown_size(space.free_room(_there(self.where)).bytes)
        return (
            f"would write {about}{self.counts['files']:,} files, about {size}, to"
            f" {self.where}{time}; {free} are free there"
        )

    @property
    def shortfall(self) -> str:
        """What is damaged, and that there is no room for it."""
        return " ".join(filter(None, (self.damage, _lack(self.where, self.needed))))


@dataclass(frozen=True, slots=True, repr=False)
class RunCost(Summary):
    """What each step of a run would take."""

    each: list[Cost] = field(default_factory=list)

    def steps(self) -> list[Summary]:
        """Return the steps, in order."""
        return list(self.each)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints: each step under its own name, and the sums."""
        sums = {name: sum(one.counts[name] for one in self.each) for name in TOTAL}
        minutes = [one.minutes for one in self.each]
        total = None if None in minutes else round(sum(filter(None, minutes)), 2)
        steps = {one.job: one.as_json() for one in self.each}
        return {"job": "run", "dry_run": True, **steps, **sums, "minutes": total}

    @property
    def shortfall(self) -> str:
        """What is damaged, and that there is no room for all of it."""
        lack = _lack(self.each[0].where, sum((one.needed for one in self.each), space.Room()))
        return " ".join(filter(None, (*(one.damage for one in self.each), lack)))


def _lack(where: str, needed: space.Room) -> str:
    if space.free_room(_there(where)).holds(needed):
        return ""
    return (
        f"About {space.shown_size(needed.bytes)} and {needed.inodes:,} inodes would be written, but"
        f" {space.shown_room(where)}: make room first."
    )


@checked
def of_compile(
    source: shard_names.Where,
    table: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    workers: int = 1,
) -> Cost:
    """Return what `compile_table` would take with so many workers; it raises the same."""
    with trial.tried(open_source(source), options) as sample:
        return _compile_cost(sample, TableFiles.of(table), options, workers)


@checked
def of_captions(
    source: disk.AnyPath,
    data: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    workers: int = 1,
) -> Cost:
    """Return what `write_captions` would take with so many workers; it raises the same."""
    path, folder = os.fspath(source), disk.data_folder(data)
    if is_table(path):
        slices = slices_of(path)
        few = slices[:: 1 + len(slices) // 8]
        rows = pa.concat_tables([one.read(NAMED) for one in few])
        return _captions_cost(rows, sum(one.rows for one in slices), folder, workers)
    with trial.tried(open_source(path), options) as sample:
        rows = round(sample.scaled(sample.rows))
        cost = _captions_cost(sample.read_rows(), rows, folder, workers)
        compiled = _compile_cost(sample, TableFiles.at(f"{folder}/x.parquet"), options, workers)
    return replace(cost, minutes=_sum(cost.minutes, compiled.minutes), estimated=ESTIMATED)


@checked
def of_extract(
    source: shard_names.Where,
    data: disk.AnyPath,
    options: ExtractOptions | None = None,
    *,
    workers: int = 1,
) -> Cost:
    """Return what `extract` would take with so many workers; it raises the same."""
    how = options or ExtractOptions()
    with trial.tried(shard_names.open_shards(source), DEFAULTS) as sample:
        return _extract_cost(sample, disk.new_data_folder(data), how, workers)


@checked
def of_run(
    root: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    chosen: RunOptions = RUN_DEFAULTS,
    *,
    workers: int = 1,
) -> RunCost:
    """Return what each step of `run` that writes many files would take; it raises the same."""
    table, data = layout(root)
    if chosen.without_files:
        check_shards(root)
    shards = shard_names.shards_in_root(root)
    origin: Origin = shard_names.open_shards(shards) if shards else local_folder.Folder(data)
    with trial.tried(origin, options) as sample:
        files = TableFiles.of(table)
        if chosen.without_files:
            compiled = _compile_cost(sample, files, options, workers)
            return RunCost([compiled, _index_cost(sample, files, workers)])
        # It compiles what it has unpacked, with no part and no index of a shard.
        loose = replace(sample, shards=0, indexes=None)
        compiled = _compile_cost(loose, files, options, workers)
        how = chosen.unpacking(options)
        unpacked = [_extract_cost(sample, data, how, workers)] if shards else []
        rows = round(sample.scaled(sample.rows))
        captions = _captions_cost(sample.read_rows(), rows, data, workers)
    captioned = [captions] if chosen.loader.strategy == "textfile" else []
    return RunCost([*unpacked, compiled, *(replace(one, estimated=ESTIMATED) for one in captioned)])


def _compile_cost(
    sample: trial.Trial, files: TableFiles, options: CompileOptions, workers: int
) -> Cost:
    place = str(planning.source_of(sample.origin, options.planning))
    size = options.partition_size or planning.default_part_size(sample.total, place)
    parts = max(1, sample.shards) * -(-sample.total // max(1, sample.shards) // size)
    own = sample.files
    made = sum(map(sample.size, (own.table, own.ledger, own.parts, own.rejects)))
    made += sample.plan_size
    footers = sample.footers
    of_each = footers / max(1, sample.parts)
    indexes = sample.size(own.indexes) / sample.share if sample.shards else 0
    count = OWN_FILES + parts + (parts if sample.rejects else 0) + sample.shards
    counts = {
        "sidecars": sample.total,
        "rows": round(sample.scaled(sample.rows)),
        "files": count,
        "bytes": round(sample.scaled(made - footers) + indexes + (of_each + TIMING) * parts),
        "inodes": count + 3 + bool(sample.shards),
    }
    estimated = ("sidecars", *ESTIMATED) if sample.share < 1 else ESTIMATED
    seconds = sample.listing / sample.share + sample.scaled(sample.seconds) / workers
    where = os.path.dirname(files.table)
    damage = "" if options.allow_damaged else _damage(sample, "the table")
    return Cost("compile", where, counts, estimated, _minutes(seconds), workers, damage)


def _index_cost(sample: trial.Trial, files: TableFiles, workers: int) -> Cost:
    rows = sample.read_rows()
    length = sum(len(_text(cell)) for cell in rows["caption"].to_pylist())
    names = pc.sum(pc.binary_length(rows["filename"])).as_py() or 0
    counts = {
        "rows": round(sample.scaled(len(rows))),
        "files": sample.shards,
        "bytes": round(sample.scaled(length + names + ENTRY * len(rows))),
        "inodes": sample.shards + 1,
    }
    minutes = _minutes(counts["rows"] * SECONDS_AN_ENTRY)
    where = os.path.dirname(files.table)
    return Cost("index", where, counts, ("rows", "bytes"), minutes, workers)


def _captions_cost(rows: pa.Table, count: int, folder: str, workers: int) -> Cost:
    due = [
        (naming.key(name) + ".txt", text)
        for name, text in zip(*(rows[name].to_pylist() for name in NAMED), strict=True)
        if name and text and not naming.path_fault(name)
    ]
    some = [(path, _text(text)) for path, text in _some(due, SAMPLED)]
    room = _lacking([(path, len(text)) for path, text in some], folder)
    counts = {"rows": count, **_files(room, count / max(len(some), 1))}
    few = [partial(disk.write_all, data=text) for _, text in some[:WRITTEN]]
    seconds = space.seconds_to_write(_there(folder), few)
    minutes = _minutes(seconds and seconds / max(len(few), 1) * counts["files"] / workers)
    estimated = ("bytes",) if counts["files"] == count else ESTIMATED[1:]
    return Cost("captions", folder, counts, estimated, minutes, workers)


def _extract_cost(sample: trial.Trial, folder: str, options: ExtractOptions, workers: int) -> Cost:
    members = lines_due(sample.indexes or [], folder, options, sample.files.store)
    share = sample.share if options.selection.is_all else 1.0  # so many, of however many
    some = _some(range(len(members)), SAMPLED)
    lines = members.take(pa.array(some, pa.int64())).to_pylist()
    sizes = [(os.fsdecode(line["path"]), line["size"]) for line in lines]
    # Which are there is seen by a few; but one large member may weigh as much as all the others.
    lacking = _lacking(sizes, folder, kept=True).inodes / max(len(lines), 1)
    room = space.room_for_all(members["size"].to_pylist(), _there(folder))
    files = _files(room, lacking / share)
    seconds = _seconds_to_copy(sample, _some(lines, WRITTEN), _there(folder))
    minutes = _minutes(seconds and seconds * files["files"] / workers)
    counts = {"shards": sample.shards, **files}
    damage = "" if options.allow_damaged else _damage(sample, "the folder")
    return Cost("extract", folder, counts, ESTIMATED[1:], minutes, workers, damage)


def _damage(sample: trial.Trial, output: str) -> str:
    return shard_index.shortfall(sample.indexes or [], f"{output} would have")


def _some(every: Sequence[Item], most: int) -> list[Item]:
    """Return so many of them at most, by chance but the same each time."""
    return Random(0).sample(every, min(most, len(every)))  # noqa: S311 - nothing is secret


def _seconds_to_copy(sample: trial.Trial, few: list[dict[str, Any]], folder: str) -> float | None:
    """Return how long it takes to copy one member, on the average of a few."""
    source = tar_shards.Shards(str(sample.origin))
    copied = 0.0
    for line in few:
        with source.opened(line["shard"]) as shard:
            copy = partial(shard.copy, line["offset"], line["size"])
            if (seconds := space.seconds_to_write(folder, [copy])) is None:
                return None
        copied += seconds
    return copied / max(len(few), 1)


def _lacking(due: list[tuple[str, int]], folder: str, *, kept: bool = False) -> space.Room:
    """Return the room that those of some files take that are not there yet."""
    there = _there(folder)
    if there != folder:
        return space.room_for_all((size for _, size in due), there)
    with SmallFiles(folder) as files:
        return sum((files.lacks(path, size, kept=kept) for path, size in due), space.Room())


def _files(room: space.Room, factor: float) -> dict[str, int]:
    inodes = round(room.inodes * factor)
    return {"files": inodes, "bytes": round(room.bytes * factor), "inodes": inodes}


def _text(cell: str | list[str] | None) -> bytes:
    return (texts.caption_file(cell) or "").encode()


def _there(folder: str) -> str:
    """Return a folder, or the one above that is there."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 2)


def _shown_time(minutes: float) -> str:
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:,.0f} minutes"


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
