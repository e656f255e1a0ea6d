"""A file at any fsspec URL, read in few and large ranges."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar
from zipfile import BadZipFile

import fsspec

from cutline.errors import CutlineError, UsageError, said
from cutline.sources.asking import CutShortError, asked

T = TypeVar("T")

NEAR: Final = 1 << 14
"""Bytes of a range at first: two headers and the sidecar between them, with room."""

FAR: Final = 1 << 22
"""Bytes of a range at most."""


class Remote:
    """Read at offsets of a file behind an fsspec URL.

    A range has `NEAR` bytes, so that among large members a sidecar and the headers on both sides of
    it are one request. While reads begin in or right behind the last range, members are small, and
    each range is twice as long as the last, up to `FAR`. One range is held.

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
        size = min(max(length, self._span), self.size - offset)
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
        filesystem, path = read_on(url, partial(fsspec.url_to_fs, url))
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
