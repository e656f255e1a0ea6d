"""What a trainer will find in a table and a folder.

The driver lists the folder and has the rows checked, slice by slice, together with their caption
files. Then rows, files and lines of the ledger are joined by key, one task a range of hashes,
through sorted runs: no process holds more than its range.
"""

import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from time import perf_counter
from typing import Final, NamedTuple

import pyarrow as pa
from distributed import Client

from cutline.cluster import running, worker_checks
from cutline.errors import UsageError, checked, flat
from cutline.progress import SILENT, Clock, Watcher, events
from cutline.store import TableFiles, disk, parquet
from cutline.table import Slice, slices_of
from cutline.verify import (
    check_files,
    check_rows,
    check_shards,
    checks,
    near_names,
    orphan_reasons,
    sorted_runs,
)
from cutline.verify.checks import Finding, Findings, VerifyOptions
from cutline.verify.list_folder import EMPTY, FILES, IMAGE, SIDECAR, Listing
from cutline.verify.orphan_reasons import BROKEN_IMAGE
from cutline.verify.verdict import VerifySummary

KEYS_A_TASK: Final = 65_000
"""Names of rows and of files that one task joins, in about 30 MB."""

ROW_TASKS: Final = 64
"""Most tasks that check rows: every task that joins opens what each of them wrote."""


@dataclass(frozen=True, slots=True)
class VerifyContext:
    """What every task carries; `rows` is how many the table has."""

    data: str
    staging: str
    rows: int
    options: VerifyOptions

    def attempt(self) -> str:
        """Return a new name for a file that one attempt at one task writes."""
        return f"{self.staging}/verify-{uuid.uuid4().hex}.arrow"


@dataclass(frozen=True, slots=True)
class NumberedSlice:
    """A slice of the table, and how many rows come before it."""

    slice: Slice
    first: int


@dataclass(frozen=True, slots=True)
class RowsDone:
    """What was found in some rows, the sorted run of their names, and a file of broken images."""

    findings: Findings
    run: str
    orphans: str | None


@dataclass(frozen=True, slots=True)
class KeyRange:
    """What one task joins: a range of hashes, and the sorted runs to read it from."""

    hashes: sorted_runs.HashRange
    files: str
    ledger: str
    rows: list[str]


@dataclass(frozen=True, slots=True)
class KeysDone:
    """What was found in one range of keys, and the file of its orphans."""

    index: int
    findings: Findings
    reasons: Counter[str]
    orphans: str


class Verified(NamedTuple):
    """What a verification came to, and where its orphans are."""

    summary: VerifySummary
    orphans: list[str]


