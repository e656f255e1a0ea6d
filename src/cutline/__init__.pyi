from .captions import CaptionsSummary, write_captions
from .checks import VerifyOptions
from .cluster import connect
from .clusterfile import Address, Local, read_cluster
from .demo import DemoOptions, Expected, make_demo
from .errors import CutlineError, UsageError
from .export import export
from .extract import ExtractSummary, extract
from .head import first_rows
from .loader import write_loader
from .mend import caption_orphans, move_orphans, restore_orphans
from .options import CompileOptions, ExtractOptions
from .recipe import RunSummary, run
from .records import Rules
from .report.write import ReportSummary, report_table
from .table import CompileSummary, compile_table
from .trainer import LoaderOptions
from .verdict import VerifySummary
from .verify import verify_dataset

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
    "LoaderOptions",
    "Local",
    "ReportSummary",
    "Rules",
    "RunSummary",
    "UsageError",
    "VerifyOptions",
    "VerifySummary",
    "caption_orphans",
    "compile_table",
    "connect",
    "export",
    "extract",
    "first_rows",
    "make_demo",
    "move_orphans",
    "read_cluster",
    "report_table",
    "restore_orphans",
    "run",
    "verify_dataset",
    "write_captions",
    "write_loader",
]
