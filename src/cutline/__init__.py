"""The JSON sidecars of an image-text dataset, as a table and caption files, on Dask.

Each command of the command line is a function here. Given a Dask `client` it works on that
cluster; without one, on Dask's scheduler of this process. It returns a summary and prints nothing.
"""

from cutline.captions import CaptionsSummary, write_captions
from cutline.cluster import Address, Local, connect, read_cluster
from cutline.demo import DemoOptions, Expected, make_demo
from cutline.errors import CutlineError, UsageError
from cutline.extract import ExtractOptions, ExtractSummary, extract
from cutline.options import CompileOptions
from cutline.recipe import RunSummary, run
from cutline.records import Rules
from cutline.table import CompileSummary, compile_table

__all__ = [
    "Address",
    "CaptionsSummary",
    "CompileOptions",
    "CompileSummary",
    "CutlineError",
    "DemoOptions",
    "Expected",
    "ExtractOptions",
    "ExtractSummary",
    "Local",
    "Rules",
    "RunSummary",
    "UsageError",
    "compile_table",
    "connect",
    "extract",
    "make_demo",
    "read_cluster",
    "run",
    "write_captions",
]
