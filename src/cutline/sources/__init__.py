"""Where sidecars are, and their bytes: folders, URLs, tar shards.

A source lists its sidecars once, on the client. Workers read them, and return with each a stamp
that was taken before it was read, so that the next run notices a file that changed meanwhile.
"""

from cutline.sources import line_format, local_folder, passing_over, shard_names, tar_shards
from cutline.sources.base import Source
from cutline.sources.opening import Origin, open_source

__all__ = [
    "Origin",
    "Source",
    "line_format",
    "local_folder",
    "open_source",
    "passing_over",
    "shard_names",
    "tar_shards",
]
