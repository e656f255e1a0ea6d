"""Which watcher standard error wants."""

import sys

from rich.console import Console

from cutline.progress.log import Log
from cutline.progress.terminal import Terminal
from cutline.progress.watcher import Watcher


def on_stderr() -> Watcher:
    """Watch on standard error: as a terminal if it is one."""
    # Rich takes FORCE_COLOR, which many a log's environment has, for a terminal.
    return Terminal(Console(stderr=True)) if sys.stderr.isatty() else Log(sys.stderr)
