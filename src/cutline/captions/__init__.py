"""One caption file beside each image, from a table or straight from sidecars or shards."""

from cutline.captions.caption_files import CaptionsSummary, caption_source, is_table, write_captions

__all__ = ["CaptionsSummary", "caption_source", "is_table", "write_captions"]
