"""Where sidecars are, and their bytes: folders, URLs, tar shards.

A source lists its sidecars once, on the client; workers read them, and tell of each what it was
like before it was read, so that a file that changes meanwhile is found changed by the next run.
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
