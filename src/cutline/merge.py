"""Parts to the table and its ledger.

Duplicates are settled here, in source order: the first sample of a key keeps its row.
"""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cutline import ledger, parts, store
from cutline.errors import CutlineError
from cutline.options import CompileOptions
from cutline.plan import RECEIPT_KEY, Part, Receipt, shown_source
from cutline.records import key

AHEAD: Final = 2
"""Parts that are read before they are asked for."""

Read = TypeVar("Read")


class Merged(msgspec.Struct, frozen=True):
    """What a merge came to, and the digest of what it was made from.

    `files` are the inodes, sizes and times of modification of the table and its ledger: as long as
    they and the digest are the same, there is nothing to merge.
    """

    digest: str
    rows: int
    rejects: dict[str, int]
    files: list[list[int]] = []


class Duplicate(NamedTuple):
    """A row of a part whose key an earlier row has, and the filename that keeps the key."""

    row: int
    filename: str
    kept: str


def merge(
    outputs: store.Outputs,
    receipts: list[Receipt],
    options: CompileOptions,
    damages: pa.Table = ledger.EMPTY,
) -> Merged:
    """Merge parts into the table and the ledger, unless that has been done.

    Parameters
    ----------
    outputs
        Where the parts are, and the table will be.
    receipts
        Those of all parts, in order.
    options
        How to write the table, and how many rejects to bear.
    damages
        What is damaged in the shards, as lines of the ledger.

    Raises
    ------
    CutlineError
        Too many sidecars were rejected; the table that was there is as it was.
    """
    digest = merge_digest(receipts, damages, options)
    merged = read_merged(outputs)
    current = merged is not None and (merged.digest, merged.files) == (digest, stamps(outputs))
    if merged is None or not current or options.fresh:
        twice = duplicates(outputs, receipts)
        merged = Merged(digest, *count(receipts, twice))
        check_rejects(merged, outputs, receipts, options)
        write_tables(outputs, receipts, twice, damages, options)
        write_merged(outputs, msgspec.structs.replace(merged, files=stamps(outputs)))
    else:
        check_rejects(merged, outputs, receipts, options)
    return merged


def write_tables(
    outputs: store.Outputs,
    receipts: list[Receipt],
    twice: dict[int, list[Duplicate]],
    damages: pa.Table,
    options: CompileOptions,
) -> None:
    """Publish the ledger and then the table."""
    with store.publish(outputs.ledger, outputs.staging) as file:
        rejects = (ledger_lines(outputs, receipt, twice) for receipt in receipts)
        parts.write_table(file, chain(rejects, [damages]), ledger.LEDGER, options.compression)
    with store.publish(outputs.table, outputs.staging) as file:
        rows = ahead(lambda receipt: unique_rows(outputs, receipt, twice), receipts)
        parts.write_table(file, rows, options.schema, options.compression)


def merge_digest(receipts: list[Receipt], damages: pa.Table, options: CompileOptions) -> str:
    """Digest what the table is made from."""
    state = hashlib.blake2b(options.identity(), digest_size=20)
    state.update(options.compression.encode())
    for receipt in receipts:
        # And not its digest alone: what was unreadable may be a row now, of the same sidecar.
        state.update(receipt.footer()[RECEIPT_KEY])
    state.update(repr(damages.to_pylist()).encode())
    return state.hexdigest()


def read_merged(outputs: store.Outputs) -> Merged | None:
    """Read what the last merge came to."""
    try:
        with open(outputs.merged, "rb") as file:
            return msgspec.json.decode(file.read(), type=Merged)
    except (FileNotFoundError, ValueError):
        return None


def write_merged(outputs: store.Outputs, merged: Merged) -> None:
    """Note what a merge came to."""
    with store.publish(outputs.merged, outputs.staging) as file:
        file.write(msgspec.json.encode(merged))


def stamps(outputs: store.Outputs) -> list[list[int]]:
    """Take what tells that the table and its ledger are still those that were merged."""
    found = []
    for path in (outputs.table, outputs.ledger):
        with suppress(FileNotFoundError):
            status = os.stat(path)
            found.append([status.st_ino, status.st_size, status.st_mtime_ns])
    return found


def duplicates(outputs: store.Outputs, receipts: list[Receipt]) -> dict[int, list[Duplicate]]:
    """Find, part by part, the rows whose key an earlier row has.

    If there can be any, a first pass keeps 8 bytes a row: the hashes of the keys. Only keys whose
    hash occurs twice, mostly none at all, are then compared as text.
    """
    if not may_repeat(outputs, receipts):
        return {}
    keys = ahead(lambda receipt: parts.keys(filenames(outputs, receipt)), receipts)
    hashes = [hashed(each) for each in keys]
    every = np.sort(np.concatenate(hashes)) if hashes else np.array([], np.int64)
    suspects = np.unique(every[1:][every[1:] == every[:-1]])
    kept: dict[str, str] = {}
    found: dict[int, list[Duplicate]] = {}
    for receipt, own in zip(receipts, hashes, strict=True):
        rows = np.flatnonzero(np.isin(own, suspects)) if len(suspects) else own[:0]
        if len(rows):
            names = filenames(outputs, receipt).take(pa.array(rows)).to_pylist()
            later = list(settle(zip(rows.tolist(), names, strict=True), kept))
            if later:
                found[receipt.index] = later
    return found


