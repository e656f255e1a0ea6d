"""What the trainer will find: the verify context.

The driver on top lists the folder and has rows and files checked. Rows are checked slice by slice,
together with their caption files; then rows, files and the ledger meet by the hash of their key,
through files, so that no process holds more than its share of them. The small functions below run
on a worker, one task a share.
"""

import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from time import perf_counter
from typing import Final, NamedTuple

import pyarrow as pa
from distributed import Client

from cutline.cluster import running
from cutline.progress import SILENT, Clock, Watcher, events
from cutline.store import TableFiles, disk, parquet
from cutline.table import Slice, slices_of
from cutline.verify import check_files, check_rows, checks, orphans, sorted_runs
from cutline.verify.checks import Finding, Findings, VerifyOptions
from cutline.verify.list_folder import FILES, IMAGE, SIDECAR, Listing
from cutline.verify.verdict import VerifySummary

SHARE: Final = 65_000
"""Names of rows and of files that one task joins, in about 30 MB."""

ROW_TASKS: Final = 64
"""Most tasks that look at rows: every task that joins opens what each of them wrote."""


@dataclass(frozen=True, slots=True)
class VerifyContext:
    """What every task has to know; `rows` is how many the table has."""

    data: str
    staging: str
    rows: int
    options: VerifyOptions

    def attempt(self) -> str:
        """Name a file that one attempt at one task writes."""
        return f"{self.staging}/verify-{uuid.uuid4().hex}.arrow"


@dataclass(frozen=True, slots=True)
class Piece:
    """A slice of the table, and how many rows come before it."""

    slice: Slice
    first: int


@dataclass(frozen=True, slots=True)
class RowsDone:
    """What was found in some rows, and the run of their names."""

    findings: Findings
    run: str


@dataclass(frozen=True, slots=True)
class Share:
    """What one task joins: a range of hashes, and the runs to read it from."""

    range: sorted_runs.Range
    files: str
    ledger: str
    rows: list[str]


@dataclass(frozen=True, slots=True)
class Joined:
    """What was found in one share: its orphans are in a file."""

    index: int
    findings: Findings
    reasons: Counter[str]
    orphans: str


class Verified(NamedTuple):
    """What a verification came to, and where its orphans are."""

    summary: VerifySummary
    orphans: list[str]


