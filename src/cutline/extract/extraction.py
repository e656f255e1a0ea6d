"""Tar shards to files: the extract job.

The driver indexes the shards, settles which member becomes which file, and cuts these into parts;
the functions below it run on a worker, one task a part. A file that bears the mark of its shard's
version is left alone, one of another version is made anew, and one that somebody made is kept.
"""

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client
from distributed.metrics import context_meter

from cutline import in_flight
from cutline.cluster import running, worker_checks
from cutline.errors import checked, flat
from cutline.extract.debris import CAPTION_FILE
from cutline.extract.extract_options import ExtractOptions
from cutline.extract.first_wins import EXAMPLES, Settled, settle
from cutline.extract.member_file import MemberFile
from cutline.plan import free_space, ledger, marks, plan_file, shard_index
from cutline.progress import SILENT, Clock, Load, Summary, Watcher, events
from cutline.record import texts
from cutline.sources import line_format, shard_names, tar_shards
from cutline.store import SmallFiles, Workspace, disk, space, trouble

DEFAULTS: Final = ExtractOptions()

SHARDS, PLAN = "shards", "plan.parquet"
"""In the workspace until all is extracted: the indexes of the shards, and the plan."""

FORMER: Final = "extract.cutline"
"""Where earlier versions kept the two; a run of theirs that was killed has left it."""


@dataclass(frozen=True, slots=True, repr=False)
class ExtractSummary(Summary):
    """What became of the members; `rejects` counts by reason those that became no file.

    `files` and `bytes` are what was written, `skipped` counts the files that were there already,
    and `edited` those among them that somebody made or edited, which were kept. `lost` are lines of
    a ledger: the sidecars that became no file, and what is damaged in the shards. `sidecars` is
    how many a listing must find there at least.
    """

    data: str
    shards: int
    files: int
    bytes: int
    skipped: int
    edited: int
    rejects: dict[str, int]
    seconds: float
    lost: pa.Table
    sidecars: int
    shortfall: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        body = asdict(self)
        del body["lost"], body["sidecars"], body["shortfall"]
        return {"job": "extract", **body}


@dataclass(frozen=True, slots=True)
class ExtractContext:
    """What every task carries: the shards, the folder, and where attempts are written.

    `marks` is whether the file system of the folder keeps them.
    """

    shards: tar_shards.Shards
    folder: str
    staging: str
    overwrite: bool
    marks: bool


@dataclass(frozen=True, slots=True)
class MembersDone:
    """What became of the members of one part; `refused` tells of some that could not be written.

    `bytes` is the size of all of them, `written` of those that were written; `edited` is the path
    of one that somebody has edited.
    """

    counts: Counter[str]
    bytes: int
    written: int
    refused: tuple[str, ...]
    edited: str = ""


@flat
@checked
@events.announced("extract", "index-shards", "extract-files")
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
    for line in shard_names.passed_over(source):
        watcher.say(line)
    folder = disk.new_data_folder(data)
    disk.make_folder(folder)
    workspace = Workspace.below(folder)
    own = workspace.folder
    with workspace.locked(watcher.say, force=options.force_unlock) as staging:
        store = workspace.store(staging)
        has_marks = _has_marks(staging, folder, watcher)
        context = ExtractContext(shards.source, folder, staging, options.overwrite, has_marks)
        written = worker_checks.writes(folder, workspace, store)
        with worker_checks.checked(client, watcher, written, worker_checks.reads_source(shards)):
            index = partial(
                shard_index.index_shards,
                store=store,
                folder=f"{own}/{SHARDS}",
                client=client,
                watcher=watcher,
            )
            indexes = shard_index.index_enough(shards, options.selection.limit, index, store)
            versions = [
                marks.shard_versions.version_of(index.shard, index.stamp) for index in indexes
            ]
            known = marks.shard_versions.remember(versions, own, store)
            settled = settle(indexes, store, options, _shards_within(folder, shards, options))
            settled = settled.without_moved(marks.moved_files.read(own, store), known)
            lines, size = settled.lines, options.partition_size
            parts = plan_file.write_plan(lines, size, store, f"{own}/{PLAN}")
            _check_room(lines, parts, context, client, watcher)
            done = [_make_folders(settled.folders["path"].unique().to_pylist(), context)]
            done += _write_files(parts, _bytes_of(lines), context, client, watcher)
        workspace.discard(SHARDS, PLAN, FORMER)
    _tell(done, settled, folder, watcher)
    return _summary(folder, indexes, settled, done, options, clock.total())


