"""Sidecars to one table: rows in parts, parts merged to the table and its ledger.

`compile_table` is the job. `slices_of` cuts a table for the jobs that read it again, and `head`
shows its first rows.
"""

from cutline.table import head
from cutline.table.compile_options import DEFAULTS, CompileOptions
from cutline.table.compiling import CompileSummary, compile_table
from cutline.table.head import first_rows
from cutline.table.table_slices import Slice, slices_of

__all__ = [
    "DEFAULTS",
    "CompileOptions",
    "CompileSummary",
    "Slice",
    "compile_table",
    "first_rows",
    "head",
    "slices_of",
]
