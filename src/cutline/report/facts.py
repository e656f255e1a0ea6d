"""What the report tells, gathered."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from distributed import Client

from cutline import store, timings, watch
from cutline.head import first_rows
from cutline.ledger import DAMAGED, Rejects, count_reasons
from cutline.parquet import open_parquet
from cutline.plan import Timing
from cutline.report.shapes import Shapes, count_shapes
from cutline.verdict import VerifySummary

ROWS: Final = 6
"""Rows of the table that are shown."""


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