def _has_marks(staging: str, folder: str, watcher: Watcher) -> bool:
    with SmallFiles(folder, staging) as files:
        kept = files.keeps_nanoseconds
    if not kept:
        watcher.say(
            f"The file system of {folder} keeps no exact times, by which cutline knows its own"
            " files: none that is there is replaced without --overwrite."
        )
    return kept


def _check_room(
    lines: pa.Table,
    parts: list[plan_file.Part],
    context: ExtractContext,
    client: Client | None,
    watcher: Watcher,
) -> None:
    folder, lacking = context.folder, running.bag_of(parts, needed, context, stage="look-for-room")
    each = space.block_of(folder)  # of the blocks of a file, the last one is not full
    most = space.Room(_bytes_of(lines) + len(lines) * each, len(lines))
    free_space.check_room("The files of the shards", folder, most, lacking, client, watcher)


def _write_files(
    parts: list[plan_file.Part],
    size: int,
    context: ExtractContext,
    client: Client | None,
    watcher: Watcher,
) -> Iterable[MembersDone]:
    if not parts:
        return []
    files = running.bag_of(parts, extract_parts, context, stage="extract-files")
    return running.results(files, client, watcher, Load(size, "bytes"))


def _bytes_of(lines: pa.Table) -> int:
    return pc.sum(lines["size"]).as_py() or 0  # of no lines the sum is null


def _tell(batches: list[MembersDone], settled: Settled, folder: str, watcher: Watcher) -> None:
    if passed_over := settled.passed_over:
        watcher.say(
            f"Passed over {len(passed_over):,} members that macOS, Windows or a NAS has left in the"
            f" shards, such as {passed_over[0]}."
        )
    if edited := sum(batch.counts["edited"] for batch in batches):
        example = min(filter(None, (batch.edited for batch in batches)))
        watcher.say(
            f"{edited:,} files in {folder} were edited, such as {example}, and were left as they"
            " are: add --overwrite to have what the shards hold."
        )
    if settled.moved:
        watcher.say(f"{settled.moved:,} files that orphans were moved with stay away.")
    refused = [*settled.examples, *chain.from_iterable(batch.refused for batch in batches)]
    for line in refused[:EXAMPLES]:
        watcher.say(line)


def _summary(
    folder: str,
    indexes: list[shard_index.ShardIndex],
    settled: Settled,
    batches: list[MembersDone],
    options: ExtractOptions,
    seconds: float,
) -> ExtractSummary:
    counts = sum((batch.counts for batch in batches), Counter[str]())
    shortfalls = [
        _refusal(settled, options.max_rejects),
        trouble.unwritten(counts["unwritable"], "file", folder),
        "" if options.allow_damaged else shard_index.shortfall(indexes, "the folder has"),
    ]
    rejects = settled.rejects + Counter(
        {"unwritable": counts["unwritable"], ledger.DAMAGED: len(shard_index.damaged(indexes))}
    )
    return ExtractSummary(
        data=folder,
        shards=len(indexes),
        files=counts["written"] + counts["replaced"],
        bytes=sum(batch.written for batch in batches),
        skipped=counts["unchanged"] + counts["edited"],
        edited=counts["edited"],
        rejects={reason: count for reason, count in sorted(rejects.items()) if count},
        seconds=seconds,
        lost=pa.concat_tables([settled.lost, shard_index.damage_lines(indexes)]),
        sidecars=max(0, (pc.sum(settled.sidecars).as_py() or 0) - counts["unwritable"]),
        shortfall=" ".join(filter(None, shortfalls)),
    )


def _refusal(settled: Settled, most: float) -> str:
    refused = settled.rejects.total()
    members = refused + len(settled.lines)
    if refused <= most * members:
        return ""
    return (
        f"{refused:,} of {members:,} members of the shards became no file, more than the share of"
        f" {most:g} that --max-rejects allows (the first: {settled.examples[0]}): unpack shards"
        " that use the same names into folders of their own, or raise --max-rejects."
    )