def verify_dataset(
    table: disk.AnyPath,
    data: disk.AnyPath,
    options: VerifyOptions = checks.DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> VerifySummary:
    """Find out what a trainer will find in a table and a folder; nothing is changed.

    Parameters
    ----------
    table
        The table, ``X.parquet``; its ledger ``X.rejects.parquet`` tells why images have no row.
    data
        The folder that its filenames are relative to.
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
    with verified(table, data, options, client, watcher) as found:
        return found.summary


@contextmanager
def verified(
    table: disk.AnyPath,
    data: disk.AnyPath,
    options: VerifyOptions,
    client: Client | None,
    watcher: Watcher,
) -> Iterator[Verified]:
    """Verify, and keep the orphans and the lock of the table as long as they are needed."""
    clock = Clock()
    folder = disk.data_folder(data)
    with parquet.open_parquet(os.fspath(table)) as file:
        schema, rows = check_rows.check_schema(file.schema_arrow), file.metadata.num_rows
    outputs = TableFiles.of(table)
    with outputs.workspace.locked(watcher.say, force=options.force_unlock) as staging:
        context = VerifyContext(folder, staging, rows, options)
        listing, joined = Listing(folder), list[Joined]()
        findings = {"schema": schema}
        if not schema.count:
            files = list_folder(listing, context)
            pieces = pieces_of(outputs.table)
            each = 1 + len(pieces) // ROW_TASKS
            bag = running.bag_of(pieces, check_slices, context, stage="verify-rows", each=each)
            seen = list(running.results(bag, client, watcher))
            shares = shares_of(listing, files, write_ledger(outputs.ledger, context), context, seen)
            bag = running.bag_of(shares, join_shares, context, stage="verify-files")
            joined = sorted(running.results(bag, client, watcher), key=attrgetter("index"))
            findings = total(schema, listing, [*seen, *joined], options)
        summary = VerifySummary(
            table=outputs.table,
            data=folder,
            rows=rows,
            images=listing.counts[IMAGE],
            findings=findings,
            orphans=dict(sorted(sum((share.reasons for share in joined), Counter()).items())),
            seconds=clock.total(),
        )
        yield Verified(summary, [share.orphans for share in joined])


def list_folder(listing: Listing, context: VerifyContext) -> str:
    """List the folder into a run."""
    path = context.attempt()
    with sorted_runs.write_run(path, FILES) as run:
        listing.write(run)
    return path


def pieces_of(table: str) -> list[Piece]:
    """Cut the table into slices."""
    slices = slices_of(table)
    firsts = accumulate((one.rows for one in slices), initial=0)
    return [Piece(one, first) for one, first in zip(slices, firsts, strict=False)]


def write_ledger(ledger: str, context: VerifyContext) -> str:
    """Put the ledger, if there is one, into a run, by the key of the image."""
    path = context.attempt()
    with sorted_runs.write_run(path, orphans.KEYED_LEDGER) as run:
        for lines in orphans.read_ledger(ledger):
            run.add(lines["key"].to_pylist(), lines)
    return path


def shares_of(
    listing: Listing, files: str, ledger: str, context: VerifyContext, seen: list[RowsDone]
) -> list[Share]:
    """Cut what is to be joined into shares, by ranges of hashes."""
    of = 1 + (sum(listing.counts) + context.rows) // SHARE
    runs = sorted(done.run for done in seen)
    return [Share(sorted_runs.Range(index, of), files, ledger, runs) for index in range(of)]


def total(
    schema: Finding, listing: Listing, done: list[RowsDone | Joined], options: VerifyOptions
) -> Findings:
    """Put together what was found, with nothing for the checks that found nothing."""
    own = {"schema": schema, "linked_folders": listing.linked}
    if options.expect is not None:
        own["sidecar_count"] = checks.miscount(listing.counts[SIDECAR], options.expect)
    every = checks.merged([own, *(one.findings for one in done)])
    return {name: every.get(name, Finding()) for name in checks.looked_for(options)}


# On a worker from here on.


def check_slices(pieces: Iterable[Piece], context: VerifyContext) -> list[RowsDone]:
    """Look at the rows of some slices, and at their caption files."""
    began = perf_counter()
    path = context.attempt()
    taken = list(pieces)
    with sorted_runs.write_run(path, check_files.NAMES) as run:
        findings = checks.merged([check_slice(piece, context, run) for piece in taken])
    rows = sum(piece.slice.rows for piece in taken)
    events.tell(events.Done(rows, {"rows checked": rows}, {}, perf_counter() - began))
    return [RowsDone(findings, path)]


def check_slice(piece: Piece, context: VerifyContext, run: sorted_runs.Run) -> Findings:
    """Look at one slice, and put the names of its rows into the run."""
    rows = check_rows.Rows.read(piece.slice)
    run.add(rows.keys, pa.table([rows.keys, rows.paths()], check_files.NAMES))
    findings = [check_rows.check_cells(rows, piece.first)]
    if context.options.strategy == "textfile":
        findings.append(check_rows.check_caption_files(context.data, rows))
    if context.options.compares_sizes:
        chosen = [row for row in rows.safe if is_sampled(piece.first + row, context)]
        findings.append(check_rows.check_sizes(context.data, rows, chosen))
    return checks.merged(findings)


def is_sampled(row: int, context: VerifyContext) -> bool:
    """Tell whether a row is of the sample: the same rows each time, evenly spread."""
    sample = context.options.sample
    return sample is None or row * sample // context.rows != (row + 1) * sample // context.rows


def join_shares(shares: Iterable[Share], context: VerifyContext) -> list[Joined]:
    """Join rows, files and the ledger of some shares."""
    return [join_share(share, context) for share in shares]


def join_share(share: Share, context: VerifyContext) -> Joined:
    """Join one share, and write its orphans to a file."""
    began = perf_counter()
    records = check_files.Records.of(
        rows=sorted_runs.read_range(share.rows, check_files.NAMES, share.range),
        files=sorted_runs.read_range([share.files], FILES, share.range),
        ledger=sorted_runs.read_range([share.ledger], orphans.KEYED_LEDGER, share.range),
    )
    findings, found = check_files.check_files(records, context.data)
    path = context.attempt()
    orphans.write(found, path)
    reasons = Counter(orphan.reason for orphan in found if not orphan.is_stray)
    files = len(records.images) + len(records.captions) + len(records.sidecars)
    events.tell(events.Done(files, {"files checked": files}, {}, perf_counter() - began))
    return Joined(share.range.index, findings, reasons, path)
