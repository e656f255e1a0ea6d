"""TODO trainers."""

from cutline.trainers import loader, simpletuner
from cutline.trainers.exporting import FORMATS, default_name, export
from cutline.trainers.loader import write_loader
from cutline.trainers.simpletuner import LoaderOptions

__all__ = [
    "FORMATS",
    "LoaderOptions",
    "default_name",
    "export",
    "loader",
    "simpletuner",
    "write_loader",
]
