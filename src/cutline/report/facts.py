"""What the report tells, gathered."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from distributed import Client

from cutline.plan import ledger, receipts, timings
from cutline.progress import Watcher
from cutline.report.shapes import Shapes, count_shapes
from cutline.store import TableFiles, parquet
from cutline.table import head
from cutline.verify import VerifySummary

ROWS: Final = 6
"""Rows of the table that are shown."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the report tells.

    `damages` are lines of the ledger, too, but no rejects: they are about shards. `measured` are of
    the parts whose time is known, and `verified` is what `cutline verify` found, if it was asked.
    """

    table: str
    shapes: Shapes
    rows: int
    rejects: list[ledger.Rejects]
    damages: ledger.Rejects | None
    first: pa.Table
    measured: list[receipts.Timing]
    verified: VerifySummary | None

    @property
    def sidecars(self) -> int:
        """How many sidecars there were."""
        return self.rows + sum(reject.number for reject in self.rejects)


def gather(
    table: str, verified: VerifySummary | None, client: Client | None, watcher: Watcher
) -> Facts:
    """Look at a table and its ledger."""
    outputs = TableFiles.of(table)
    counted = ledger.count_reasons(outputs.ledger)
    with parquet.open_parquet(outputs.table) as file:
        rows = file.metadata.num_rows
    return Facts(
        table=outputs.table,
        shapes=count_shapes(outputs.table, client, watcher),
        rows=rows,
        rejects=[each for each in counted if each.reason != ledger.DAMAGED],
        damages=next((each for each in counted if each.reason == ledger.DAMAGED), None),
        first=head.first_rows(outputs.table, ROWS),
        measured=timings.read(outputs),
        verified=verified,
    )
