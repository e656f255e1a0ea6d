"""What stands where a member of a shard goes: whether it may be replaced, or is somebody's."""

import os
from typing import Final

import imagesize

from cutline.record import TOO_LARGE, Reject, judging
from cutline.sources import tar_shards
from cutline.trainers import simpletuner

CAPTION_FILE: Final = b".txt"

PIECE: Final = 1 << 20
"""Bytes of a file that are compared at once."""


def is_debris(
    path: bytes, shard: tar_shards.OpenShard, offset: int, file: int, length: int
) -> bool:
    """Tell whether a file of another size than its member is nothing that somebody has made.

    That is what is not what its name says: no JSON object for a sidecar, no image for an image; and
    what has only the beginning of its member, as a tool leaves it that is stopped. A text may say
    anything: it may be the caption that `captions` has written over the shard's.
    """
    if path.endswith(CAPTION_FILE):
        return not length
    if path.endswith(b".json"):
        return length <= TOO_LARGE and isinstance(judging.parse(os.pread(file, length, 0)), Reject)
    if path.rpartition(b".")[2].lower() not in simpletuner.IMAGES:
        return is_beginning(shard, offset, file, length)
    with open(file, "rb", closefd=False) as image:
        return min(imagesize.get(image)) < 1 or is_beginning(shard, offset, file, length)


def is_beginning(shard: tar_shards.OpenShard, offset: int, file: int, length: int) -> bool:
    """Tell whether a file holds the beginning of a member, and nothing else."""
    pieces = [(start, min(PIECE, length - start)) for start in range(0, length, PIECE)]
    due = shard.read_spans([(offset + start, size) for start, size in pieces])
    return all(
        os.pread(file, size, start) == data for (start, size), data in zip(pieces, due, strict=True)
    )
