"""The ledger: a line for each sidecar that gave no row, and for each damage of a shard."""

import os
from collections import Counter
from typing import Final, NamedTuple

import pyarrow as pa

from cutline.parquet import damage, open_parquet

LEDGER: Final = pa.schema(
    [(name, pa.string()) for name in ("source", "reason", "detail", "filename")]
)
"""The ledger: the sidecar's path in the source, why it gave no row, and its image's filename."""

EMPTY: Final = pa.Table.from_batches([], LEDGER)
"""A ledger without lines; `LEDGER.empty_table` would import pandas, where that is installed: 0.1 s.
"""

DAMAGED: Final = "damaged_shard"
"""The reason of a line of the ledger that is no reject: nobody knows what was there."""


class Rejects(NamedTuple):
    """How many lines of the ledger have one reason, and the first of them."""

    reason: str
    number: int
    source: str
    detail: str


def count_reasons(ledger: str) -> list[Rejects]:
    """Count the lines of the ledger by reason, the most frequent first."""
    if not os.path.exists(ledger):
        return []
    counts: Counter[str] = Counter()
    examples: dict[str, tuple[str, str]] = {}
    with open_parquet(ledger) as file, damage(ledger):
        for batch in file.iter_batches(columns=["reason", "source", "detail"]):
            reasons, *columns = (column.to_pylist() for column in batch.columns)
            counts.update(reasons)
            for reason, *example in zip(reasons, *columns, strict=True):
                if reason not in examples:
                    examples[reason] = tuple(example)
    ranked = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return [Rejects(reason, counts[reason], *examples[reason]) for reason in ranked]
