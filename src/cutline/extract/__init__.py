"""Tar shards to files: every regular member of a dataset's shards, each file whole."""

from cutline.extract.extract_options import ExtractOptions
from cutline.extract.extraction import ExtractSummary, extract
from cutline.extract.first_wins import lines_due

__all__ = ["ExtractOptions", "ExtractSummary", "extract", "lines_due"]
