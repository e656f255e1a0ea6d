"""Tar shards to files: the extract job.

The driver on top indexes the shards, settles which member becomes which file, and cuts what is to
be done into parts; the small functions below it run on a worker, one task a part. There is no
state: a file of the right size is left alone, and anything else is published whole.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client
from distributed.metrics import context_meter

from cutline.cluster import running
from cutline.extract.debris import CAPTION_FILE, is_debris
from cutline.extract.extract_options import ExtractOptions
from cutline.extract.first_wins import EXAMPLES, Settled, settle
from cutline.plan import free_space, ledger, plan_file, shard_index
from cutline.progress import SILENT, Clock, Load, Summary, Watcher, events
from cutline.record import texts
from cutline.sources import line_format, shard_names, tar_shards
from cutline.store import SmallFiles, Workspace, disk, space, trouble

DEFAULTS: Final = ExtractOptions()


@dataclass(frozen=True, slots=True, repr=False)
class ExtractSummary(Summary):
    """What became of the members; `rejects` counts by reason those that became no file.

    `files` and `bytes` are what was written, `skipped` counts the files that were there already;
    `lost` are lines of a ledger: the sidecars that became no file, and what is damaged in the
    shards.
    """

    data: str
    shards: int
    files: int
    bytes: int
    skipped: int
    rejects: dict[str, int]
    seconds: float
    lost: pa.Table
    shortfall: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints."""
        body = asdict(self)
        del body["lost"], body["shortfall"]
        return {"job": "extract", **body}


@dataclass(frozen=True, slots=True)
class ExtractContext:
    """What every task has to know; small, because each task carries it."""

    shards: tar_shards.Shards
    folder: str
    staging: str
    overwrite: bool


@dataclass(frozen=True, slots=True)
class MembersDone:
    """What became of the members of one part; `refused` are some that could not be written.

    `bytes` is the size of all of them, also of those that were there; `written` of those that were
    not.
    """

    counts: Counter[str]
    bytes: int
    written: int
    refused: tuple[str, ...]


