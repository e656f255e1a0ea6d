"""The report: one HTML page about a table, which shows what it is made of and what is wrong.

`report_table` also verifies; `write_report` takes what has been found already.
"""

from cutline.report.writing import ReportSummary, report_table, write_report

__all__ = ["ReportSummary", "report_table", "write_report"]
