"""What the report shows, gathered from a table, its ledger and a verification."""

from dataclasses import asdict, dataclass
from typing import Final

import pyarrow as pa
from distributed import Client

from cutline.plan import ledger, receipts
from cutline.progress import Watcher
from cutline.report.shapes import Shapes, count_shapes
from cutline.store import TableFiles, parquet
from cutline.table import DEFAULTS, CompileOptions, head
from cutline.verify import VerifySummary

ROWS: Final = 6
"""How many rows of the table are shown."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the report shows.

    Attributes
    ----------
    table
        The path of the table.
    shapes
        What its rows look like.
    rows
        How many there are.
    rejects
        The reasons of the ledger, the most frequent one first.
    damages
        The lines of the ledger about damaged shards, which are no rejects.
    first
        The first rows.
    measured
        How long parts took, as far as that is known.
    verified
        What `cutline verify` found, if it ran.
    made_with
        What a run was told besides what it does by itself; None where that is not known.
    """

    table: str
    shapes: Shapes
    rows: int
    rejects: list[ledger.Rejects]
    damages: ledger.Rejects | None
    first: pa.Table
    measured: list[receipts.Timing]
    verified: VerifySummary | None
    made_with: list[str] | None

    @property
    def sidecars(self) -> int:
        """The number of sidecars, each of which became a row or a reject."""
        return self.rows + sum(reject.number for reject in self.rejects)


def gather(
    table: str,
    verified: VerifySummary | None,
    client: Client | None,
    watcher: Watcher,
    options: CompileOptions | None = None,
) -> Facts:
    """Read what the report shows of a table; the rows are counted on the cluster of `client`."""
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
        measured=receipts.read_timings(outputs),
        verified=verified,
        made_with=None if options is None else _changes(options),
    )


def _changes(options: CompileOptions) -> list[str]:
    """Return the options that decide what is in a table and that are not the default, in words."""
    defaults = {**asdict(DEFAULTS), **asdict(DEFAULTS.rules)}
    named = {**asdict(options), **asdict(options.rules)}
    return [
        f"{name.replace('_', ' ')}: {_worded(named[name])}"
        for name in named
        if name not in {"rules", "fresh", "force_unlock"} and named[name] != defaults[name]
    ]


def _worded(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join("=".join(one) if isinstance(one, tuple) else str(one) for one in value)
    return str(value)
