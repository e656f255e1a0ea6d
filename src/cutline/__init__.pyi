from .captions import CaptionsSummary, write_captions
from .cluster import Address, Local, connect, read_cluster
from .demo import DemoOptions, Expected, make_demo
from .errors import CutlineError, UsageError
from .options import CompileOptions
from .recipe import RunSummary, run
from .records import Rules
from .table import CompileSummary, compile_table

__all__ = [
    "Address",
    "CaptionsSummary",
    "CompileOptions",
    "CompileSummary",
    "CutlineError",
    "DemoOptions",
    "Expected",
    "Local",
    "Rules",
    "RunSummary",
    "UsageError",
    "compile_table",
    "connect",
    "make_demo",
    "read_cluster",
    "run",
    "write_captions",
]
