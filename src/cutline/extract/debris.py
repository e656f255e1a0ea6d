"""Debris: what a tool that was stopped has left where a member of a shard goes."""

import os
from typing import Final

import imagesize

from cutline.record import TOO_LARGE, Reject, judging
from cutline.sources import tar_shards
from cutline.trainers import simpletuner

CAPTION_FILE: Final = b".txt"

PIECE: Final = 1 << 20
"""Bytes of a file that are compared at once."""

END: Final = 1 << 12
"""Bytes at each end of a file that tell whether it is a member that another tool unpacked."""


def is_debris(
    path: bytes, shard: tar_shards.OpenShard, offset: int, file: int, length: int
) -> bool:
    """Return whether a file that does not hold its member may be replaced.

    Debris is a sidecar that is no JSON object, an image that is none, and a file that holds only
    the beginning of its member. A text may say anything: it may be the caption that `captions` has
    written over the shard's; so only an empty one is debris.

    Parameters
    ----------
    path
        The member's path.
    shard, offset
        Where the member's bytes are.
    file, length
        The descriptor of the file that is there, and its bytes.
    """
    if path.endswith(CAPTION_FILE):
        return not length
    if path.lower().endswith(b".json"):
        return length <= TOO_LARGE and isinstance(judging.parse(os.pread(file, length, 0)), Reject)
    if path.rpartition(b".")[2].lower() not in simpletuner.IMAGES:
        return holds_beginning(shard, offset, file, length)
    with open(file, "rb", closefd=False) as image:
        return min(imagesize.get(image)) < 1 or holds_beginning(shard, offset, file, length)


def holds_beginning(shard: tar_shards.OpenShard, offset: int, file: int, length: int) -> bool:
    """Return whether a file of `length` bytes holds what is at `offset` of a shard."""
    pieces = [(start, min(PIECE, length - start)) for start in range(0, length, PIECE)]
    return _are_equal(shard, offset, file, pieces)


def has_ends_of(shard: tar_shards.OpenShard, offset: int, file: int, length: int) -> bool:
    """Return whether a file begins and ends as the `length` bytes at `offset` of a shard."""
    ends = {0: min(END, length), max(0, length - END): min(END, length)}
    return _are_equal(shard, offset, file, list(ends.items()))


def _are_equal(
    shard: tar_shards.OpenShard, offset: int, file: int, pieces: list[tar_shards.Span]
) -> bool:
    due = shard.read_spans([(offset + start, size) for start, size in pieces])
    return all(
        os.pread(file, size, start) == data for (start, size), data in zip(pieces, due, strict=True)
    )