def extract(
    source: shard_names.Where,
    data: disk.AnyPath,
    options: ExtractOptions = DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> ExtractSummary:
    """Unpack tar shards into a folder: their regular members, and nothing outside of it.

    Parameters
    ----------
    source
        A folder of shards, a shard, a glob of shards, their URL, or a list of shards.
    data
        The folder to unpack into; it is made if it is not there.
    options
        How to extract.
    client
        The Dask cluster to work on; without one, Dask's scheduler of this process.
    watcher
        Who is told how far the job is.

    Raises
    ------
    UsageError
        There are no shards, or no folder that `data` could be made in.
    CutlineError
        The job cannot go on. Every file that is there is whole.
    """
    clock = Clock()
    shards = shard_names.open_shards(source)
    folder = made_folder(data)
    workspace = Workspace.below(folder)
    with workspace.locked(watcher.say, force=options.force_unlock) as staging:
        store, kept = workspace.store(staging), f"{workspace.folder}/shards"
        indexes = shard_index.index_shards(shards, store, kept, client, watcher)
        settled = settle(indexes, store, options.only, shards_below(folder, shards, options))
        context = ExtractContext(shards.source, folder, staging, options.overwrite)
        parts = plan_file.write_plan(
            settled.lines, options.partition_size, store, f"{workspace.folder}/plan.parquet"
        )
        batches = write_files(settled, parts, context, client, watcher)
        workspace.discard("shards", "plan.parquet")
    tell_of(batches, settled, folder, watcher)
    return summary(folder, indexes, settled, batches, options, clock.total())


def write_files(
    settled: Settled,
    parts: list[plan_file.Part],
    context: ExtractContext,
    client: Client | None,
    watcher: Watcher,
) -> list[MembersDone]:
    """Write the folders and the files, if there is room for all of them."""
    lines, lacking = settled.lines, running.bag_of(parts, needed, context, stage="look-for-room")
    most = most_needed(lines, context.folder)
    free_space.check_room("The files of the shards", context.folder, most, lacking, client, watcher)
    folders = make_folders(settled.folders, context)
    if not parts:
        return [folders]
    files = running.bag_of(parts, extract_parts, context, stage="extract-files")
    load = Load(pc.sum(lines["size"]).as_py(), "bytes")
    return [folders, *running.results(files, client, watcher, load)]


def tell_of(batches: list[MembersDone], settled: Settled, folder: str, watcher: Watcher) -> None:
    """Tell of files that were left as they are, and of some members that became none."""
    if kept := sum(batch.counts["kept"] for batch in batches):
        watcher.say(
            f"{kept:,} files in {folder} are not what the shards hold, and were left as they are:"
            " add --overwrite to an extraction that is to replace them."
        )
    refused = [*settled.examples, *chain.from_iterable(batch.refused for batch in batches)]
    for line in refused[:EXAMPLES]:
        watcher.say(line)


def summary(
    folder: str,
    indexes: list[shard_index.ShardIndex],
    settled: Settled,
    batches: list[MembersDone],
    options: ExtractOptions,
    seconds: float,
) -> ExtractSummary:
    """Add up what became of the members."""
    counts = sum((batch.counts for batch in batches), Counter[str]())
    shortfalls = [
        refusal(settled, options.max_rejects),
        trouble.unwritten(counts["unwritable"], "file", folder),
        "" if options.allow_damaged else shard_index.shortfall(indexes, "the folder"),
    ]
    rejects = settled.rejects + Counter(
        {"unwritable": counts["unwritable"], ledger.DAMAGED: len(shard_index.damaged(indexes))}
    )
    return ExtractSummary(
        data=folder,
        shards=len(indexes),
        files=counts["written"] + counts["replaced"],
        bytes=sum(batch.written for batch in batches),
        skipped=counts["unchanged"] + counts["kept"],
        rejects={reason: count for reason, count in sorted(rejects.items()) if count},
        seconds=seconds,
        lost=pa.concat_tables([settled.lost, shard_index.damage_lines(indexes)]),
        shortfall=" ".join(filter(None, shortfalls)),
    )


def refusal(settled: Settled, most: float) -> str:
    """Say in one sentence that too many members became no file; empty if they are few."""
    refused = settled.rejects.total()
    members = refused + len(settled.lines)
    if refused <= most * members:
        return ""
    return (
        f"{refused:,} of {members:,} members of the shards became no file, more than the share of"
        f" {most:g} that --max-rejects allows (the first: {settled.examples[0]}): unpack shards"
        " that use the same names into folders of their own, or raise --max-rejects."
    )


def shards_below(
    folder: str, shards: shard_names.ShardSet, options: ExtractOptions
) -> dict[bytes, int]:
    """Find the shards that are in the folder themselves: their paths there, and their sizes.

    Where files are replaced that have the right size, no size is that of a shard.
    """
    if "://" in shards.root:
        return {}
    root = os.path.realpath(folder)
    paths = [os.path.realpath(f"{shards.root}/{name}") for name in shards.names]
    return {
        os.fsencode(os.path.relpath(path, root)): -1 if options.overwrite else os.path.getsize(path)
        for path in paths
        if path.startswith(f"{root}/")
    }


def made_folder(data: disk.AnyPath) -> str:
    """Make the folder to unpack into, if it is not there."""
    path = disk.new_data_folder(data)
    disk.make_folder(path)
    return path


def most_needed(lines: pa.Table, folder: str) -> space.Room:
    """Say what room the files of some lines need, if none of them is there."""
    each = space.room_for(1, folder).bytes  # of the blocks of a file, the last one is not full
    return space.Room((pc.sum(lines["size"]).as_py() or 0) + len(lines) * each, len(lines))


def make_folders(paths: list[bytes], context: ExtractContext) -> MembersDone:
    """Make the members that are folders, so that empty ones are there, too."""
    refused = []
    with SmallFiles(context.folder) as files:
        for path in paths:
            try:
                files.enter(os.fsdecode(path))
            except OSError as error:
                if error.errno not in trouble.BLOCKED:
                    raise
                refused.append(f"{texts.shown_path(path)}: unwritable: {error.strerror}")
    return MembersDone(Counter(unwritable=len(refused)), 0, 0, tuple(refused))


# On a worker from here on.


def needed(parts: Iterable[plan_file.Part], context: ExtractContext) -> list[space.Room]:
    """Say what room the files of some parts need that are not there yet."""
    began = perf_counter()
    with SmallFiles(context.folder) as files:
        needs = [
            files.lacks(os.fsdecode(path), size, kept=not context.overwrite)
            for part in parts
            for lines in [part.lines()]
            for path, size in zip(lines["path"].to_pylist(), lines["size"].to_pylist(), strict=True)
        ]
    return [free_space.told_of_room(needs, began)]


def extract_parts(parts: Iterable[plan_file.Part], context: ExtractContext) -> list[MembersDone]:
    """Extract some parts, one after the other, and tell of each."""
    batches = []
    for part in parts:
        began = perf_counter()
        with context_meter.meter("copy"):
            batch = extract_part(part, context)
        rejects = {name: count for name, count in batch.counts.items() if name == "unwritable"}
        done = events.Done(
            task=f"part {part.index:05}",
            amount=batch.bytes,
            made={name: n for name, n in batch.counts.items() if name not in rejects},
            rejects=rejects,
            seconds=perf_counter() - began,
            examples={name: events.example(batch.refused[-1]) for name in rejects},
        )
        context_meter.digest_metric("copy", batch.written, "bytes")
        events.tell(done)
        batches.append(batch)
    return batches


def extract_part(part: plan_file.Part, context: ExtractContext) -> MembersDone:
    """Extract the members of a part, and make them durable before anything says it is done."""
    counts, written, refused = Counter[str](), 0, []
    lines = part.lines()
    columns = (lines[name].to_pylist() for name in ("path", "offset", "size"))
    with (
        context.shards.opened_as_listed(lines) as shard,
        SmallFiles(context.folder, context.staging) as files,
    ):
        for path, offset, size in zip(*columns, strict=True):
            copy = partial(shard.copy, offset, size)
            may_go = partial(is_debris, path, shard, offset)
            try:
                outcome = files.put_made(
                    os.fsdecode(path), size, copy, may_go, overwrite=context.overwrite
                )
            except OSError as error:
                if error.errno not in trouble.BLOCKED:
                    raise
                outcome = "unwritable"
                refused.append(
                    f"{line_format.shown_source(part.shard, path)}: {outcome}: {error.strerror}"
                )
            if outcome == "kept" and path.endswith(CAPTION_FILE):
                outcome = "unchanged"  # likely the caption that `captions` has written
            counts[outcome] += 1
            written += size if outcome in {"written", "replaced"} else 0
        files.sync()
    return MembersDone(counts, pc.sum(lines["size"]).as_py(), written, tuple(refused[:EXAMPLES]))
