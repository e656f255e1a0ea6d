"""What trainers read beside the caption files: SimpleTuner's entry, and exports of the table.

`loader` is SimpleTuner's ``multidatabackend.json``, `simpletuner` what SimpleTuner accepts, and
`webshart` the index with which it reads shards in place. Each export format is a module and a line
of `exporting.FORMATS`.
"""

from cutline.trainers import loader, simpletuner, webshart
from cutline.trainers.exporting import FORMATS, export
from cutline.trainers.loader import EntrySummary, write_loader
from cutline.trainers.simpletuner import LoaderOptions

__all__ = [
    "FORMATS",
    "EntrySummary",
    "LoaderOptions",
    "export",
    "loader",
    "simpletuner",
    "webshart",
    "write_loader",
]
