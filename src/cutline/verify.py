"""What the trainer will find: the verify job.

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

from cutline import checks, events, filechecks, orphans, rowchecks, shuffle, store, watch
from cutline.checks import Finding, Findings, VerifyOptions
from cutline.data import data_folder
from cutline.listing import FILES, IMAGE, SIDECAR, Listing
from cutline.parquet import open_parquet
from cutline.running import bag_of, results
from cutline.slices import Slice, slices_of
from cutline.verdict import VerifySummary

SHARE: Final = 65_000
"""Names of rows and of files that one task joins, in about 30 MB."""

ROW_TASKS: Final = 64
"""Most tasks that look at rows: every task that joins opens what each of them wrote."""


@dataclass(frozen=True, slots=True)
class Job:
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

    range: shuffle.Range
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
    table: store.AnyPath,
    data: store.AnyPath,
    options: VerifyOptions = checks.DEFAULTS,
    *,
    client: Client | None = None,
    watcher: watch.Watcher = watch.SILENT,
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
    table: store.AnyPath,
    data: store.AnyPath,
    options: VerifyOptions,
    client: Client | None,
    watcher: watch.Watcher,
) -> Iterator[Verified]:
    """Verify, and keep the orphans and the lock of the table as long as they are needed."""
    clock = watch.Clock()
    folder = data_folder(data)
    with open_parquet(os.fspath(table)) as file:
        schema, rows = rowchecks.check_schema(file.schema_arrow), file.metadata.num_rows
    outputs = store.Outputs.of(table)
    with store.locked(outputs.workspace, watcher.say, force=options.force_unlock) as staging:
        job = Job(folder, staging, rows, options)
        listing, joined = Listing(folder), list[Joined]()
        findings = {"schema": schema}
        if not schema.count:
            files = list_folder(listing, job)
            pieces = pieces_of(outputs.table)
            each = 1 + len(pieces) // ROW_TASKS
            bag = bag_of(pieces, check_slices, job, stage="verify-rows", each=each)
            seen = list(results(bag, client, watcher))
            shares = shares_of(listing, files, write_ledger(outputs.ledger, job), job, seen)
            bag = bag_of(shares, join_shares, job, stage="verify-files")
            joined = sorted(results(bag, client, watcher), key=attrgetter("index"))
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


def list_folder(listing: Listing, job: Job) -> str:
    """List the folder into a run."""
    path = job.attempt()
    with shuffle.write_run(path, FILES) as run:
        listing.write(run)
    return path


def pieces_of(table: str) -> list[Piece]:
    """Cut the table into slices."""
    slices = slices_of(table)
    firsts = accumulate((one.rows for one in slices), initial=0)
    return [Piece(one, first) for one, first in zip(slices, firsts, strict=False)]


def write_ledger(ledger: str, job: Job) -> str:
    """Put the ledger, if there is one, into a run, by the key of the image."""
    path = job.attempt()
    with shuffle.write_run(path, orphans.KEYED_LEDGER) as run:
        for lines in orphans.read_ledger(ledger):
            run.add(lines["key"].to_pylist(), lines)
    return path


def shares_of(
    listing: Listing, files: str, ledger: str, job: Job, seen: list[RowsDone]
) -> list[Share]:
    """Cut what is to be joined into shares, by ranges of hashes."""
    of = 1 + (sum(listing.counts) + job.rows) // SHARE
    runs = sorted(done.run for done in seen)
    return [Share(shuffle.Range(index, of), files, ledger, runs) for index in range(of)]


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


def check_slices(pieces: Iterable[Piece], job: Job) -> list[RowsDone]:
    """Look at the rows of some slices, and at their caption files."""
    began = perf_counter()
    path = job.attempt()
    taken = list(pieces)
    with shuffle.write_run(path, filechecks.NAMES) as run:
        findings = checks.merged([check_slice(piece, job, run) for piece in taken])
    rows = sum(piece.slice.rows for piece in taken)
    events.tell(events.Done(rows, {"rows checked": rows}, {}, perf_counter() - began))
    return [RowsDone(findings, path)]


def check_slice(piece: Piece, job: Job, run: shuffle.Run) -> Findings:
    """Look at one slice, and put the names of its rows into the run."""
    rows = rowchecks.Rows.read(piece.slice)
    run.add(rows.keys, pa.table([rows.keys, rows.paths()], filechecks.NAMES))
    findings = [rowchecks.check_cells(rows, piece.first)]
    if job.options.strategy == "textfile":
        findings.append(rowchecks.check_caption_files(job.data, rows))
    if job.options.compares_sizes:
        chosen = [row for row in rows.safe if is_sampled(piece.first + row, job)]
        findings.append(rowchecks.check_sizes(job.data, rows, chosen))
    return checks.merged(findings)


def is_sampled(row: int, job: Job) -> bool:
    """Tell whether a row is of the sample: the same rows each time, evenly spread."""
    sample = job.options.sample
    return sample is None or row * sample // job.rows != (row + 1) * sample // job.rows


def join_shares(shares: Iterable[Share], job: Job) -> list[Joined]:
    """Join rows, files and the ledger of some shares."""
    return [join_share(share, job) for share in shares]


def join_share(share: Share, job: Job) -> Joined:
    """Join one share, and write its orphans to a file."""
    began = perf_counter()
    records = filechecks.Records.of(
        rows=shuffle.read_range(share.rows, filechecks.NAMES, share.range),
        files=shuffle.read_range([share.files], FILES, share.range),
        ledger=shuffle.read_range([share.ledger], orphans.KEYED_LEDGER, share.range),
    )
    findings, found = filechecks.check_files(records, job.data)
    path = job.attempt()
    orphans.write(found, path)
    reasons = Counter(orphan.reason for orphan in found if not orphan.is_stray)
    files = len(records.images) + len(records.captions) + len(records.sidecars)
    events.tell(events.Done(files, {"files checked": files}, {}, perf_counter() - began))
    return Joined(share.range.index, findings, reasons, path)
