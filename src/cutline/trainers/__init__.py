"""What trainers read beside the caption files: SimpleTuner's entry, and exports of the table.

`loader` is SimpleTuner's ``multidatabackend.json``, `simpletuner` what SimpleTuner accepts. Each
export format is a module and a line of `exporting.FORMATS`.
"""

from cutline.trainers import loader, simpletuner
from cutline.trainers.exporting import FORMATS, export
from cutline.trainers.loader import EntrySummary, add_entry, write_loader
from cutline.trainers.simpletuner import LoaderOptions

__all__ = [
    "FORMATS",
    "EntrySummary",
    "LoaderOptions",
    "add_entry",
    "export",
    "loader",
    "simpletuner",
    "write_loader",
]
