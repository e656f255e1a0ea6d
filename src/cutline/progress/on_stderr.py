"""The watcher for standard error."""

import sys

from rich.console import Console

from cutline.progress.log import Log
from cutline.progress.terminal import Terminal
from cutline.progress.watcher import Watcher


def on_stderr() -> Watcher:
    """Return a watcher that writes bars to standard error if it is a terminal, else lines."""
    # Not rich's own check: it takes FORCE_COLOR, which is set for many logs, for a terminal.
    return Terminal(Console(stderr=True)) if sys.stderr.isatty() else Log(sys.stderr)
