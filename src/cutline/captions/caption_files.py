"""One caption file beside each image.

The driver cuts the table into slices; the functions below it run on a worker, one task a slice. A
caption file that holds the right bytes is left alone, and so is one that somebody made or edited;
any other is published whole.
"""

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, Final, NamedTuple, TypeAlias

import dask.bag as db
from distributed import Client
from distributed.metrics import context_meter

from cutline import in_flight
from cutline.cluster import running, worker_checks
from cutline.errors import checked, flat
from cutline.plan import free_space, marks
from cutline.progress import SILENT, Clock, Load, Summary, Watcher, events
from cutline.record import TOO_LARGE, naming, texts
from cutline.sources import open_source
from cutline.store import SmallFiles, TableFiles, Workspace, disk, parquet, space, trouble
from cutline.table import DEFAULTS, CompileOptions, Slice, compile_table, slices_of

LOOKED_FOR: Final = 100
"""Images that are looked for before caption files are written to where they should be."""

MADE: Final = ("written", "replaced", "unchanged", "edited")
"""What may become of a caption file; any other word is the reason why a sample has none."""

WRITERS: Final = 16
"""Threads that write: more wait for each other, since a folder takes one new name at a time."""


@dataclass(frozen=True, slots=True, repr=False)
class CaptionsSummary(Summary):
    """What became of the caption files; `rejects` counts the samples that have none, by reason.

    `edited` are those that somebody made or edited, which were kept. `compiled` is the shortfall of
    the compile that comes first where the source is no table.
    """

    data: str
    written: int
    replaced: int
    unchanged: int
    edited: int
    rejects: dict[str, int]
    seconds: float
    compiled: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        body = asdict(self)
        del body["compiled"]
        return {"job": "captions", **body}

    @property
    def shortfall(self) -> str:
        """What was not done, in one sentence; empty if all was."""
        unwritten = trouble.unwritten(self.rejects.get("unwritable", 0), "caption file", self.data)
        return " ".join(filter(None, [unwritten, self.compiled]))


@dataclass(frozen=True, slots=True)
class CaptionsContext:
    """What every task carries: the folder of the images, and where attempts are written."""

    folder: str
    staging: str
    overwrite: bool = False


Due: TypeAlias = tuple[str, bytes, str]
"""The path of a file, its content, and why there is none.

A plain tuple: those of a named one are looked at in each collection of garbage.
"""


class Caption(NamedTuple):
    """What the caption file of an image holds, and how many captions that is."""

    filename: str | None
    text: str | None
    number: int

    @property
    def is_broken(self) -> bool:
        """Whether a caption of it has a line break."""
        text = self.text or ""
        return "\r" in text or text.count("\n") >= self.number > 0


@dataclass(frozen=True, slots=True)
class CaptionFilesDone:
    """What became of the caption files of one slice.

    `marks` names the file of their marks, `edited` one that somebody has edited, and `broken` is
    how many of them hold a caption with a line break.
    """

    counts: Counter[str]
    marks: str
    edited: str
    broken: int

    @property
    def rows(self) -> int:
        """How many rows the slice had."""
        return self.counts.total()


