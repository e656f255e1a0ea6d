"""A member as a file: written with its mark, and what becomes of a file that is there before."""

import os
from contextlib import suppress
from dataclasses import dataclass

from cutline.extract.debris import has_ends_of, holds_beginning, is_debris
from cutline.plan import marks
from cutline.sources import tar_shards


@dataclass(frozen=True, slots=True)
class MemberFile:
    """A member, and the mark of its file; None where marks are not kept."""

    path: bytes
    shard: tar_shards.OpenShard
    offset: int
    size: int
    mark: int | None

    def write(self, file: int) -> None:
        """Write the member to a descriptor, with its mark."""
        self.shard.copy(self.offset, self.size, file)
        self._set_mark(file)

    def fits(self, status: os.stat_result) -> bool:
        """Return whether a file is the one that an extraction of this version wrote."""
        return status.st_mtime_ns == self.mark and status.st_size == self.size

    def judge(self, known: marks.Known, _: str, file: int) -> str:
        """Return why a file that does not fit stays; "" if it is replaced."""
        status = os.fstat(file)
        place = (self.shard, self.offset, file, status.st_size)
        fills = status.st_size == self.size
        if known.birth_of(self.path, status.st_size, status.st_mtime_ns):
            if not (fills and holds_beginning(*place)):
                return ""
            with suppress(PermissionError):  # a file of another user
                self._set_mark(file)
            return "unchanged"
        if fills and has_ends_of(*place):
            return "unchanged"
        return "" if is_debris(self.path, *place) else "edited"

    def _set_mark(self, file: int) -> None:
        if self.mark is not None:
            os.utime(file, ns=(self.mark, self.mark))
