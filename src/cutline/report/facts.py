"""What the report tells, gathered."""

import os
from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa
from distributed import Client

from cutline import store, timings, watch
from cutline.head import damage, first_rows, open_parquet
from cutline.index import DAMAGED
from cutline.plan import Timing
from cutline.report.shapes import Shapes, count_shapes
from cutline.verdict import VerifySummary

ROWS: Final = 6
"""Rows of the table that are shown."""


class Rejects(NamedTuple):
    """How many lines of the ledger have one reason, and the first of them."""

    reason: str
    number: int
    source: str
    detail: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the report tells.

    `damages` are lines of the ledger, too, but no rejects: they are about shards. `timings` are of
    the parts whose time is known, and `verified` is what `cutline verify` found, if it was asked.
    """

    table: str
    shapes: Shapes
    rows: int
    rejects: list[Rejects]
    damages: Rejects | None
    first: pa.Table
    timings: list[Timing]
    verified: VerifySummary | None

    @property
    def sidecars(self) -> int:
        """How many sidecars there were."""
        return self.rows + sum(reject.number for reject in self.rejects)


def gather(
    table: str, verified: VerifySummary | None, client: Client | None, watcher: watch.Watcher
) -> Facts:
    """Look at a table and its ledger."""
    outputs = store.Outputs.of(table)
    ledger = count_reasons(outputs.ledger)
    with open_parquet(outputs.table) as file:
        rows = file.metadata.num_rows
    return Facts(
        table=outputs.table,
        shapes=count_shapes(outputs.table, client, watcher),
        rows=rows,
        rejects=[each for each in ledger if each.reason != DAMAGED],
        damages=next((each for each in ledger if each.reason == DAMAGED), None),
        first=first_rows(outputs.table, ROWS),
        timings=timings.read(outputs),
        verified=verified,
    )


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
