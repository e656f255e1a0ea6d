"""Parts to the table and its ledger."""

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cutline.errors import CutlineError
from cutline.plan import Receipt, ledger
from cutline.record import reasons
from cutline.store import TableFiles, parquet
from cutline.table import duplicates, part_files
from cutline.table.compile_options import CompileOptions

Advise: TypeAlias = Callable[[str], str]

PLAIN: Final = "the default options"

ALMOST_ALL: Final = 0.9
"""The share of sidecars that are rejected for one reason where the dialect is probably wrong."""


class Merged(msgspec.Struct, frozen=True):
    """What a merge came to, and the digest of what it was made from.

    `files` are the versions of the table and its ledger: while they and the digest are the same,
    there is nothing to merge. `typed` are the options of its rows, as on the command line.
    """

    digest: str
    rows: int
    rejects: dict[str, int]
    files: list[list[int]] = []
    typed: str | None = None

    @property
    def sidecars(self) -> int:
        """The number of sidecars that there were."""
        return self.rows + sum(self.rejects.values())


def merge(
    files: TableFiles,
    receipts: list[Receipt],
    options: CompileOptions,
    lost: pa.Table = ledger.EMPTY,
    advise: Advise = lambda _: "",
) -> Merged:
    """Merge parts to the table and the ledger, unless that has been done.

    Parameters
    ----------
    files
        Where the parts are, and the table will be.
    receipts
        Those of all parts, in order.
    options
        How to write the table, and how many rejects to accept.
    lost
        More lines of the ledger: sidecars that are in no part, and damage of shards.
    advise
        Returns what the records have and what helps, where one reason has almost all of them.

    Raises
    ------
    CutlineError
        Too many sidecars were rejected; the table that was there is as it was.
    """
    digest = _merge_digest(receipts, lost, options)
    before = None if options.fresh else _read_merged(files)
    if before and (before.digest, before.files) == (digest, _stamps(files)):
        _check_rejects(before, files, receipts, lost, options, advise)
        return before
    receipts = duplicates.settle(files, receipts)
    merged = Merged(_merge_digest(receipts, lost, options), *_count(receipts, lost))
    _check_rejects(merged, files, receipts, lost, options, advise)
    _write_tables(files, receipts, lost, options)
    with files.store.publish(files.merged) as file:
        made = msgspec.structs.replace(merged, files=_stamps(files), typed=options.typed)
        file.write(msgspec.json.encode(made))
    return merged


def other_options(files: TableFiles, options: CompileOptions) -> str:
    """Return in a sentence that the table that is there was made with other options of its rows.

    None are remembered for the next run: one that is forgotten makes other rows.
    """
    before = _read_merged(files)
    if before is None or before.typed in {None, options.typed}:
        return ""
    return (
        f"The table that is there was made with {before.typed or PLAIN}, and this one is made with"
        f" {options.typed or PLAIN}: their rows may differ."
    )


def _write_tables(
    files: TableFiles,
    receipts: list[Receipt],
    lost: pa.Table,
    options: CompileOptions,
) -> None:
    """Publish the ledger and then the table."""
    with files.store.publish(files.ledger) as file:
        rejects = part_files.ahead(partial(part_files.read_rejects, files), receipts)
        lines = (each.drop_columns("position") for each in rejects)
        part_files.write_table(file, chain(lines, [lost]), ledger.LEDGER, options.compression)
    with files.store.publish(files.table) as file:
        rows = part_files.ahead(partial(part_files.read_rows, files), receipts)
        part_files.write_table(file, rows, options.schema, options.compression)


def _merge_digest(receipts: list[Receipt], lost: pa.Table, options: CompileOptions) -> str:
    state = hashlib.blake2b(options.identity(), digest_size=20)
    state.update(options.compression.encode())
    for receipt in receipts:
        # Not its digest alone: a sidecar that was unreadable may be a row now.
        state.update(b"".join(receipt.footer().values()))
    state.update(repr(lost.to_pylist()).encode())
    return state.hexdigest()


