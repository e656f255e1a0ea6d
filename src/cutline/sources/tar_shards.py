"""Sidecars in tar shards, and the bytes of any member: nothing is unpacked for them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile, zip_longest
from typing import Final, NamedTuple, Protocol

import pyarrow as pa

from cutline import in_flight
from cutline.errors import CutlineError, said
from cutline.record import TOO_LARGE, Reject
from cutline.sources.base import stamp, too_large, unreadable
from cutline.sources.line_format import Head, Sidecar, Stamp
from cutline.sources.remote_file import (
    FAR,
    WHOLE,
    Range,
    Remote,
    answers,
    cut_off,
    not_in_ranges,
    read_on,
    whole,
)
from cutline.sources.tar.members import HardLinks, IndexLine, index_line
from cutline.sources.tar.walking import Damage, Member, PackedError, ReadAt, local, walk
from cutline.store import disk

DAMAGES: Final = 100
"""Damages of a shard that are listed one by one; a hostile one has one for every two blocks."""

BATCH: Final = 10_000
"""Members that are held in memory; a hostile shard may have a million."""

GAP: Final = 1 << 16
"""Bytes between two sidecars of a remote shard that are read rather than skipped.

The sidecars of the real set are 100 KB and more apart, so each is a request of its own, 64 at once.
A request takes as long as 1 MB and more of a stream, but all streams share the line.
"""

AHEAD: Final = 32
"""Spans of a local shard that the kernel is asked to read in advance."""

Span = tuple[int, int]
"""Where bytes lie in a shard: their offset and how many they are."""


@dataclass(frozen=True, slots=True)
class Shards:
    """Sidecars in tar shards below a folder or URL; a line says which shard, and where in it."""

    root: str

    def __str__(self) -> str:
        return self.root

    def stamps(self, lines: pa.Table) -> list[Stamp]:
        """Return the stamps of the lines; each shard was looked at when they were listed."""
        columns = (lines[name].to_pylist() for name in ("shard", "stamp", "fault"))
        return list(zip(*columns, strict=True))

    def is_unreadable(self, stamp: Stamp) -> bool:
        """Return whether the stamp is that of a sidecar that cannot be read."""
        return stamp[2] is not None

    def read(self, lines: pa.Table) -> Iterator[Sidecar]:
        """Read the sidecars of some lines, all of one shard."""
        columns = [lines[name].to_pylist() for name in ("offset", "size", "fault")]
        places = list(zip(*columns, strict=True))
        spans = [(offset, size) for offset, size, fault in places if not fault and _readable(size)]
        with self.opened_as_listed(lines) as shard:
            data = shard.read_spans(spans)
            stamps = self.stamps(lines)
            paths = lines["path"].to_pylist()
            for path, (_, size, fault), seen in zip(paths, places, stamps, strict=True):
                if fault is not None:
                    yield path, Reject("unreadable", fault), seen
                else:
                    yield path, next(data) if _readable(size) else too_large(size), seen

    @contextmanager
    def heads(self, lines: pa.Table) -> Iterator[Head]:
        """Open what reads the first bytes of members of the shard of some lines."""
        with self.opened_as_listed(lines) as shard:
            yield partial(_head, shard)

    @contextmanager
    def opened_as_listed(self, lines: pa.Table) -> Iterator["OpenShard"]:
        """Open the shard of some lines, which must be as it was when they were listed."""
        name = lines["shard"][0].as_py()
        with self.opened(name) as shard:
            if shard.stamp != lines["stamp"][0].as_py():
                raise CutlineError(f"{self.root}/{name} changed while it was read: run this again.")
            yield shard

    @contextmanager
    def opened(self, name: str) -> Iterator["OpenShard"]:
        """Open a shard by its name in the source.

        Raises
        ------
        CutlineError
            It cannot be opened.
        """
        place = f"{self.root}/{name}"
        try:
            shard: OpenShard = RemoteShard(place) if "://" in place else LocalShard(place)
        except OSError as error:
            raise CutlineError(
                f"The shard {place} cannot be read ({said(error)}): check its disk and run this"
                " again."
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
    copiers: int  # the most threads that may read and copy at a time

    def read_spans(self, spans: Sequence[Span]) -> Iterator[bytes | Reject]:
        """Read many spans, in order."""

    def copy(self, offset: int, size: int, file: int) -> None:
        """Copy a span to the end of an open file."""

    def close(self) -> None:
        """Close it."""


class LocalShard:
    """A shard on a disk."""

    copiers: int = 16

    def __init__(self, path: str) -> None:
        self.place = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self.descriptor)
        self.size = status.st_size
        self.stamp = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        self.read = local(self.descriptor)

    def read_spans(self, spans: Sequence[Span]) -> Iterator[bytes | Reject]:
        """Read many spans, in order, one call each."""
        pairs = zip_longest(spans, spans[AHEAD:])
        return in_flight.in_order(self._read_span, pairs, self._read_small)

    def _read_small(self, pair: tuple[Span, Span | None]) -> bytes | Reject | in_flight.Later:
        return self._read_span(pair) if pair[0][1] <= in_flight.SMALL else in_flight.LATER

    def _read_span(self, pair: tuple[Span, Span | None]) -> bytes | Reject:
        (offset, size), later = pair
        if later:  # 60,000 sidecars on a cold disk take 1.7 s; without it, 4.6
            os.posix_fadvise(self.descriptor, later[0], later[1], os.POSIX_FADV_WILLNEED)
        try:
            return _whole(os.pread(self.descriptor, size, offset), size)
        except OSError as error:
            return unreadable(error)

    def copy(self, offset: int, size: int, file: int) -> None:
        """Copy a span to the end of an open file, without its bytes passing through Python."""
        try:
            copied = disk.copy_range(self.descriptor, offset, size, file)
        except OSError:
            self._check(offset, size)  # raises if it is the shard that failed, not the file
            raise
        if copied < size:
            raise _ends_early(self.place)

    def _check(self, offset: int, size: int) -> None:
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

    copiers: int = 1  # `Remote` reads on from where it was

    def __init__(self, url: str) -> None:
        self.place = url
        self.read: ReadAt = (remote := Remote(url))
        self.filesystem, self.path, self.size = remote.filesystem, remote.path, remote.size
        self.stamp = f"{self.size} {stamp(remote.info)}"

    def read_spans(self, spans: Sequence[Span]) -> Iterator[bytes | Reject]:
        """Read many spans, in order: many requests at once, spans near each other in one."""
        requests = _requests(spans, WHOLE, WHOLE) if self.size <= WHOLE else _requests(spans)
        # The first alone: it finds out, before it has read, that a server sends the whole shard.
        for request in islice(requests, 1):
            yield from request.cut(self.read(request.size, request.offset))
        for data in answers(self.filesystem, (_Sent(self, one) for one in requests)):
            yield from data

    def copy(self, offset: int, size: int, file: int) -> None:
        """Copy a span to the end of an open file."""
        for start in range(offset, offset + size, FAR):
            length = min(FAR, offset + size - start)
            data = self.read(length, start)
            if len(data) < length:
                raise _ends_early(self.place)
            disk.write_all(file, data)

    def close(self) -> None:
        """Close nothing: fsspec keeps its own connections."""


@dataclass(slots=True)
class Damages:
    """The damages of a shard: how many, and the first of them."""

    count: int
    first: list[tuple[int, str]]

    def add(self, damage: Damage) -> None:
        """Count one more, and keep it if it is among the first."""
        self.count += 1
        if self.count <= DAMAGES:
            self.first.append((damage.offset, damage.detail))


def index_lines(shard: OpenShard, damages: Damages) -> Iterator[list[IndexLine]]:
    """Walk a shard: yield the lines of its index, many at a time, and note its damages.

    Raises
    ------
    CutlineError
        The shard is compressed, or cannot be read any further.
    """
    lines: list[IndexLine] = []
    links: HardLinks | None = None
    try:
        for found in walk(shard.read, shard.size):
            if isinstance(found, Damage):
                damages.add(found)
                continue
            if found.kind == "link" and links is None:
                links = _hard_links(shard, found)
            lines.append(index_line(found) if links is None else links.line(found))
            if len(lines) == BATCH:
                yield lines
                lines = []
    except PackedError as error:
        raise CutlineError(f"{shard.place} {error}") from error
    except OSError as error:
        raise cut_off(shard.place, error) from error
    if lines:
        yield lines


def _hard_links(shard: OpenShard, first: Member) -> HardLinks:
    # The shard is walked again for what its links lead to, which hardly any shard has.
    def members() -> Iterator[Member]:
        found = walk(shard.read, shard.size)
        return (member for member in found if isinstance(member, Member))

    before = takewhile(lambda one: one.header_offset < first.header_offset, members())
    return HardLinks(members(), before)


class _Request(NamedTuple):
    """Spans near each other, which are read in one request."""

    offset: int
    size: int
    spans: list[Span]

    @property
    def end(self) -> int:
        return self.offset + self.size

    def cut(self, data: bytes) -> Iterator[bytes | Reject]:
        for offset, size in self.spans:
            yield _whole(data[offset - self.offset :][:size], size)


class _Sent:
    """A request that may be on its way; its result is what it was for."""

    def __init__(self, shard: RemoteShard, request: _Request) -> None:
        self._shard, self._request = shard, request
        self.size = request.size
        self._range = Range(shard.filesystem, shard.path, request.offset, request.end)
        self.send, self.cancel = self._range.send, self._range.cancel

    def result(self) -> list[bytes | Reject]:
        """Wait for the bytes, and cut them; errors are those of `read_on`."""
        return [*self._request.cut(read_on(self._shard.place, self._read))]

    def _read(self) -> bytes:
        data = self._range.read()
        if len(data) > self.size:
            raise not_in_ranges(self._shard.place)
        return whole(data, min(self.size, self._shard.size - self._request.offset))


def _requests(spans: Iterable[Span], gap: int = GAP, most: int = FAR) -> Iterator[_Request]:
    """Join spans to requests of at most so many bytes; hard links alone come in no order."""
    request: _Request | None = None
    for offset, size in spans:
        end = offset + size
        behind = request is not None and request.offset <= offset <= request.end + gap
        if request and behind and end <= request.offset + most:
            request.spans.append((offset, size))
            request = request._replace(size=max(request.size, end - request.offset))
        else:
            if request:
                yield request
            request = _Request(offset, size, [(offset, size)])
    if request:
        yield request


def _head(shard: OpenShard, _: bytes, offset: int | None, length: int) -> bytes:
    return shard.read(length, offset or 0)


def _readable(size: int) -> bool:
    return size <= TOO_LARGE


def _ends_early(place: str) -> CutlineError:
    return CutlineError(f"{place} ends before its members do: run this again.")


def _whole(data: bytes, size: int) -> bytes | Reject:
    return data if len(data) == size else Reject("unreadable", "the shard ends within it")