@flat
@checked
@events.announced("verify", "verify-rows", "verify-files")
def verify_dataset(
    table: disk.AnyPath,
    data: disk.AnyPath,
    options: VerifyOptions = checks.DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> VerifySummary:
    """Check what a trainer will find in a table and a folder; nothing is changed.

    Parameters
    ----------
    table
        The table, ``X.parquet``; its ledger ``X.rejects.parquet`` tells why images have no row.
    data
        The folder that its filenames are relative to; with the strategy ``webshart``, that of the
        shards.
    options
        What to verify.
    client
        The Dask cluster to work on; without one, Dask's scheduler of this process.
    watcher
        Who is told how far the job is.

    Raises
    ------
    UsageError
        There is no such table or folder.
    CutlineError
        The job cannot go on.
    """
    if options.strategy == "webshart":
        return _verify_shards(table, data, options, client, watcher)
    with verified(table, data, options, client, watcher) as found:
        return found.summary


def _verify_shards(
    table: disk.AnyPath,
    data: disk.AnyPath,
    options: VerifyOptions,
    client: Client | None,
    watcher: Watcher,
) -> VerifySummary:
    clock = Clock()
    folder, table_files = disk.data_folder(data), TableFiles.of(table)
    with parquet.open_parquet(table_files.table) as file:
        schema, rows = check_rows.check_schema(file.schema_arrow), file.metadata.num_rows
    findings, images = {"schema": schema}, 0
    if not schema.count:
        with table_files.locked(watcher.say, force=options.force_unlock) as files:
            each, images = check_shards.check_shards(files, folder, options, client, watcher)
        findings |= {name: each.get(name, Finding()) for name in checks.looked_for(options)[1:]}
    return VerifySummary(
        table_files.table,
        folder,
        rows,
        images,
        findings,
        {},
        clock.total(),
        headers=options.compared,
    )


@contextmanager
def verified(
    table: disk.AnyPath,
    data: disk.AnyPath,
    options: VerifyOptions,
    client: Client | None,
    watcher: Watcher,
) -> Iterator[Verified]:
    """Verify, and keep the orphans and the lock of the table as long as they are needed."""
    if options.strategy == "webshart":
        raise UsageError("What is in shards cannot be moved or captioned: choose another strategy.")
    clock = Clock()
    folder = disk.data_folder(data)
    with parquet.open_parquet(os.fspath(table)) as file:
        schema, rows = check_rows.check_schema(file.schema_arrow), file.metadata.num_rows
    table_files = TableFiles.of(table)
    with table_files.workspace.locked(watcher.say, force=options.force_unlock) as staging:
        context = VerifyContext(folder, staging, rows, options)
        listing, seen, joined = Listing(folder), list[RowsDone](), list[KeysDone]()
        findings = {"schema": schema}
        if not schema.count:
            with worker_checks.checked(client, watcher, *_folders(table_files, folder, staging)):
                # The rows do not wait for the listing, which takes long on a network file system.
                with _rows_checked(table_files.table, context, client, watcher) as done:
                    files = _list_folder(listing, context)
                    seen = list(done)
                ledger = _write_ledger(table_files.ledger, context)
                ranges = _key_ranges(files, ledger, seen, sum(listing.counts) + rows)
                joined = _join(ranges, context, client, watcher)
            findings = _total(schema, listing, [*seen, *joined], options)
        summary = VerifySummary(
            table=table_files.table,
            data=folder,
            rows=rows,
            images=listing.counts[IMAGE] + listing.counts[EMPTY],
            findings=findings,
            orphans=dict(sorted(sum((done.reasons for done in joined), Counter()).items())),
            seconds=clock.total(),
            headers=options.compared,
        )
        broken = [done.orphans for done in seen if done.orphans]
        yield Verified(summary, [done.orphans for done in joined] + broken)


def _folders(files: TableFiles, data: str, staging: str) -> list[worker_checks.Shared]:
    """Return what each worker must see as this process does."""
    folder, workspace = os.path.dirname(files.table), files.workspace
    return [
        worker_checks.writes(folder, workspace, workspace.store(staging)),
        worker_checks.reads(folder, [files.table]),
        worker_checks.reads_folder(data),
    ]


def _list_folder(listing: Listing, context: VerifyContext) -> str:
    path = context.attempt()
    with sorted_runs.write_run(path, FILES) as run:
        listing.write(run)
    return path


def _rows_checked(
    table: str, context: VerifyContext, client: Client | None, watcher: Watcher
) -> AbstractContextManager[Iterator[RowsDone]]:
    slices = slices_of(table, beside=context.data)
    firsts = accumulate((one.rows for one in slices), initial=0)
    numbered = [NumberedSlice(one, first) for one, first in zip(slices, firsts, strict=False)]
    each = 1 + len(slices) // ROW_TASKS
    bag = running.bag_of(numbered, check_slices, context, stage="verify-rows", each=each)
    return running.sent(bag, client, watcher)


def _write_ledger(ledger: str, context: VerifyContext) -> str:
    path = context.attempt()
    with sorted_runs.write_run(path, orphan_reasons.KEYED_LEDGER) as run:
        for lines in orphan_reasons.read_ledger(ledger):
            run.add(map(near_names.group, lines["key"].to_pylist()), lines)
    return path


def _key_ranges(files: str, ledger: str, seen: list[RowsDone], names: int) -> list[KeyRange]:
    of = 1 + names // KEYS_A_TASK
    rows = sorted(done.run for done in seen)
    return [KeyRange(sorted_runs.HashRange(index, of), files, ledger, rows) for index in range(of)]


def _join(
    ranges: list[KeyRange], context: VerifyContext, client: Client | None, watcher: Watcher
) -> list[KeysDone]:
    bag = running.bag_of(ranges, join_ranges, context, stage="verify-files")
    return sorted(running.results(bag, client, watcher), key=attrgetter("index"))


def _total(
    schema: Finding, listing: Listing, done: list[RowsDone | KeysDone], options: VerifyOptions
) -> Findings:
    own = {
        "schema": schema,
        "linked_folders": listing.linked,
        "unlisted_folders": listing.unlisted,
    }
    if options.expect is not None:
        own["sidecar_count"] = checks.miscount(listing.counts[SIDECAR], options.expect)
    every = checks.merged([own, *(one.findings for one in done)])
    return {name: every.get(name, Finding()) for name in checks.looked_for(options)}


# On a worker from here on.


def check_slices(slices: Iterable[NumberedSlice], context: VerifyContext) -> list[RowsDone]:
    """Check the rows of some slices, and their caption files."""
    began = perf_counter()
    path = context.attempt()
    taken = list(slices)
    with sorted_runs.write_run(path, check_files.NAMES) as run:
        checked = [_check_slice(one, context, run) for one in taken]
    findings = checks.merged(findings for findings, _ in checked)
    broken = [filename for _, filenames in checked for filename in filenames]
    rows = sum(one.slice.rows for one in taken)
    events.tell(events.Done(rows, {"rows checked": rows}, {}, perf_counter() - began))
    return [RowsDone(findings, path, _orphans_of(broken, context) if broken else None)]


def _orphans_of(broken: list[bytes], context: VerifyContext) -> str:
    path = context.attempt()
    with disk.open_folder(context.data) as root:
        orphan_reasons.write(list(orphan_reasons.of_unusable(broken, BROKEN_IMAGE, root)), path)
    return path


def _check_slice(
    one: NumberedSlice, context: VerifyContext, run: sorted_runs.SortedRun
) -> tuple[Findings, list[bytes]]:
    rows = check_rows.Rows.read(one.slice)
    names = pa.table([rows.keys, rows.paths()], check_files.NAMES)
    run.add(map(near_names.group, rows.keys), names)
    findings = [check_rows.check_cells(rows, one.first)]
    if context.options.strategy == "textfile":
        findings.append(check_rows.check_caption_files(context.data, rows))
    is_sampled = context.options.is_sampled
    chosen = [row for row in rows.safe if is_sampled(one.first + row, context.rows)]
    sizes, broken = check_rows.check_sizes(context.data, rows, chosen)
    return checks.merged([*findings, sizes]), broken


def join_ranges(ranges: Iterable[KeyRange], context: VerifyContext) -> list[KeysDone]:
    """Join rows, files and the ledger in some ranges of keys; orphans go to a file a range."""
    return [_join_range(keys, context) for keys in ranges]


def _join_range(keys: KeyRange, context: VerifyContext) -> KeysDone:
    began = perf_counter()
    samples = check_files.Samples.of(
        rows=sorted_runs.read_range(keys.rows, check_files.NAMES, keys.hashes),
        files=sorted_runs.read_range([keys.files], FILES, keys.hashes),
        ledger=sorted_runs.read_range([keys.ledger], orphan_reasons.KEYED_LEDGER, keys.hashes),
    )
    findings, found = check_files.check_files(samples, context.data)
    path = context.attempt()
    orphan_reasons.write(found, path)
    alone = (one for one in found if not one.is_stray and not one.has_row)
    reasons = Counter(orphan.reason for orphan in alone)
    files = len(samples.images) + len(samples.captions) + len(samples.sidecars)
    events.tell(events.Done(files, {"files checked": files}, {}, perf_counter() - began))
    return KeysDone(keys.hashes.index, findings, reasons, path)
