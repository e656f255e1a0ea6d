"""The ledger: a line for each sidecar that gave no row, and for each damage of a shard."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from cutline.errors import UsageError
from cutline.store import parquet

LEDGER: Final = pa.schema(
    [(name, pa.string()) for name in ("source", "reason", "detail", "filename")]
)
"""A line of the ledger: path of the sidecar in the source, why it gave no row, and its image."""

REJECTS: Final = LEDGER.insert(0, pa.field("position", pa.int64()))
"""The rejects of a part: the ledger's columns, and where in the part the sidecar stands."""

EMPTY: Final = pa.Table.from_batches([], LEDGER)
"""A ledger without lines; `LEDGER.empty_table` imports pandas where it is installed, in 0.1 s."""

DAMAGED: Final = "damaged_shard"
"""The reason of a line about damage, which is not a reject: nobody knows what was there."""


def rejects_among(lines: pa.Table) -> pa.Table:
    """Return the lines of a ledger that are about sidecars."""
    return lines.filter(pc.not_equal(lines["reason"], DAMAGED))


class Rejects(NamedTuple):
    """How many lines of the ledger have one reason, and the first of them."""

    reason: str
    number: int
    source: str
    detail: str


def read_lines(ledger: str) -> Iterator[pa.RecordBatch]:
    """Yield the lines of the ledger, some at a time, as `LEDGER`; nothing if there is none.

    Raises
    ------
    UsageError
        Another tool wrote it.
    CutlineError
        It is damaged.
    """
    if not parquet.is_there(ledger):
        return
    foreign = f"{ledger} is no ledger of cutline: compile the table again."
    with parquet.open_parquet(ledger, "compile the table again") as file, parquet.sound(ledger):
        for batch in file.iter_batches(columns=LEDGER.names):
            batch.validate(full=True)  # finds text that is not UTF-8
            try:
                lines = batch.select(LEDGER.names).cast(LEDGER)
            except (KeyError, pa.ArrowException) as error:
                raise UsageError(foreign) from error
            if any(lines[name].null_count for name in ("source", "reason", "detail")):
                raise UsageError(foreign)
            yield lines


def count_reasons(ledger: str) -> list[Rejects]:
    """Count the lines of the ledger by reason, the most frequent first.

    Raises what `read_lines` raises.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, tuple[str, str]] = {}
    for lines in read_lines(ledger):
        sources, reasons, details, _ = (column.to_pylist() for column in lines.columns)
        counts.update(reasons)
        for source, reason, detail in zip(sources, reasons, details, strict=True):
            examples.setdefault(reason, (source, detail))
    ranked = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return [Rejects(reason, counts[reason], *examples[reason]) for reason in ranked]
