"""Parts to the table and its ledger."""

import hashlib
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import chain

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cutline.errors import CutlineError
from cutline.plan import Receipt, ledger
from cutline.record import reasons
from cutline.store import TableFiles, parquet
from cutline.table import duplicates, part_files
from cutline.table.compile_options import CompileOptions


class Merged(msgspec.Struct, frozen=True):
    """What a merge came to, and the digest of what it was made from.

    `files` are the versions of the table and its ledger: as long as they and the digest are the
    same, there is nothing to merge.
    """

    digest: str
    rows: int
    rejects: dict[str, int]
    files: list[list[int]] = []

    @property
    def sidecars(self) -> int:
        """How many sidecars there were."""
        return self.rows + sum(self.rejects.values())


def merge(
    files: TableFiles,
    receipts: list[Receipt],
    options: CompileOptions,
    lost: pa.Table = ledger.EMPTY,
) -> Merged:
    """Merge parts into the table and the ledger, unless that has been done.

    Parameters
    ----------
    files
        Where the parts are, and the table will be.
    receipts
        Those of all parts, in order.
    options
        How to write the table, and how many rejects to bear.
    lost
        More lines of the ledger: sidecars of shards that are in no part, and what is damaged there.

    Raises
    ------
    CutlineError
        Too many sidecars were rejected; the table that was there is as it was.
    """
    digest = merge_digest(receipts, lost, options)
    before = None if options.fresh else read_merged(files)
    if before and (before.digest, before.files) == (digest, stamps(files)):
        check_rejects(before, files, receipts, lost, options)
        return before
    twice = duplicates.find(files, receipts)
    merged = Merged(digest, *count(receipts, twice, lost))
    check_rejects(merged, files, receipts, lost, options)
    write_tables(files, receipts, twice, lost, options)
    write_merged(files, msgspec.structs.replace(merged, files=stamps(files)))
    return merged


def write_tables(
    files: TableFiles,
    receipts: list[Receipt],
    twice: duplicates.Duplicates,
    lost: pa.Table,
    options: CompileOptions,
) -> None:
    """Publish the ledger and then the table."""
    with files.store.publish(files.ledger) as file:
        rejects = (duplicates.ledger_lines(files, receipt, twice) for receipt in receipts)
        part_files.write_table(file, chain(rejects, [lost]), ledger.LEDGER, options.compression)
    with files.store.publish(files.table) as file:
        rows = part_files.ahead(partial(duplicates.unique_rows, files, twice=twice), receipts)
        part_files.write_table(file, rows, options.schema, options.compression)


def merge_digest(receipts: list[Receipt], lost: pa.Table, options: CompileOptions) -> str:
    """Digest what the table is made from."""
    state = hashlib.blake2b(options.identity(), digest_size=20)
    state.update(options.compression.encode())
    for receipt in receipts:
        # And not its digest alone: what was unreadable may be a row now, of the same sidecar.
        state.update(b"".join(receipt.footer().values()))
    state.update(repr(lost.to_pylist()).encode())
    return state.hexdigest()


def read_merged(files: TableFiles) -> Merged | None:
    """Read what the last merge came to."""
    try:
        with files.store.open(files.merged) as file:
            return msgspec.json.decode(file.read(), type=Merged)
    except (FileNotFoundError, ValueError):
        return None


def write_merged(files: TableFiles, merged: Merged) -> None:
    """Note what a merge came to."""
    with files.store.publish(files.merged) as file:
        file.write(msgspec.json.encode(merged))


def stamps(files: TableFiles) -> list[list[int]]:
    """Take what tells that the table and its ledger are still those that were merged."""
    found = []
    for path in (files.table, files.ledger):
        with suppress(FileNotFoundError):
            found.append(list(files.store.version(path)))
    return found


def count(
    receipts: list[Receipt], twice: duplicates.Duplicates, lost: pa.Table
) -> tuple[int, dict[str, int]]:
    """Count the rows of the table, and the rejects by reason."""
    again = sum(map(len, twice.values()))
    later: dict[reasons.Reason, int] = {"duplicate": again} if again else {}
    rejects = Counter[str](later)
    rejects.update(ledger.rejects_among(lost)["reason"].to_pylist())
    for receipt in receipts:
        rejects.update(receipt.rejects)
    return sum(receipt.rows for receipt in receipts) - again, dict(sorted(rejects.items()))


def check_rejects(
    merged: Merged,
    files: TableFiles,
    receipts: list[Receipt],
    lost: pa.Table,
    options: CompileOptions,
) -> None:
    """Fail a job of which too much was rejected: its source or its options are likely wrong."""
    faults = {reason: n for reason, n in merged.rejects.items() if reason != "no_width"}
    if sum(faults.values()) <= options.max_rejects * merged.sidecars:
        if not merged.rows and has_rows(files):
            raise CutlineError(f"{no_row(merged)} The table was left as it was.")
        return
    top = sorted(faults, key=lambda reason: -faults[reason])[:3]
    shown = "; ".join(
        f"{faults[reason]:,} {reason} ({example(reason, files, receipts, lost)})" for reason in top
    )
    raise CutlineError(
        f"{sum(faults.values()):,} of {merged.sidecars:,} sidecars were rejected, more than the"
        f" share of {options.max_rejects:g} that --max-rejects allows, and the table was left as it"
        f" was: {shown}; {reasons.mend(top[0])}, or raise --max-rejects."
    )


def no_row(merged: Merged) -> str:
    """Say that there is no row; empty if there are any."""
    if merged.rows:
        return ""
    rejects = ", ".join(f"{reason} {number:,}" for reason, number in merged.rejects.items())
    return (
        f"No sidecar gave a row ({rejects}): see whether these are the ones that you mean; shards"
        " that lie beside sidecars are passed over, and read if they are named, as by"
        " 'FOLDER/*.tar'."
    )


def has_rows(files: TableFiles) -> bool:
    """Return whether there is a table that has any."""
    try:
        return bool(parquet.footer_of(files.store, files.table).num_rows)
    except parquet.UNSOUND:
        return False


def example(reason: str, files: TableFiles, receipts: list[Receipt], lost: pa.Table) -> str:
    """Show the first reject of a reason."""
    twice = duplicates.find(files, receipts) if reason == "duplicate" else {}
    holders = (one for one in receipts if reason in one.rejects or one.index in twice)
    holder = next(holders, None)
    rejects = duplicates.ledger_lines(files, holder, twice) if holder else lost
    first = rejects.filter(pc.field("reason") == reason).slice(0, 1).to_pylist()[0]
    return f"{first['source']}: {first['detail']}"
