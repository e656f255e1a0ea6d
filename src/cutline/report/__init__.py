"""One page about a table that a person would rather look at than read."""

from cutline.report.write import ReportSummary, report_table, write_report

__all__ = ["ReportSummary", "report_table", "write_report"]
