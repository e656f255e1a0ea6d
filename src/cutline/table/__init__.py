"""Sidecars to one table: rows in parts, parts merged to the table and its ledger.

`compile_table` is the job. `slices_of` cuts a table for the jobs that read it again, `head` shows
its first rows, and `trial` compiles a sample to see what all of it would take.
"""

from cutline.table import head, trial
from cutline.table.compile_options import DEFAULTS, CompileOptions
from cutline.table.compiling import CompileSummary, compile_table
from cutline.table.table_slices import Slice, slices_of

__all__ = [
    "DEFAULTS",
    "CompileOptions",
    "CompileSummary",
    "Slice",
    "compile_table",
    "head",
    "slices_of",
    "trial",
]
