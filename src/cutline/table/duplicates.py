"""Samples that come twice: the first row of a key, in source order, keeps it.

The others leave their part, so that the parts are the table, and become lines of the ledger.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cutline.plan import Receipt, plan_file, receipts
from cutline.record import naming
from cutline.sources import line_format
from cutline.store import TableFiles, parquet
from cutline.table import part_files


class Duplicate(NamedTuple):
    """A row of a part whose key an earlier row has, and the filename that keeps the key."""

    row: int
    filename: str
    kept: str


Duplicates: TypeAlias = dict[int, list[Duplicate]]
"""The duplicates of each part that has any, by its index."""


def settle(files: TableFiles, every: list[Receipt]) -> list[Receipt]:
    """Publish the parts that hold duplicates anew without them; return all receipts, in order.

    The rows that are kept stay where they are, so that it comes to the same where a run was killed
    amid this.
    """
    found = find(files, every)
    return [
        _without(found[one.index], files, one, prefix) if one.index in found else one
        for one, prefix in zip(every, receipts.prefixes(every), strict=True)
    ]


def find(files: TableFiles, receipts: list[Receipt]) -> Duplicates:
    """Find the rows of each part whose key an earlier row has.

    A first pass, if there can be any, keeps a hash of 8 bytes for each key. Only keys whose hash
    occurs twice, which is rare, are then compared as text.
    """
    if not _may_repeat(files, receipts):
        return {}
    keys = part_files.ahead(lambda receipt: part_files.keys(_filenames(files, receipt)), receipts)
    hashes = [_hashed(each) for each in keys]
    every = np.sort(np.concatenate(hashes)) if hashes else np.array([], np.int64)
    suspects = np.unique(every[1:][every[1:] == every[:-1]])
    kept: dict[str, str] = {}
    found: Duplicates = {}
    for receipt, own in zip(receipts, hashes, strict=True):
        rows = np.flatnonzero(np.isin(own, suspects)) if len(suspects) else own[:0]
        if len(rows):
            names = _filenames(files, receipt).take(pa.array(rows)).to_pylist()
            later = list(_settle(zip(rows.tolist(), names, strict=True), kept))
            if later:
                found[receipt.index] = later
    return found


def _may_repeat(files: TableFiles, receipts: list[Receipt]) -> bool:
    """Return whether two rows can have one key; comparing a million takes 0.4 s.

    Loose sidecars have different paths, so only a row whose stem is not its sidecar's can have the
    key of another. In shards a path may come again, and a plan has either only shards or none.
    """
    if any(receipt.stem_mismatches for receipt in receipts):
        return True
    with parquet.opened_parquet(files.store, files.plan) as plan:
        return bool(plan.read_row_group(0, ["shard"])["shard"].null_count == 0)


def _settle(rows: Iterable[tuple[int, str]], kept: dict[str, str]) -> Iterator[Duplicate]:
    """Yield the rows whose key an earlier row has; `kept` has the filename that keeps each key."""
    for row, filename in rows:
        name = naming.key(filename)
        if name in kept:
            yield Duplicate(row, filename, kept[name])
        else:
            kept[name] = filename


def _filenames(files: TableFiles, receipt: Receipt) -> pa.Array:
    return part_files.read_rows(files, receipt, ["filename"])["filename"].combine_chunks()


def _hashed(keys: pa.Array) -> npt.NDArray[np.int64]:
    return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))


def _without(later: list[Duplicate], files: TableFiles, receipt: Receipt, settled: str) -> Receipt:
    """Publish a part anew, with its duplicates among its rejects; return its receipt."""
    rows = part_files.read_rows(files, receipt)
    keep = np.ones(len(rows), bool)
    keep[[duplicate.row for duplicate in later]] = False
    rejects = part_files.read_rejects(files, receipt)
    added = _duplicates_table(files, receipt, rejects, later)
    counts = Counter({"duplicate": len(later)}) + Counter(receipt.rejects)
    receipt = replace(
        receipt,
        rows=len(rows) - len(later),
        rejects=dict(sorted(counts.items())),
        settled=settled,
    )
    rejects = pa.concat_tables([rejects, added]).sort_by("position")
    part_files.publish(files, receipt, rows.filter(pa.array(keep)), rejects)
    return receipt


def _duplicates_table(
    files: TableFiles, receipt: Receipt, rejects: pa.Table, later: list[Duplicate]
) -> pa.Table:
    """Build the lines of a part's duplicates: its rows are the sidecars that were not rejected."""
    planned = plan_file.Part(files.store, files.plan, receipt.index, receipt.sidecars).lines()
    paths, shard = planned["path"].to_pylist(), planned["shard"][0].as_py()
    positions = np.setdiff1d(np.arange(len(paths)), rejects["position"])
    lines = []
    for row, filename, kept in later:
        position = int(positions[row])
        detail = f"its sample is that of {kept}, which came first"
        source = line_format.shown_source(shard, paths[position])
        lines.append(part_files.Rejected(position, source, "duplicate", detail, filename))
    return part_files.rejects_table(lines)