def may_repeat(outputs: store.Outputs, receipts: list[Receipt]) -> bool:
    """Tell whether two rows can have one key; to look at a million of them takes 0.4 s.

    No two loose sidecars have one path, so only a row that has another stem than its sidecar can
    have the key of another one. In shards, which a plan has either none or nothing but, a path may
    come again.
    """
    if any(receipt.stem_mismatches for receipt in receipts):
        return True
    with pq.ParquetFile(outputs.plan) as plan:
        return bool(plan.read_row_group(0, ["shard"])["shard"].null_count == 0)


def settle(rows: Iterable[tuple[int, str]], kept: dict[str, str]) -> Iterator[Duplicate]:
    """Give each key to the first row that has it, and tell the others."""
    for row, filename in rows:
        name = key(filename)
        if name in kept:
            yield Duplicate(row, filename, kept[name])
        else:
            kept[name] = filename


def filenames(outputs: store.Outputs, receipt: Receipt) -> pa.Array:
    """Read the filenames of a part's rows."""
    return parts.read_rows(outputs, receipt, ["filename"])["filename"].combine_chunks()


def hashed(keys: pa.Array) -> npt.NDArray[np.int64]:
    """Hash each key, as this process hashes text."""
    return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))


def ahead(read: Callable[[Receipt], Read], receipts: Iterable[Receipt]) -> Iterator[Read]:
    """Read parts in threads, a few before they are asked for: the merge takes 0.6 of the time."""
    with ThreadPoolExecutor(AHEAD) as readers:
        waiting: deque[Future[Read]] = deque()
        for receipt in receipts:
            waiting.append(readers.submit(read, receipt))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def count(receipts: list[Receipt], twice: dict[int, list[Duplicate]]) -> tuple[int, dict[str, int]]:
    """Count the rows of the table, and the rejects by reason."""
    again = sum(map(len, twice.values()))
    rejects = Counter({"duplicate": again} if again else {})
    for receipt in receipts:
        rejects.update(receipt.rejects)
    return sum(receipt.rows for receipt in receipts) - again, dict(sorted(rejects.items()))


def check_rejects(
    merged: Merged, outputs: store.Outputs, receipts: list[Receipt], options: CompileOptions
) -> None:
    """Fail a job of which too much was rejected: its source or its options are likely wrong."""
    sidecars = merged.rows + sum(merged.rejects.values())
    faults = {reason: n for reason, n in merged.rejects.items() if reason != "no_width"}
    if sum(faults.values()) <= options.max_rejects * sidecars:
        return
    top = sorted(faults, key=lambda reason: -faults[reason])[:3]
    shown = "; ".join(
        f"{faults[reason]:,} {reason} ({example(reason, outputs, receipts)})" for reason in top
    )
    raise CutlineError(
        f"{sum(faults.values()):,} of {sidecars:,} sidecars were rejected, more than the share of"
        f" {options.max_rejects:g} that --max-rejects allows, and the table was left as it was:"
        f" {shown}; mend them, name another --caption-field, or raise --max-rejects."
    )


def example(reason: str, outputs: store.Outputs, receipts: list[Receipt]) -> str:
    """Show the first reject of a reason."""
    twice = duplicates(outputs, receipts) if reason == "duplicate" else {}
    holder = next(one for one in receipts if reason in one.rejects or one.index in twice)
    rejects = ledger_lines(outputs, holder, twice)
    first = rejects.filter(pc.field("reason") == reason).slice(0, 1).to_pylist()[0]
    return f"{first['source']}: {first['detail']}"


def unique_rows(
    outputs: store.Outputs, receipt: Receipt, twice: dict[int, list[Duplicate]]
) -> pa.Table:
    """Read the rows of a part but for its duplicates."""
    rows = parts.read_rows(outputs, receipt)
    later = twice.get(receipt.index)
    if not later:
        return rows
    keep = np.ones(len(rows), bool)
    keep[[duplicate.row for duplicate in later]] = False
    return rows.filter(pa.array(keep))


def ledger_lines(
    outputs: store.Outputs, receipt: Receipt, twice: dict[int, list[Duplicate]]
) -> pa.Table:
    """Read the rejects of a part and add its duplicates, in source order."""
    rejects = parts.read_rejects(outputs, receipt)
    later = twice.get(receipt.index)
    if later:
        added = duplicates_table(outputs, receipt, rejects, later)
        rejects = pa.concat_tables([rejects, added]).sort_by("position")
    return rejects.drop_columns("position")


def duplicates_table(
    outputs: store.Outputs, receipt: Receipt, rejects: pa.Table, later: list[Duplicate]
) -> pa.Table:
    """Say of which sidecars the duplicates of a part are: its rows are what was not rejected."""
    planned = Part(outputs.plan, receipt.index, receipt.sidecars).lines()
    paths, shard = planned["path"].to_pylist(), planned["shard"][0].as_py()
    positions = parts.row_positions(len(paths), rejects["position"])
    lines = []
    for row, filename, kept in later:
        position = positions[row].as_py()
        detail = f"its sample is that of {kept}, which came first"
        source = shown_source(shard, paths[position])
        lines.append(parts.Rejected(position, source, "duplicate", detail, filename))
    return parts.rejects_table(lines)
