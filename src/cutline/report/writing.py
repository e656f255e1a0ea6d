"""Writing the report: the last step of `cutline run`, and all of `cutline report`."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from distributed import Client

from cutline.errors import checked, flat
from cutline.progress import SILENT, Clock, Summary, Watcher, events
from cutline.report.facts import gather
from cutline.store import TableFiles, disk
from cutline.table import CompileOptions
from cutline.verify import VerifyOptions, VerifySummary, checks, verify_dataset


@dataclass(frozen=True, slots=True, repr=False)
class ReportSummary(Summary):
    """Where the report is."""

    page: str
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return {"job": "report", **asdict(self)}


@flat
@checked
@events.announced("report", "report-rows")
def report_table(
    table: disk.AnyPath,
    data: disk.AnyPath | None = None,
    options: VerifyOptions = checks.DEFAULTS,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> ReportSummary:
    """Write ``X.report.html`` beside a table; with `data`, the dataset is verified for it.

    Parameters
    ----------
    table
        The table.
    data
        The folder that its filenames are relative to.
    options, client, watcher
        As for `verify_dataset`.

    Raises
    ------
    UsageError
        There is no such table or folder.
    CutlineError
        The page cannot be written.
    """
    verified = None
    if data is not None:
        verified = verify_dataset(table, data, options, client=client, watcher=watcher)
    return write_report(table, verified, client=client, watcher=watcher)


def write_report(
    table: disk.AnyPath,
    verified: VerifySummary | None,
    options: CompileOptions | None = None,
    *,
    client: Client | None = None,
    watcher: Watcher = SILENT,
) -> ReportSummary:
    """Write ``X.report.html`` beside a table, with what a verification found, if there was one.

    It tells the `options` that the table was compiled with, where they are known.

    Raises
    ------
    UsageError
        There is no such table, or its ledger is not one of cutline.
    CutlineError
        The page cannot be written.
    """
    # Here, because bokeh takes 0.4 s to import and only this needs it.
    from cutline.report.page import page  # noqa: PLC0415
    from cutline.report.thumbnails import galleries  # noqa: PLC0415

    clock = Clock()
    outputs = TableFiles.of(table)
    facts = gather(outputs.table, verified, client, watcher, options)
    data = verified.data if verified else None
    shown = galleries(outputs.table, outputs.ledger, data, facts.shapes) if data else []
    text = page(facts, shown, datetime.now(UTC))
    with outputs.store.publish(outputs.report) as file:
        file.write(text.encode())
    return ReportSummary(outputs.report, clock.total())
