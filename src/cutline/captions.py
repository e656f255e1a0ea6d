"""One caption text file beside each image: the captions job.

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
import pyarrow.parquet as pq
from distributed import Client
from distributed.metrics import context_meter

from cutline import events, store, watch
from cutline.data import data_folder
from cutline.options import DEFAULTS, CompileOptions
from cutline.records import key, path_fault
from cutline.room import check_room, told_of_room
from cutline.running import results
from cutline.slices import Slice, slices_of
from cutline.sources import open_source
from cutline.summary import Summary
from cutline.table import compile_table

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
        unwritten = store.unwritten(self.rejects.get("unwritable", 0), "caption file", self.data)
        return " ".join(filter(None, [unwritten, self.compiled]))


@dataclass(frozen=True, slots=True)
class Job:
    """What every task has to know: the folder of the images, and where attempts are written."""

    folder: str
    staging: str


class Caption(NamedTuple):
    """One element of the bag: a caption, and the image that it belongs to."""

    filename: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class FilesDone:
    """What became of the caption files of one slice."""

    counts: Counter[str]

    @property
    def rows(self) -> int:
        """How many rows the slice had."""
        return self.counts.total()


def write_captions(
    source: store.AnyPath,
    data: store.AnyPath,
    options: CompileOptions = DEFAULTS,
    *,
    client: Client | None = None,
    watcher: watch.Watcher = watch.SILENT,
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
    clock = watch.Clock()
    source = os.fspath(source)
    folder = data_folder(data)
    workspace = store.Workspace.below(folder)
    scratch = f"{workspace.folder}/captions.parquet"
    with store.locked(workspace, watcher.say, force=options.force_unlock) as staging:
        job = Job(folder, staging)
        shortfall = ""
        if is_table(source):
            counts = caption_files(source, job, client, watcher)
        else:
            # It is read once and removed: packed, the merge of 200,000 rows takes 0.6 s, not 0.4.
            unpacked = replace(options, compression="none")
            compiled = compile_table(source, scratch, unpacked, client=client, watcher=watcher)
            counts = caption_files(scratch, job, client, watcher) + Counter(compiled.rejects)
            shortfall = compiled.shortfall
        store.Outputs(scratch).remove()
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
    table: str, job: Job, client: Client | None, watcher: watch.Watcher
) -> Counter[str]:
    """Write the caption files of a table, and count what became of them."""
    slices = slices_of(table)
    if not slices:
        return Counter()
    if have_no_image(slices[0], job.folder):
        watcher.say(
            f"None of the first images that have a caption is in {job.folder}: their caption files"
            " will stand there alone."
        )
    most, lacking = most_needed(slices, job.folder), room_bag(slices, job)
    check_room("The caption files", job.folder, most, lacking, client, watcher)
    load = watch.Load(sum(one.rows for one in slices), "rows")
    batches = results(captions_bag(slices, job), client, watcher, load)
    return sum((batch.counts for batch in batches), Counter[str]())


def have_no_image(first: Slice, folder: str) -> bool:
    """Tell whether no image of the first rows is in a folder: likely it is another one's."""
    names = first.read(["filename"])["filename"].slice(0, LOOKED_FOR).to_pylist()
    return not any(
        name and not path_fault(name) and os.path.lexists(f"{folder}/{name}") for name in names
    )


def captions_bag(slices: list[Slice], job: Job) -> db.Bag:
    """Wire the bag: captions, then their files; the steps fuse to one task a slice."""
    captions = db.from_sequence(slices, partition_size=1).map_partitions(read_captions)
    batches: db.Bag = captions.map_partitions(write_files, job, token="write-caption-files")
    return batches


def room_bag(slices: list[Slice], job: Job) -> db.Bag:
    """Wire the bag: captions, then the room that their files need."""
    captions = db.from_sequence(slices, partition_size=1).map_partitions(read_captions)
    rooms: db.Bag = captions.map_partitions(needed, job.folder, token="look-for-room")
    return rooms


def most_needed(slices: list[Slice], folder: str) -> store.Room:
    """Say what the caption files of some slices need at most, from the footer of their table."""
    metadata = pq.read_metadata(slices[0].table)
    captions = metadata.schema.to_arrow_schema().get_field_index("caption")
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    text = sum(group.column(captions).total_uncompressed_size for group in groups)
    one = store.room_for(1, folder)
    return store.Room(text + metadata.num_rows * one.bytes, metadata.num_rows)


# On a worker from here on.


def read_captions(slices: Iterable[Slice]) -> Iterator[Caption]:
    """Read the captions of some slices."""
    for one in slices:
        with context_meter.meter("read"):
            rows = one.read(["filename", "caption"])
            columns = [column.to_pylist() for column in rows.columns]
        yield from map(Caption, *columns)


def needed(captions: Iterable[Caption], folder: str) -> list[store.Room]:
    """Say what the caption files of a slice need that are not there yet."""
    began = perf_counter()
    with store.SmallFiles(folder) as files:
        needs = [
            files.lacks(key(caption.filename) + ".txt", len(caption.text.encode()))
            for caption in captions
            if caption.filename and caption.text and not path_fault(caption.filename)
        ]
    return [told_of_room(needs, began)]


def write_files(captions: Iterable[Caption], job: Job) -> list[FilesDone]:
    """Write caption files, and make them durable before anything says that they are done."""
    began = perf_counter()
    counts: Counter[str] = Counter()
    examples = {}
    with context_meter.meter("write"), store.SmallFiles(job.folder, job.staging) as files:
        for caption in captions:
            became = write_file(caption, files)
            counts[became] += 1
            if became not in MADE:
                examples[became] = events.example(caption.filename)
        files.sync()
    batch = FilesDone(counts)
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


def write_file(caption: Caption, files: store.SmallFiles) -> str:
    """Write one caption file, and say what became of it."""
    filename, text = caption
    if not filename or path_fault(filename):  # the table may be anybody's
        return "bad_image_name"
    if not text:
        return "no_caption"
    try:
        return files.put(key(filename) + ".txt", text.encode())
    except OSError as error:
        if error.errno not in store.BLOCKED:
            raise
        return "unwritable"
