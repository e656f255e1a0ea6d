"""What a job tells while it runs: to its user, to Dask's dashboard, and in its summary.

A job follows its stages with a `Watcher` and times them with a `Clock`; its tasks tell what they
did through `events`, which Dask's own pages, Prometheus and the Captions page show.
"""

from cutline.progress import events
from cutline.progress.notebook import show_progress
from cutline.progress.plugin import show_captions_page
from cutline.progress.summaries import Summary
from cutline.progress.watcher import SILENT, Clock, Load, Watcher

__all__ = [
    "SILENT",
    "Clock",
    "Load",
    "Summary",
    "Watcher",
    "events",
    "show_captions_page",
    "show_progress",
]
