"""What is wrong with a table whose images stay in shards, and with webshart's index of them.

All of it is done on the client, shard by shard: of the shards only the headers of a sample of
images are read.
"""

import os
from collections.abc import Iterator
from io import BytesIO
from itertools import accumulate
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from distributed import Client

from cutline.plan import plan_file
from cutline.progress import Load, Watcher
from cutline.record import texts
from cutline.sources import tar_shards
from cutline.store import TableFiles
from cutline.table import Slice, slices_of
from cutline.trainers import loader, webshart
from cutline.verify import check_rows
from cutline.verify.checks import Finding, Findings, VerifyOptions, found, merged, miscount

HEAD: Final = 1 << 16
"""Bytes of an image that are read for its header, at first."""


def check_shards(
    files: TableFiles, data: str, options: VerifyOptions, client: Client | None, watcher: Watcher
) -> tuple[Findings, int]:
    """Check rows, members and index of a table whose lock is held.

    Parameters
    ----------
    files
        The files of the table.
    data
        The folder of its shards.
    options, client, watcher
        As for `verify_dataset`.

    Returns
    -------
    tuple
        The findings, and how many images there are for the rows.

    Raises
    ------
    UsageError
        The table was not compiled from these shards, or they have changed since.
    """
    sharded = webshart.open_sharded(files, data, client, watcher)
    slices = slices_of(files.table)
    several = list(_check_rows(slices, watcher))
    images, rows = 0, sum(one.rows for one in slices)
    with watcher.stage("verify-index", Load(len(sharded.each), "shards")) as advance:
        for index, samples in sharded.samples():
            chosen = [options.is_sampled(images + place, rows) for place in range(len(samples))]
            with sharded.shards.source.opened(index.shard) as shard:
                due = webshart.index_of(shard.size, samples)
                several += [
                    _check_index(files.webshart, webshart.index_name(index.shard), due),
                    _check_sizes(samples.filter(pa.array(chosen, pa.bool_())), shard),
                ]
            images += len(samples)
            advance(1)
    names = {webshart.index_name(one.index.shard) for one in sharded.each}
    sidecars = sum(part.sidecars for part in plan_file.read_plan(files.store, files.plan))
    caches = loader.stale_caches(loader.entry_file(files.table), files.table)
    own = {
        "rows_without_image": found(sharded.lost["filename"].to_pylist()),
        "index_entries": found(_strangers(files.webshart, names)),
        "stale_caches": found(caches),
    }
    if options.expect is not None:
        own["sidecar_count"] = miscount(sidecars, options.expect)
    return merged([own, *several]), images


def _check_rows(slices: list[Slice], watcher: Watcher) -> Iterator[Findings]:
    firsts = accumulate((one.rows for one in slices), initial=0)
    names = []
    with watcher.stage("verify-rows", Load(sum(one.rows for one in slices), "rows")) as advance:
        for one, first in zip(slices, firsts, strict=False):
            rows = check_rows.Rows.read(one)
            yield check_rows.check_cells(rows, first)
            names.append(rows.table["filename"].combine_chunks())
            advance(one.rows)
    yield {"duplicate_filenames": _duplicates(pa.chunked_array(names))}


def _duplicates(names: pa.ChunkedArray) -> Finding:
    counts = pc.value_counts(names.drop_null())
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    more = sum(twice.field("counts").to_pylist()) - len(twice)
    return Finding(more, found(twice.field("values").to_pylist()).examples)


def _check_index(folder: str, name: str, due: bytes) -> Findings:
    """Compare the index of a shard with the one that is due."""
    try:
        with open(f"{folder}/{name}", "rb") as file:
            there = file.read()
    except FileNotFoundError:
        return {"index_entries": found([f"{name}: there is no such index"])}
    return {"index_entries": found([] if there == due else _differences(name, there, due))}


def _differences(name: str, there: bytes, due: bytes) -> list[str]:
    try:
        own, expected = orjson.loads(there), orjson.loads(due)
        files, right = own.pop("files"), expected.pop("files")
        wrong = sorted(key for key in {*files, *right} if files.get(key) != right.get(key))
    except (ValueError, KeyError, AttributeError, TypeError):
        return [f"{name}: no index of webshart"]
    others = [] if own == expected else [f"{name}: {own}"]
    return [*others, *(f"{name}: {texts.clean(key)}" for key in wrong)]


def _strangers(folder: str, indexed: set[str]) -> Iterator[str]:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    yield from (f"{name}: of no shard of the table" for name in names if name not in indexed)


def _check_sizes(samples: pa.Table, shard: tar_shards.OpenShard) -> Findings:
    names = ("filename", "width", "height", "offset", "length")
    wrong, unreadable = [], []
    for name, width, height, offset, length in zip(
        *(samples[column].to_pylist() for column in names), strict=True
    ):
        own = _own_size(shard, offset, length, (width, height))
        if min(own) < 1:
            unreadable.append(name)
        elif own != (width, height):
            wrong.append(f"{name} ({own[0]}x{own[1]}, not {width}x{height})")
    return {"wrong_sizes": found(wrong), "unreadable_images": found(unreadable)}


def _own_size(
    shard: tar_shards.OpenShard, offset: int, length: int, size: check_rows.Size
) -> check_rows.Size:
    for count in (min(HEAD, length), length):  # few have a header that is longer
        own = check_rows.size_in(BytesIO(shard.read(count, offset)), size)
        if min(own) > 0:
            break
    return own
