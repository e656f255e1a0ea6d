"""Sidecars in tar shards, and the bytes of any member: nothing is unpacked for them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, NamedTuple, Protocol

import pyarrow as pa

from cutline.errors import CutlineError, said
from cutline.record import TOO_LARGE, Reject
from cutline.sources.base import CONCURRENT_READS, Sidecar, batches, stamp, too_large, unreadable
from cutline.sources.line_format import Stamp
from cutline.sources.remote_file import (
    FAR,
    Remote,
    cut_off,
    not_in_ranges,
    open_filesystem,
    refusals,
)
from cutline.sources.tar.members import Entries
from cutline.sources.tar.walking import Damage, PackedError, ReadAt, local, walk
from cutline.store import disk

DAMAGES: Final = 100
"""How many damages of a shard are told one by one; a hostile one has one for every two blocks."""

BATCH: Final = 10_000
"""Members that are held in memory: a hostile shard may have a million."""

GAP: Final = 1 << 16
"""Bytes between two sidecars of a remote shard that are read along rather than asked around.

The sidecars of the real set are 100 KB and more apart: each is a request of its own there, 32 at
once. A request takes as long as 1 MB and more of a stream, but as many streams share the line.
"""

AHEAD: Final = 32
"""How many pieces before it is read a piece of a local shard is asked for."""

Span = tuple[int, int]
"""Where bytes lie in a shard: their offset and how many they are."""


@dataclass(frozen=True, slots=True)
class Shards:
    """Sidecars in tar shards. The plan knows in which they are and where; this only reads them."""

    root: str

    def __str__(self) -> str:
        return self.root

    def stamps(self, lines: pa.Table) -> list[Stamp]:
        """Take the stamps of the plan, for which each shard has just been looked at."""
        columns = (lines[name].to_pylist() for name in ("shard", "stamp", "fault"))
        return list(zip(*columns, strict=True))

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Tell from its stamp that a sidecar cannot be read."""
        return stamp[2] is not None

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines, all of one shard."""
        columns = [lines[name].to_pylist() for name in ("offset", "size", "fault")]
        spans = list(zip(*columns, strict=True))
        wanted = [(offset, size) for offset, size, fault in spans if not fault and readable(size)]
        with self.opened_as_planned(lines) as shard:
            pieces = shard.pieces(wanted)
            stamps = self.stamps(lines)
            paths = lines["path"].to_pylist()
            for path, (_, size, fault), seen in zip(paths, spans, stamps, strict=True):
                if fault is not None:
                    yield path, Reject("unreadable", fault), seen
                else:
                    yield path, next(pieces) if readable(size) else too_large(size), seen

    @contextmanager
    def opened_as_planned(self, lines: pa.Table) -> Iterator["OpenShard"]:
        """Open the shard of some lines, which must be the one that was planned."""
        name = lines["shard"][0].as_py()
        with self.opened(name) as shard:
            if shard.stamp != lines["stamp"][0].as_py():
                raise CutlineError(f"{self.root}/{name} changed while it was read: run this again.")
            yield shard

    @contextmanager
    def opened(self, name: str) -> Iterator["OpenShard"]:
        """Open a shard, and name it in what goes wrong with it."""
        place = f"{self.root}/{name}"
        try:
            shard: OpenShard = RemoteShard(place) if "://" in place else LocalShard(place)
        except refusals(ValueError, ImportError) as error:
            raise CutlineError(
                f"The shard {place} cannot be read ({said(error)}): see to it."
            ) from error
        try:
            yield shard
        finally:
            shard.close()


class OpenShard(Protocol):
    """A shard that is open."""

    place: str
    stamp: str
    size: int
    read: ReadAt

    def pieces(self, spans: Sequence[Span]) -> Iterator[bytes | Reject]:
        """Read many pieces, in order."""

    def copy(self, offset: int, size: int, file: int) -> None:
        """Copy a piece to the end of an open file."""

    def close(self) -> None:
        """Close it."""


class LocalShard:
    """A shard on a disk."""

    def __init__(self, path: str) -> None:
        self.place = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self.descriptor)
        self.size = status.st_size
        self.stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        self.read = local(self.descriptor)

    def pieces(self, spans: Sequence[Span]) -> Iterator[bytes | Reject]:
        """Read many pieces, in order: one call a piece."""
        for (offset, size), later in zip_longest(spans, spans[AHEAD:]):
            if later:  # 60,000 sidecars on a cold disk take 1.7 s, and 4.6 if each is waited for
                os.posix_fadvise(self.descriptor, later[0], later[1], os.POSIX_FADV_WILLNEED)
            try:
                yield whole(os.pread(self.descriptor, size, offset), size)
            except OSError as error:
                yield unreadable(error)

    def copy(self, offset: int, size: int, file: int) -> None:
        """Copy a piece to the end of an open file, without its bytes passing through Python."""
        try:
            copied = disk.copy_range(self.descriptor, offset, size, file)
        except OSError:
            self.check(offset, size)  # or it is the file that cannot be written
            raise
        if copied < size:
            raise ends_early(self.place)

    def check(self, offset: int, size: int) -> None:
        """Refuse a piece that cannot be read."""
        try:
            for start in range(offset, offset + size, FAR):
                os.pread(self.descriptor, min(FAR, offset + size - start), start)
        except OSError as error:
            raise cut_off(self.place, error) from error

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


class RemoteShard:
    """A shard behind an fsspec URL."""

    def __init__(self, url: str) -> None:
        self.place = url
        self.filesystem, self.path = open_filesystem(url)
        self.read: ReadAt = (remote := Remote(url))
        self.size = remote.size
        self.stamp = f"{self.size} {stamp(self.filesystem.info(self.path))}"

    def pieces(self, spans: Sequence[Span]) -> Iterator[bytes | Reject]:
        """Read many pieces, in order: many requests at once, near pieces in one."""
        with ThreadPoolExecutor(CONCURRENT_READS) as readers:
            for batch in batches(stretches(spans)):
                for stretch, data in zip(batch, readers.map(self.fetch, batch), strict=True):
                    if isinstance(data, Reject):
                        yield from [data] * len(stretch.spans)
                    else:
                        for offset, size in stretch.spans:
                            yield whole(data[offset - stretch.offset :][:size], size)

    def fetch(self, stretch: "Stretch") -> bytes | Reject:
        """Read one stretch of pieces."""
        try:
            data: bytes = self.filesystem.cat_file(self.path, start=stretch.offset, end=stretch.end)
        except refusals() as error:
            return unreadable(error)
        if len(data) > stretch.size:
            raise not_in_ranges(self.place)
        return data

    def copy(self, offset: int, size: int, file: int) -> None:
        """Copy a piece to the end of an open file."""
        for start in range(offset, offset + size, FAR):
            length = min(FAR, offset + size - start)
            piece = self.read(length, start)
            if len(piece) < length:
                raise ends_early(self.place)
            disk.write_all(file, piece)

    def close(self) -> None:
        """Close nothing: fsspec keeps its own connections."""


class Stretch(NamedTuple):
    """Pieces that are near each other, and are read in one go."""

    offset: int
    size: int
    spans: list[Span]

    @property
    def end(self) -> int:
        """Where the last of its pieces ends."""
        return self.offset + self.size


def stretches(spans: Iterable[Span]) -> Iterator[Stretch]:
    """Put pieces together that are near each other; they come by offset."""
    stretch: Stretch | None = None
    for offset, size in spans:
        end = offset + size
        if stretch and offset <= stretch.end + GAP and end <= stretch.offset + FAR:
            stretch.spans.append((offset, size))
            stretch = stretch._replace(size=end - stretch.offset)
        else:
            if stretch:
                yield stretch
            stretch = Stretch(offset, size, [(offset, size)])
    if stretch:
        yield stretch


def readable(size: int) -> bool:
    """Tell whether a sidecar is small enough to be read."""
    return size <= TOO_LARGE


def ends_early(place: str) -> CutlineError:
    """Say that a shard has become shorter."""
    return CutlineError(f"{place} ends before its members do: run this again.")


def whole(data: bytes, size: int) -> bytes | Reject:
    """Take what was read if it is all there."""
    return data if len(data) == size else Reject("unreadable", "the shard ends within it")


@dataclass(slots=True)
class Damages:
    """The damages of a shard: how many, and the first of them."""

    count: int
    first: list[tuple[int, str]]

    def add(self, damage: Damage) -> None:
        """Take in one more."""
        self.count += 1
        if self.count <= DAMAGES:
            self.first.append((damage.offset, damage.detail))


def batches_of_entries(shard: OpenShard, damages: Damages) -> Iterator[Entries]:
    """Walk a shard: give its members, many at a time, and take in its damages."""
    members = Entries()
    try:
        for found in walk(shard.read, shard.size):
            if isinstance(found, Damage):
                damages.add(found)
                continue
            members.add(found)
            if len(members.paths) == BATCH:
                yield members
                members = Entries()
    except PackedError as error:
        raise CutlineError(f"{shard.place} {error}") from error
    except OSError as error:
        raise cut_off(shard.place, error) from error
    if members.paths:
        yield members