def _shards_within(
    folder: str, shards: shard_names.ShardSet, options: ExtractOptions
) -> dict[bytes, int]:
    # Their paths in the folder and their sizes. With --overwrite, a member of the same size would
    # replace a shard too: then no size is that of a shard.
    if "://" in shards.root:
        return {}
    root = os.path.realpath(folder)
    paths = [os.path.realpath(f"{shards.root}/{name}") for name in shards.names]
    return {
        os.fsencode(os.path.relpath(path, root)): -1 if options.overwrite else os.path.getsize(path)
        for path in paths
        if path.startswith(f"{root}/")
    }


def _make_folders(paths: list[bytes], context: ExtractContext) -> MembersDone:
    refused = []
    with SmallFiles(context.folder) as files:
        for path in sorted(filter(None, paths)):
            try:
                files.enter(os.fsdecode(path))
            except OSError as error:
                if error.errno not in trouble.BLOCKED:
                    raise
                refused.append(f"{texts.shown_path(path)}: unwritable: {error.strerror}")
    return MembersDone(Counter(unwritable=len(refused)), 0, 0, tuple(refused))


# On a worker from here on.


def needed(parts: Iterable[plan_file.Part], context: ExtractContext) -> list[space.Room]:
    """Return what room those files of some parts need that are not there yet."""
    began = perf_counter()
    with SmallFiles(context.folder) as files:

        def lack(member: tuple[bytes, int]) -> space.Room:
            path, size = member
            return files.lacks(os.fsdecode(path), size, kept=not context.overwrite)

        every = (part.lines().select(["path", "size"]) for part in parts)
        members = (
            zip(*map(pa.ChunkedArray.to_pylist, lines.columns), strict=True) for lines in every
        )
        needs = [*in_flight.in_order(lack, chain.from_iterable(members))]
    return [free_space.told_of_room(needs, began)]


def extract_parts(parts: Iterable[plan_file.Part], context: ExtractContext) -> list[MembersDone]:
    """Extract some parts, one after the other, and tell the watcher of each."""
    batches = []
    for part in parts:
        began = perf_counter()
        with context_meter.meter("copy"):
            batch = _extract_part(part, context)
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


def _extract_part(part: plan_file.Part, context: ExtractContext) -> MembersDone:
    counts, written, refused, edited = Counter[str](), 0, [], ""
    lines = part.lines()
    columns = (lines[name].to_pylist() for name in ("path", "offset", "size"))
    known = marks.shard_versions.read(Workspace.below(context.folder).folder)
    version = marks.shard_versions.version_of(lines["shard"][0].as_py(), lines["stamp"][0].as_py())
    with (
        context.shards.opened_as_listed(lines) as shard,
        SmallFiles(context.folder, context.staging) as files,
    ):

        def put(member: tuple[bytes, int, int]) -> tuple[str, str]:
            path, _, size = member
            mark = known.mark(version, path, size) if context.marks else None
            try:
                return _put(MemberFile(path, shard, *member[1:], mark), files, known, context), ""
            except OSError as error:
                if error.errno not in trouble.BLOCKED:
                    raise
                return "unwritable", f"{error.strerror}"

        members = list(zip(*columns, strict=True))
        with closing(in_flight.in_order(put, members, most=shard.copiers)) as became:
            for (path, _, size), (outcome, why) in zip(members, became, strict=True):
                if why:
                    source = line_format.shown_source(part.shard, path)
                    refused.append(f"{source}: {outcome}: {why}")
                counts[outcome] += 1
                written += size if outcome in {"written", "replaced"} else 0
                if outcome == "edited":
                    edited = edited or texts.shown_path(path)
        files.sync()  # before anything says that the part is done
    return MembersDone(counts, _bytes_of(lines), written, tuple(refused[:EXAMPLES]), edited)


def _put(member: MemberFile, files: SmallFiles, known: marks.Known, context: ExtractContext) -> str:
    path = os.fsdecode(member.path)
    if context.overwrite:
        return files.put_made(path, member.write, lambda _: False, lambda *_: "")
    outcome = files.put_made(path, member.write, member.fits, partial(member.judge, known))
    if outcome == "edited" and member.path.endswith(CAPTION_FILE):
        return "unchanged"  # likely the caption that `captions` has written
    return outcome