@flat
@checked
@events.announced("captions", "write-caption-files")
def write_captions(
    source: disk.AnyPath,
    data: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    overwrite: bool = False,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> CaptionsSummary:
    """Write one caption file beside each image.

    Parameters
    ----------
    source
        A table; or one path, URL or glob that `compile_table` takes, and then the same options
        decide what a row is.
    data
        The folder of the images.
    options
        How to compile a source that is not a table.
    overwrite
        Replace also caption files that somebody made or edited.
    client
        The Dask cluster to work on; without one, Dask's scheduler of this process.
    watcher
        Who is told how far the job is.

    Raises
    ------
    UsageError
        There is no such table, source or folder.
    CutlineError
        The job cannot go on. Every caption file that is there is whole.
    """
    clock = Clock()
    source = os.fspath(source)
    folder = disk.data_folder(data)
    workspace = Workspace.below(folder)
    scratch = f"{workspace.folder}/captions.parquet"
    counts, shortfall = Counter[str](), ""
    with workspace.locked(watcher.say, force=options.force_unlock) as staging:
        context, table = CaptionsContext(folder, staging, overwrite), source
        if not is_table(source):
            if os.path.islink(scratch):  # a table's is followed, but a scratch table's leads astray
                disk.remove(scratch)
            # It is read once and removed: packed, the merge of 200,000 rows takes 0.6 s, not 0.4.
            unpacked = replace(options, compression="none")
            compiled = compile_table(source, scratch, unpacked, client=client, watcher=watcher)
            table, shortfall = scratch, compiled.shortfall
            counts.update(compiled.rejects)
        written = worker_checks.writes(folder, workspace, workspace.store(staging))
        if slices := slices_of(table, beside=folder):
            _warn_of_no_images(slices[0], folder, watcher)
            read = worker_checks.reads_table(table)
            with worker_checks.checked(client, watcher, written, read):
                _check_room(slices, context, client, watcher)
                counts.update(_write_caption_files(slices, context, client, watcher))
        TableFiles.at(scratch).remove()
    return _summary(folder, counts, clock.total(), shortfall)


def caption_source(source: str) -> None:
    """Check the SOURCE argument of a command.

    Raises
    ------
    UsageError
        It is neither a table nor anything that `compile_table` takes.
    """
    if is_table(source):
        slices_of(source)
    else:
        open_source(source)


def is_table(source: str) -> bool:
    """Return whether a SOURCE argument is a table: by its name, and no folder."""
    return source.endswith(".parquet") and not os.path.isdir(source)


def _warn_of_no_images(first: Slice, folder: str, watcher: Watcher) -> None:
    # Where none of the first images is in the folder, it is likely that of another table.
    names = first.read(["filename"])["filename"].slice(0, LOOKED_FOR).to_pylist()
    if not any(
        name and not naming.path_fault(name) and os.path.lexists(f"{folder}/{name}")
        for name in names
    ):
        watcher.say(
            f"None of the first images that have a caption is in {folder}: their caption files"
            " will stand there alone."
        )


def _check_room(
    slices: list[Slice], context: CaptionsContext, client: Client | None, watcher: Watcher
) -> None:
    lacking = _captions(slices).map_partitions(needed, context.folder, token="look-for-room")
    most = _most_needed(slices[0].files, context.folder)
    free_space.check_room("The caption files", context.folder, most, lacking, client, watcher)


def _most_needed(table: TableFiles, folder: str) -> space.Room:
    metadata = parquet.footer_of(table.store, table.table)
    captions = metadata.schema.to_arrow_schema().get_field_index("caption")
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    text = sum(group.column(captions).total_uncompressed_size for group in groups)
    one = space.room_for(1, space.block_of(folder))
    return space.Room(text + metadata.num_rows * one.bytes, metadata.num_rows)


def _write_caption_files(
    slices: list[Slice], context: CaptionsContext, client: Client | None, watcher: Watcher
) -> Counter[str]:
    load = Load(sum(one.rows for one in slices), "rows")
    done = list(running.results(captions_bag(slices, context), client, watcher, load))
    counts = sum((one.counts for one in done), Counter[str]())
    workspace = Workspace.below(context.folder)
    marks.caption_marks.merge(
        {one.marks for one in done},
        workspace.folder,
        workspace.store(context.staging),
        prune=not counts["unwritable"],
    )
    if edited := counts["edited"]:
        example = min(one.edited for one in done if one.edited)
        watcher.say(
            f"{edited:,} caption files in {context.folder} were edited, such as {example}, and were"
            " left as they are: add --overwrite to have what the table says."
        )
    if broken := sum(one.broken for one in done):
        watcher.say(
            f"{broken:,} caption files hold a caption with a line break, and the trainer takes each"
            " line for a caption of its own: leave --raw-captions out to have each on one line."
        )
    return counts


def captions_bag(slices: list[Slice], context: CaptionsContext) -> db.Bag:
    """Build the bag of captions, then their files: the two fuse to one task a slice."""
    files: db.Bag = _captions(slices).map_partitions(
        write_files, context, token="write-caption-files"
    )
    return files


def _captions(slices: list[Slice]) -> db.Bag:
    bag: db.Bag = db.from_sequence(slices, partition_size=1).map_partitions(read_captions)
    return bag


def _summary(folder: str, counts: Counter[str], seconds: float, compiled: str) -> CaptionsSummary:
    done = {name: counts.pop(name, 0) for name in MADE}
    rejects = dict(sorted(counts.items()))
    return CaptionsSummary(folder, **done, rejects=rejects, seconds=seconds, compiled=compiled)


# On a worker from here on.


def read_captions(slices: Iterable[Slice]) -> Iterator[Caption]:
    """Yield the captions of some slices."""
    for one in slices:
        with context_meter.meter("read"):
            rows = one.read(["filename", "caption"])
            filenames, captions = (column.to_pylist() for column in rows.columns)
        for filename, cell in zip(filenames, captions, strict=True):
            yield Caption(filename, texts.caption_file(cell), len(texts.captions_in(cell)))


def needed(captions: Iterable[Caption], folder: str) -> list[space.Room]:
    """Return what room those caption files of a slice need that are not there yet."""
    began = perf_counter()
    with SmallFiles(folder) as files:

        def lack(due: Due) -> space.Room:
            return files.lacks(due[0], len(due[1]))

        every = map(_due, captions)
        needs = [*in_flight.in_order(lack, (due for due in every if not due[2]))]
    return [free_space.told_of_room(needs, began)]


def write_files(captions: Iterable[Caption], context: CaptionsContext) -> list[CaptionFilesDone]:
    """Write caption files, and make them durable before anybody hears that they are done."""
    began = perf_counter()
    due, broken = [], 0
    for caption in captions:
        due.append(_due(caption))
        broken += caption.is_broken
    workspace = Workspace.below(context.folder)
    own = ((path.encode(), text) for path, text, reason in due if not reason)
    remembered = marks.caption_marks.remember(
        own, workspace.folder, workspace.store(context.staging)
    )
    mine = marks.OwnCaptions(context.folder)
    judge = (lambda *_: "") if context.overwrite else partial(_judge, mine)
    counts, examples = Counter[str](), {}
    with context_meter.meter("write"), SmallFiles(context.folder, context.staging) as files:
        with closing(_written(due, partial(_write_file, files, judge))) as written:
            for path, became in written:
                counts[became] += 1
                if became not in {"written", "replaced", "unchanged"}:  # nobody asks for one
                    examples[became] = events.example(path)
        files.sync()
    edited = examples.pop("edited", "")
    batch = CaptionFilesDone(counts, remembered, edited, broken)
    done = events.Done(
        amount=batch.rows,
        made={name: counts[name] for name in MADE},
        rejects={name: count for name, count in counts.items() if name not in MADE},
        seconds=perf_counter() - began,
        examples=examples,
    )
    events.count(done)
    events.tell(done)
    return [batch]


def _due(caption: Caption) -> Due:
    filename, text, _ = caption
    if not filename or naming.path_fault(filename):  # the table may be anybody's
        return filename or "", b"", "bad_image_name"
    if not text:
        return filename, b"", "no_caption"
    return naming.key(filename) + ".txt", text.encode(), ""


def _written(due: list[Due], write: Callable[[Due], str]) -> Generator[tuple[str, str], None, None]:
    # Of captions for one file the last one stays, so no two of them are written at once.
    last = {one[0]: one for one in due}
    if len(last) < len(due):
        yield from ((one[0], write(one)) for one in due if last[one[0]] is not one)
    yield from zip(last, in_flight.in_order(write, last.values(), most=WRITERS), strict=True)


def _write_file(files: SmallFiles, judge: Callable[[str, int], str], due: Due) -> str:
    path, text, reason = due
    try:
        return reason or files.put(path, text, judge)
    except OSError as error:
        if error.errno not in trouble.BLOCKED:
            raise
        return "unwritable"


def _judge(mine: marks.OwnCaptions, path: str, file: int) -> str:
    """Return why a caption file that says something else stays; "" if it is replaced."""
    status = os.fstat(file)
    text = os.pread(file, min(status.st_size, TOO_LARGE), 0)
    # Blank ones are nobody's: a trainer stops at them.
    is_own = not text.strip() or mine.wrote(path.encode(), text, status.st_mtime_ns)
    return "" if is_own else "edited"
