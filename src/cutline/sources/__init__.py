"""Where sidecars are, and their bytes: folders, URLs, tar shards.

A source lists its sidecars once, on the client. Workers read them, and return with each a stamp
that was taken before it was read, so that the next run notices a file that changed meanwhile.
"""

from cutline.sources import line_format, local_folder, shard_names, tar_shards
from cutline.sources.base import Sidecar, Source
from cutline.sources.opening import Origin, open_source

__all__ = [
    "Origin",
    "Sidecar",
    "Source",
    "line_format",
    "local_folder",
    "open_source",
    "shard_names",
    "tar_shards",
]
