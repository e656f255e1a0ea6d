"""TODO report."""

from cutline.report.writing import ReportSummary, report_table, write_report

__all__ = ["ReportSummary", "report_table", "write_report"]
