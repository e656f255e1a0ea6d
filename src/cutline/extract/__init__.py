"""Tar shards to files: every regular member of a dataset's shards, each file whole."""

from cutline.extract.extract_options import ExtractOptions
from cutline.extract.extraction import ExtractSummary, extract

__all__ = ["ExtractOptions", "ExtractSummary", "extract"]
