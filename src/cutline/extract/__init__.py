"""TODO extract."""

from cutline.extract.extract_options import ExtractOptions
from cutline.extract.extraction import ExtractSummary, extract

__all__ = ["ExtractOptions", "ExtractSummary", "extract"]