def _read_merged(files: TableFiles) -> Merged | None:
    try:
        with files.store.open(files.merged) as file:
            return msgspec.json.decode(file.read(), type=Merged)
    except (FileNotFoundError, ValueError):
        return None


def _stamps(files: TableFiles) -> list[list[int]]:
    found = []
    for path in (files.table, files.ledger):
        with suppress(FileNotFoundError):
            found.append(list(files.store.version(path)))
    return found


def _count(receipts: list[Receipt], lost: pa.Table) -> tuple[int, dict[str, int]]:
    """Return the rows of the table, and its rejects by reason."""
    rejects = Counter[str]()
    rejects.update(ledger.rejects_among(lost)["reason"].to_pylist())
    for receipt in receipts:
        rejects.update(receipt.rejects)
    return sum(receipt.rows for receipt in receipts), dict(sorted(rejects.items()))


def _check_rejects(
    merged: Merged,
    files: TableFiles,
    receipts: list[Receipt],
    lost: pa.Table,
    options: CompileOptions,
    advise: Advise,
) -> None:
    """Refuse too many rejects: the source or the options are probably wrong."""
    faults = {reason: n for reason, n in merged.rejects.items() if reason != "no_width"}
    if sum(faults.values()) <= options.max_rejects * merged.sidecars:
        if not merged.rows and _has_rows(files):
            raise CutlineError(f"{no_row(merged, advise)} The table was left as it was.")
        return
    top = sorted(faults, key=lambda reason: -faults[reason])[:3]
    example = partial(_example, files, receipts, lost)
    shown = "; ".join(f"{faults[reason]:,} {reason} ({example(reason)})" for reason in top)
    rejected = f"{sum(faults.values()):,} of {merged.sidecars:,} sidecars were rejected"
    mend = reasons.mend(top[0])
    if most_of(merged) == top[0]:  # to allow for these would be a table of hardly anything
        helps = advise(top[0]) or f"{mend[0].upper()}{mend[1:]}"
        raise CutlineError(f"{rejected}, and the table was left as it was: {shown}. {helps}.")
    raise CutlineError(
        f"{rejected}, more than the share of {options.max_rejects:g} that --max-rejects allows, and"
        f" the table was left as it was: {shown}; {mend}, or raise --max-rejects."
    )


def most_of(merged: Merged) -> str:
    """Return the reason that almost all sidecars were rejected for; empty if there is none."""
    reason = max(merged.rejects, key=lambda one: merged.rejects[one], default="")
    return reason if merged.rejects.get(reason, 0) >= ALMOST_ALL * merged.sidecars else ""


def no_row(merged: Merged, advise: Advise) -> str:
    """Return a sentence about a table without a row; empty if it has any."""
    if merged.rows:
        return ""
    rejects = ", ".join(f"{reason} {number:,}" for reason, number in merged.rejects.items())
    if helps := advise(most_of(merged)):
        return f"No sidecar gave a row ({rejects}). {helps}."
    return (
        f"No sidecar gave a row ({rejects}): check that these are the ones you mean; shards"
        " beside sidecars are skipped, and read if they are named, as by 'FOLDER/*.tar'."
    )


def _has_rows(files: TableFiles) -> bool:
    try:
        return bool(parquet.footer_of(files.store, files.table).num_rows)
    except parquet.UNSOUND:
        return False


def _example(files: TableFiles, receipts: list[Receipt], lost: pa.Table, reason: str) -> str:
    """Return the first reject of a reason in words."""
    holder = next((one for one in receipts if reason in one.rejects), None)
    rejects = part_files.read_rejects(files, holder) if holder else lost
    first = rejects.filter(pc.field("reason") == reason).slice(0, 1).to_pylist()[0]
    return f"{first['source']}: {first['detail']}"
