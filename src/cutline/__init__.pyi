from .captions import CaptionsSummary, write_captions
from .cluster import connect
from .cluster.kinds import Address, Local, Slurm, Spec, Ssh, read_cluster
from .demo import DemoOptions, Expected, make_demo
from .errors import CutlineError, UsageError
from .extract import ExtractOptions, ExtractSummary, extract
from .progress import Watcher, show_progress
from .recipe import RunOptions, RunSummary, run
from .record import Rules
from .report import ReportSummary, report_table
from .table import CompileOptions, CompileSummary, compile_table
from .table.head import first_rows
from .trainers import LoaderOptions, export, write_loader
from .verify import (
    VerifyOptions,
    VerifySummary,
    caption_orphans,
    move_orphans,
    restore_orphans,
    verify_dataset,
)

__version__: str

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
    "RunOptions",
    "RunSummary",
    "Slurm",
    "Spec",
    "Ssh",
    "UsageError",
    "VerifyOptions",
    "VerifySummary",
    "Watcher",
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
    "show_progress",
    "verify_dataset",
    "write_captions",
    "write_loader",
]
