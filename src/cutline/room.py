"""Is there room for the caption files? Asked before the first of them is written."""

from collections.abc import Iterable
from time import perf_counter

import dask.bag as db
import pyarrow.parquet as pq
from distributed import Client

from cutline import events, store, watch
from cutline.errors import CutlineError
from cutline.records import key, path_fault
from cutline.running import results
from cutline.slices import Caption, Slice, read_captions


def check_room(
    slices: list[Slice], folder: str, client: Client | None, watcher: watch.Watcher
) -> None:
    """Refuse caption files that the file system of their folder has no room for.

    Only if there is no room for all of them, were they new and of the worst size, does it look at
    which are there already: a second run on a full disk has nothing to write.

    Raises
    ------
    CutlineError
        There is no room.
    """
    free = store.free_room(folder)
    if free.holds(most_needed(slices, folder)):
        return
    captions = db.from_sequence(slices, partition_size=1).map_partitions(read_captions)
    bag = captions.map_partitions(needed, folder, token="look-for-room")
    needs = sum(results(bag, client, watcher), store.Room())
    if not free.holds(needs):
        raise CutlineError(
            f"The caption files take {store.shown_size(needs.bytes)} and {needs.inodes:,} inodes,"
            f" but {store.shown_room(folder)}: make room and run this again."
        )


def most_needed(slices: list[Slice], folder: str) -> store.Room:
    """Say what the caption files of some slices need at most, from the footer of their table."""
    metadata = pq.read_metadata(slices[0].table)
    captions = metadata.schema.to_arrow_schema().get_field_index("caption")
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    text = sum(group.column(captions).total_uncompressed_size for group in groups)
    one = store.room_for(1, folder)
    return store.Room(text + metadata.num_rows * one.bytes, metadata.num_rows)


# On a worker from here on.


def needed(captions: Iterable[Caption], folder: str) -> list[store.Room]:
    """Say what the caption files of a slice need that are not there yet."""
    began = perf_counter()
    with store.SmallFiles(folder) as files:
        needs = [
            files.lacks(key(caption.filename) + ".txt", len(caption.text.encode()))
            for caption in captions
            if caption.filename and caption.text and not path_fault(caption.filename)
        ]
    tell_of_room(needs, began)
    return [sum(needs, store.Room())]


def tell_of_room(needs: list[store.Room], began: float) -> None:
    """Tell of the files that a task has looked for."""
    files = {"files looked for": len(needs)}
    events.tell(events.Done(len(needs), files, {}, perf_counter() - began))
