"""One caption text file beside each image: the captions context.

The driver on top cuts the table into slices; the small functions below it run on a worker, one
task a slice. There is no state: a caption file that holds the right bytes is left alone, and
anything else is published whole.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any, Final, NamedTuple

import dask.bag as db
from distributed import Client
from distributed.metrics import context_meter

from cutline.cluster import running
from cutline.plan import free_space
from cutline.progress import SILENT, Clock, Load, Summary, Watcher, events
from cutline.record import naming
from cutline.sources import open_source
from cutline.store import SmallFiles, TableFiles, Workspace, disk, parquet, space, trouble
from cutline.table import DEFAULTS, CompileOptions, Slice, compile_table, slices_of

LOOKED_FOR: Final = 100
"""Images that are looked for before caption files are written to where they should be."""

MADE: Final = ("written", "replaced", "unchanged")
"""What becomes of a caption file; anything else is the reason why a sample has none."""


@dataclass(frozen=True, slots=True, repr=False)
class CaptionsSummary(Summary):
    """What became of the caption files; `rejects` counts the samples that have none by reason.

    `compiled` is what fell short in the compile of sidecars that comes first.
    """

    data: str
    written: int
    replaced: int
    unchanged: int
    rejects: dict[str, int]
    seconds: float
    compiled: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints."""
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
    """What every task has to know: the folder of the images, and where attempts are written."""

    folder: str
    staging: str


class Caption(NamedTuple):
    """One element of the bag: a caption, and the image that it belongs to."""

    filename: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class CaptionFilesDone:
    """What became of the caption files of one slice."""

    counts: Counter[str]

    @property
    def rows(self) -> int:
        """How many rows the slice had."""
        return self.counts.total()


def write_captions(
    source: disk.AnyPath,
    data: disk.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> CaptionsSummary:
    """Write one caption text file beside each image.

    Parameters
    ----------
    source
        A table; or one path, URL or glob that `compile_table` takes, and then the same options
        decide what a row is.
    data
        The folder of the images.
    options
        How to compile a source that is not a table.
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
    with workspace.locked(watcher.say, force=options.force_unlock) as staging:
        context = CaptionsContext(folder, staging)
        shortfall = ""
        if is_table(source):
            counts = caption_files(source, context, client, watcher)
        else:
            # It is read once and removed: packed, the merge of 200,000 rows takes 0.6 s, not 0.4.
            unpacked = replace(options, compression="none")
            compiled = compile_table(source, scratch, unpacked, client=client, watcher=watcher)
            counts = caption_files(scratch, context, client, watcher) + Counter(compiled.rejects)
            shortfall = compiled.shortfall
        TableFiles.at(scratch).remove()
    done = {name: counts.pop(name, 0) for name in MADE}
    rejects = dict(sorted(counts.items()))
    return CaptionsSummary(
        folder, **done, rejects=rejects, seconds=clock.total(), compiled=shortfall
    )


def caption_source(source: str) -> None:
    """Check a SOURCE argument."""
    if is_table(source):
        slices_of(source)
    else:
        open_source(source)


def is_table(source: str) -> bool:
    """Tell whether a SOURCE argument is a table."""
    return source.endswith(".parquet") and not os.path.isdir(source)


def caption_files(
    table: str, context: CaptionsContext, client: Client | None, watcher: Watcher
) -> Counter[str]:
    """Write the caption files of a table, and count what became of them."""
    slices = slices_of(table)
    if not slices:
        return Counter()
    if have_no_image(slices[0], context.folder):
        watcher.say(
            f"None of the first images that have a caption is in {context.folder}: their caption"
            " files will stand there alone."
        )
    most, lacking = most_needed(slices, context.folder), room_bag(slices, context)
    free_space.check_room("The caption files", context.folder, most, lacking, client, watcher)
    load = Load(sum(one.rows for one in slices), "rows")
    batches = running.results(captions_bag(slices, context), client, watcher, load)
    return sum((batch.counts for batch in batches), Counter[str]())


def have_no_image(first: Slice, folder: str) -> bool:
    """Tell whether no image of the first rows is in a folder: likely it is another one's."""
    names = first.read(["filename"])["filename"].slice(0, LOOKED_FOR).to_pylist()
    return not any(
        name and not naming.path_fault(name) and os.path.lexists(f"{folder}/{name}")
        for name in names
    )


def captions_bag(slices: list[Slice], context: CaptionsContext) -> db.Bag:
    """Wire the bag: captions, then their files; the steps fuse to one task a slice."""
    captions = db.from_sequence(slices, partition_size=1).map_partitions(read_captions)
    batches: db.Bag = captions.map_partitions(write_files, context, token="write-caption-files")
    return batches


def room_bag(slices: list[Slice], context: CaptionsContext) -> db.Bag:
    """Wire the bag: captions, then the room that their files need."""
    captions = db.from_sequence(slices, partition_size=1).map_partitions(read_captions)
    rooms: db.Bag = captions.map_partitions(needed, context.folder, token="look-for-room")
    return rooms


def most_needed(slices: list[Slice], folder: str) -> space.Room:
    """Say what the caption files of some slices need at most, from the footer of their table."""
    files = slices[0].files
    metadata = parquet.footer_of(files.store, files.table)
    captions = metadata.schema.to_arrow_schema().get_field_index("caption")
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    text = sum(group.column(captions).total_uncompressed_size for group in groups)
    one = space.room_for(1, folder)
    return space.Room(text + metadata.num_rows * one.bytes, metadata.num_rows)


# On a worker from here on.


def read_captions(slices: Iterable[Slice]) -> Iterator[Caption]:
    """Read the captions of some slices."""
    for one in slices:
        with context_meter.meter("read"):
            rows = one.read(["filename", "caption"])
            columns = [column.to_pylist() for column in rows.columns]
        yield from map(Caption, *columns)


def needed(captions: Iterable[Caption], folder: str) -> list[space.Room]:
    """Say what the caption files of a slice need that are not there yet."""
    began = perf_counter()
    with SmallFiles(folder) as files:
        needs = [
            files.lacks(naming.key(caption.filename) + ".txt", len(caption.text.encode()))
            for caption in captions
            if caption.filename and caption.text and not naming.path_fault(caption.filename)
        ]
    return [free_space.told_of_room(needs, began)]


def write_files(captions: Iterable[Caption], context: CaptionsContext) -> list[CaptionFilesDone]:
    """Write caption files, and make them durable before anything says that they are done."""
    began = perf_counter()
    counts: Counter[str] = Counter()
    examples = {}
    with context_meter.meter("write"), SmallFiles(context.folder, context.staging) as files:
        for caption in captions:
            became = write_file(caption, files)
            counts[became] += 1
            if became not in MADE:
                examples[became] = events.example(caption.filename)
        files.sync()
    batch = CaptionFilesDone(counts)
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


def write_file(caption: Caption, files: SmallFiles) -> str:
    """Write one caption file, and say what became of it."""
    filename, text = caption
    if not filename or naming.path_fault(filename):  # the table may be anybody's
        return "bad_image_name"
    if not text:
        return "no_caption"
    try:
        return files.put(naming.key(filename) + ".txt", text.encode())
    except OSError as error:
        if error.errno not in trouble.BLOCKED:
            raise
        return "unwritable"
