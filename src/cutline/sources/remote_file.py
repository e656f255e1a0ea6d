"""Files at any fsspec URL: one read in few and large ranges, or ranges of many at a time."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from zipfile import BadZipFile

import fsspec
from fsspec.asyn import AsyncFileSystem

from cutline import in_flight
from cutline.errors import CutlineError, UsageError, said
from cutline.sources.server_refusals import CutShortError, asked

T = TypeVar("T")

NEAR: Final = 1 << 14
"""Bytes of a range at first: two headers and the sidecar between them, with room."""

FAR: Final = 1 << 22
"""Bytes of a range at most."""


WHOLE: Final = 1 << 25
"""Bytes of a shard that is walked in one request; of one of 100 KB a sample there would be 300."""

REQUESTS: Final = 64
"""Requests on their way at a time, from each worker."""

PATIENT: Final = 120.0
"""Seconds for one request. Slow lines need them: 64 requests share one."""

R_co = TypeVar("R_co", covariant=True)


class Question(in_flight.Asked[R_co], Protocol[R_co]):
    """Something to ask a server."""

    @property
    def size(self) -> int:
        """About how many bytes will come."""

    def send(self) -> None:
        """Put it on its way, if its file system can have many there; `result` asks otherwise."""


def answers(filesystem: fsspec.AbstractFileSystem, questions: Iterable[Question[T]]) -> Iterator[T]:
    """Yield the answers to questions, in order, as many at a time as help and memory allows.

    An asynchronous file system is asked by its own loop, over connections that all of this process
    shares. Any other one is asked by threads, unless it answers at once.
    """

    def ask(question: Question[T]) -> Question[T]:
        question.send()
        return question

    def ahead(question: Question[T]) -> T | in_flight.Later:
        return question.result() if question.size <= in_flight.SMALL else in_flight.LATER

    if _is_asynchronous(filesystem):
        return in_flight.asked_ahead(ask, questions, REQUESTS, lambda question: question.size)
    return in_flight.in_order(lambda question: question.result(), questions, ahead)


class Range:
    """A range of a file, which may be on its way."""

    def __init__(
        self, filesystem: fsspec.AbstractFileSystem, path: str, start: int, end: int
    ) -> None:
        self.filesystem, self.path, self.start, self.end = filesystem, path, start, end
        self._sent: in_flight.Asked[bytes] | None = None

    def send(self) -> None:
        """Put the request on its way."""
        # With a start an S3 file system sends no HEAD before.
        # fsspec documents that the coroutine of a method has its name with an underscore.
        get = self.filesystem._cat_file  # noqa: SLF001
        limited = asyncio.wait_for(get(self.path, start=self.start, end=self.end), PATIENT)
        self._sent = asyncio.run_coroutine_threadsafe(limited, self.filesystem.loop)

    def read(self) -> bytes:
        """Return what comes: once the bytes that are on their way, then those of a new request."""
        if self._sent is None:
            if not _is_asynchronous(self.filesystem):
                data: bytes = self.filesystem.cat_file(self.path, start=self.start, end=self.end)
                return data
            self.send()
        sent, self._sent = self._sent, None
        assert sent is not None
        try:
            return sent.result()
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {PATIENT:g} seconds") from error
        finally:
            sent.cancel()  # if a Ctrl-C has come

    def cancel(self) -> None:
        """Forget the request."""
        if self._sent:
            self._sent.cancel()


class Remote:
    """Read at offsets of a file behind an fsspec URL.

    A range has `NEAR` bytes, so that among large members a sidecar and the headers on both sides of
    it are one request. While reads begin in or right behind the last range, members are small, and
    each range is twice as long as the last, up to `FAR`. One range is held. Who reads a file of up
    to `WHOLE` bytes from its beginning gets all of it in one.

    Parameters
    ----------
    url
        Any that fsspec knows.

    Attributes
    ----------
    size : int
        Bytes in the file.
    filesystem, path, info
        Where it is, and what its file system says of it.

    Raises
    ------
    CutlineError
        The server tells no sizes, does not serve ranges, refuses or does not answer.
    """

    def __init__(self, url: str) -> None:
        self.filesystem, self.path = open_filesystem(url)
        self.info = read_on(url, partial(self.filesystem.info, self.path))
        if self.info["size"] is None:
            raise CutlineError(f"The server does not tell the size of {url}: download it first.")
        self.size: int = self.info["size"]
        self._url = url
        self._file = read_on(url, partial(self.filesystem.open, self.path, "rb", cache_type="none"))
        self._start, self._held, self._span = 0, b"", NEAR

    def __call__(self, length: int, offset: int, /) -> bytes:
        """Read `length` bytes at `offset`; fewer only where the file ends."""
        length = max(0, min(length, self.size - offset))
        at = offset - self._start
        if at < 0 or at + length > len(self._held):
            self._fetch(length, offset)
            at = 0
        return self._held[at : at + length]

    def _fetch(self, length: int, offset: int) -> None:
        near = self._start <= offset <= self._start + len(self._held)
        self._span = min(2 * self._span, FAR) if near else NEAR
        walked = WHOLE if not offset and self.size <= WHOLE else 0
        size = min(max(length, self._span, walked), self.size - offset)
        self._held = read_on(self._url, partial(self._read, offset, size))
        self._start = offset

    def _read(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            data: bytes = self._file.read(size)
        except ValueError as error:  # raised by fsspec for a server that sends the whole file
            raise not_in_ranges(self._url) from error
        return whole(data, size)


def open_filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Open the file system of a URL, and drop what this process has cached of its listings.

    Raises
    ------
    UsageError
        The URL cannot be one, there is no such protocol, or a package for it is missing.
    RemoteError
        Its server does not answer.
    """
    try:
        filesystem, path = read_on(url, partial(fsspec.url_to_fs, url, **_pool(url)))
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or said(error)
        raise UsageError(
            f"{url} cannot be opened: run `pip install {package}` on the host of every worker."
        ) from error
    # The host or the target is missing, or there is no such protocol.
    except (AttributeError, TypeError, ValueError, BadZipFile) as error:
        raise UsageError(f"{url} cannot be opened ({said(error)}): correct the URL.") from error
    filesystem.invalidate_cache()
    return filesystem, path


def _pool(url: str) -> dict[str, Any]:
    """Return options for a pool of as many connections as there are requests."""
    protocol = url.partition("://")[0]
    if protocol not in {"s3", "s3a"}:
        return {}
    own = fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})
    return {"config_kwargs": {"max_pool_connections": REQUESTS, **own}}


def _is_asynchronous(filesystem: fsspec.AbstractFileSystem) -> bool:
    return isinstance(filesystem, AsyncFileSystem) and not filesystem.asynchronous


def read_on(url: str, question: Callable[[], T]) -> T:
    """Return what `asked` does, where nothing that a file system says of a file is passed over."""
    try:
        return asked(url, question)
    except OSError as error:
        raise cut_off(url, error) from error


def whole(data: bytes, size: int) -> bytes:
    """Return the bytes that were asked for; CutShortError if fewer have come."""
    if len(data) < size:
        raise CutShortError(f"{len(data):,} of {size:,} bytes came")
    return data


def not_in_ranges(url: str) -> CutlineError:
    """Return the error of a server that sends more than it is asked for."""
    return CutlineError(f"{url} is not served in ranges: download it first.")


def cut_off(place: str, error: Exception) -> CutlineError:
    """Return the error of a file that cannot be read any further."""
    return CutlineError(
        f"{place} cannot be read any further ({said(error)}): check its server or disk and run this"
        " again."
    )
