"""What a compile has to do: its plan, and what of it an earlier run has done.

The parts that the last run left are checked against its plan while the source is listed: both take
about as long, and wait for different things. A receipt holds if nothing that the part was made from
has changed, and the new plan has the same sidecars in the same part.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyarrow as pa
from distributed import Client

from cutline.cluster import running
from cutline.errors import CutlineError, UsageError
from cutline.plan import beside, shard_index
from cutline.plan.plan_file import Part, cut, read_plan, write_plan
from cutline.plan.receipts import PartsContext, Receipt, check_parts, still_settled
from cutline.plan.selection import Selection
from cutline.plan.shard_index import ShardIndex
from cutline.progress import Watcher
from cutline.sources import Origin, Source, line_format, local_folder, shard_names
from cutline.store import TableFiles, trouble

__all__ = [
    "ALL",
    "MOST",
    "Plan",
    "PlanOptions",
    "Selection",
    "check_numbers",
    "default_part_size",
    "make_plan",
    "source_of",
    "space_to_finish",
]

FEWEST: Final = 500
"""Things that one task does at least: it waits about as long for its own files."""

MOST: Final = 10_000
"""Things that one task does at most."""

TASKS: Final = 64
"""Tasks that there are on shared storage, if each has enough to do."""

ALL: Final = Selection()


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How to plan.

    Attributes
    ----------
    identity
        Every option that changes the bytes of a part, written down.
    partition_size
        Sidecars a part; None for `default_part_size`.
    fresh
        Use nothing that an earlier run has left.
    images
        Find also the image beside each sidecar.
    measure
        Measure it where that is needed.
    selection
        Which sidecars to take.
    """

    identity: bytes
    partition_size: int | None
    fresh: bool = False
    images: bool = False
    measure: bool = False
    selection: Selection = ALL


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes
    ----------
    parts
        All parts.
    kept
        The receipts of the parts that need not be made again.
    indexes
        What is in each shard; None for loose sidecars.
    unlisted
        A sentence about the folders that cannot be listed; empty if there are none.
    """

    parts: list[Part]
    kept: list[Receipt]
    indexes: list[ShardIndex] | None
    unlisted: str = ""

    @property
    def missing(self) -> list[Part]:
        """The parts that have to be made."""
        done = {receipt.index for receipt in self.kept}
        return [part for part in self.parts if part.index not in done]


@dataclass(frozen=True, slots=True)
class _Before:
    """What the last run has left: its plan, and the receipts of parts that have not changed."""

    planned: list[Part]
    found: Iterator[Receipt]

    def holding(self, lines: pa.Table, partition_size: int) -> list[Receipt]:
        """Return the receipts that hold for a plan of these lines, once all are checked."""
        now = list(cut(lines, partition_size))
        return [
            receipt
            for receipt in self.found
            if receipt.index < len(now)
            and now[receipt.index].equals(self.planned[receipt.index].lines())
        ]

    def is_of(self, lines: pa.Table, held: list[Receipt]) -> bool:
        """Return whether the plan is that of these lines too, because all of its receipts hold."""
        covered = sum(part.sidecars for part in self.planned)
        return len(held) == len(self.planned) and covered == len(lines)


def make_plan(
    origin: Origin,
    files: TableFiles,
    options: PlanOptions,
    client: Client | None,
    watcher: Watcher,
) -> Plan:
    """List a source, write the listing as a plan, and find what of it is done.

    Shards are indexed for it. Parts behind the last one of the plan are removed, and the rejects of
    parts that will be made anew.

    Parameters
    ----------
    origin
        Where the sidecars are.
    files
        The files of the table, whose lock is held.
    options
        How to plan.
    client
        The cluster to work on; without one, Dask's scheduler of this process.
    watcher
        Who is told how far the job is.

    Raises
    ------
    CutlineError
        The source cannot be listed, or holds no sidecar.
    """
    context = PartsContext(source_of(origin, options), files, options.identity)
    with _checked(context, options, client, watcher) as before:
        refused = list[OSError]()
        lines, indexes = _listed(origin, files, options, client, watcher, refused)
        unlisted = local_folder.shown_refusals(refused)
        size = options.partition_size or default_part_size(len(lines), str(context.source))
        kept = before.holding(lines, size)
    if not len(lines):
        nothing = f"There is no .json file in {context.source}: name another folder."
        hints = [unlisted, *shard_names.passed_over(str(origin))]
        raise CutlineError(" ".join(filter(None, [nothing, *hints])))
    files.make_folders()
    # If it is the same it is not written again, which takes 0.1 s for a million sidecars.
    same = before.planned if before.is_of(lines, kept) else []
    parts = same or write_plan(lines, size, files.store, files.plan)
    kept = still_settled(kept)
    _drop_old(files, parts, kept)
    return Plan(parts, kept, indexes, unlisted)


def source_of(origin: Origin, options: PlanOptions) -> Source:
    """Return what reads the sidecars of a source on a worker."""
    source: Source = origin.source if isinstance(origin, shard_names.ShardSet) else origin
    return beside.PicturedSource(source, options.measure) if options.images else source


@contextmanager
def _checked(
    context: PartsContext, options: PlanOptions, client: Client | None, watcher: Watcher
) -> Iterator[_Before]:
    """Check the parts that are there while the block runs."""
    files = context.files
    schema = beside.PAIRED if options.images else line_format.LINES
    planned = [] if options.fresh else read_plan(files.store, files.plan, [schema])
    names = files.store.sizes(files.parts) if planned else {}
    there = [part for part in planned if files.part_name(part.index) in names]
    if not there:
        yield _Before(planned, iter(()))
        return
    each = running.things_a_task(len(there), client)
    bag = running.bag_of(there, check_parts, context, stage="check-parts", each=each)
    with running.sent(bag, client, watcher) as found:
        yield _Before(planned, found)


def _listed(
    origin: Origin,
    files: TableFiles,
    options: PlanOptions,
    client: Client | None,
    watcher: Watcher,
    refused: list[OSError],
) -> tuple[pa.Table, list[ShardIndex] | None]:
    if not isinstance(origin, shard_names.ShardSet):
        lines = options.selection.of(origin.list(refused.append, options.selection.limit))
        return (beside.paired(lines, origin.images(lines)) if options.images else lines), None
    files.store.make_folder(files.workspace.folder)
    index = partial(
        shard_index.index_shards,
        store=files.store,
        folder=files.indexes,
        client=client,
        watcher=watcher,
        fresh=options.fresh,
    )
    indexes = shard_index.index_enough(origin, options.selection.limit, index, files.store)
    lines = shard_index.sidecar_lines(indexes, files.store, images=options.images)
    if not len(lines) and shard_index.damaged(indexes):
        raise CutlineError(shard_index.shortfall(indexes, "the table has"))
    return options.selection.of(lines), indexes


def _drop_old(files: TableFiles, parts: list[Part], kept: list[Receipt]) -> None:
    names = {files.part_name(part.index) for part in parts}
    for name in files.store.sizes(files.parts):
        if files.is_part_name(name) and name not in names:
            files.store.remove(f"{files.parts}/{name}")
    rejects = {files.part_rejects(receipt.index, receipt.digest) for receipt in kept}
    for name in files.store.sizes(files.rejects):
        if f"{files.rejects}/{name}" not in rejects:
            files.store.remove(f"{files.rejects}/{name}")


def space_to_finish(files: TableFiles) -> int:
    """Estimate the bytes that the missing parts and then the table take.

    The measure is the parts that are done; a table is about as large as all of its parts together.
    """
    try:
        sizes = files.store.sizes(files.parts).values()
    except OSError:  # this is asked because of another error, which the user has to see
        return 0
    left = max(0, 2 * len(read_plan(files.store, files.plan)) - len(sizes))
    return left * sum(sizes) // max(len(sizes), 1)


def default_part_size(count: int, place: str) -> int:
    """Return how many of `count` things one task should do, by where they are.

    On a disk of this host a task costs more than it spares. Storage that hosts share takes long to
    answer, and many workers wait for it side by side; an object store does so for any number.

    Parameters
    ----------
    count
        How many sidecars or rows there are.
    place
        The folder or URL that has a file for each.
    """
    if "://" in place:
        return FEWEST
    return max(FEWEST, min(MOST, -(-count // TASKS))) if trouble.lags(place) else MOST


def check_numbers(partition_size: int | None, max_rejects: float) -> None:
    """Check numbers that several stages have among their options.

    Raises
    ------
    UsageError
        A part would be empty, or `max_rejects` is not between 0 and 1.
    """
    if partition_size is not None and partition_size < 1:
        raise UsageError("A part cannot be empty: raise --partition-size.")
    if not 0 <= max_rejects <= 1:
        raise UsageError("The most rejects are a share: give --max-rejects from 0 to 1.")
