"""TODO progress."""

from cutline.progress import events
from cutline.progress.on_stderr import on_stderr
from cutline.progress.plugin import show
from cutline.progress.summaries import Summary
from cutline.progress.watcher import SILENT, Clock, Load, Watcher

__all__ = ["SILENT", "Clock", "Load", "Summary", "Watcher", "events", "on_stderr", "show"]
