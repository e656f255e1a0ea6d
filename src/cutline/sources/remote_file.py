"""A file at any fsspec URL, read in few and large ranges."""

import sys
from typing import Final
from zipfile import BadZipFile

import fsspec

from cutline.errors import CutlineError, said

REFUSALS: Final = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("httpx", "HTTPError"),
    ("httpx2", "HTTPError"),
)
"""What packages below fsspec raise that is not an OSError: module, and base class of its errors."""

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

    Raises
    ------
    CutlineError
        The server tells no sizes, or does not serve ranges.
    """

    def __init__(self, url: str) -> None:
        filesystem, path = fsspec.url_to_fs(url)
        size = filesystem.size(path)
        if size is None:
            raise CutlineError(f"The server does not tell the size of {url}: download it first.")
        self.size: int = size
        self._url = url
        self._file = filesystem.open(path, "rb", cache_type="none")
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
        try:
            self._file.seek(offset)
            self._held = self._file.read(min(max(length, self._span), self.size - offset))
        except ValueError as error:  # raised by fsspec for a server that sends the whole file
            raise not_in_ranges(self._url) from error
        except refusals() as error:
            raise cut_off(self._url, error) from error
        self._start = offset


def open_filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Open the file system of a URL, and drop what this process has cached of its listings.

    Raises
    ------
    ValueError
        The URL cannot be one; there is no such protocol.
    ImportError
        A package for it is missing.
    """
    try:
        filesystem, path = fsspec.url_to_fs(url)
    except (AttributeError, TypeError, BadZipFile) as error:  # the host or the target is missing
        raise ValueError(said(error)) from error
    filesystem.invalidate_cache()
    return filesystem, path


def not_in_ranges(url: str) -> CutlineError:
    """Return the error of a server that sends more than it is asked for."""
    return CutlineError(f"{url} is not served in ranges: download it first.")


def cut_off(place: str, error: Exception) -> CutlineError:
    """Return the error of a file that cannot be read any further."""
    return CutlineError(
        f"{place} cannot be read any further ({said(error)}): check its server or disk and run this"
        " again."
    )


def refusals(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return what a file system raises when it fails: OSError, `more`, and what its package has."""
    loaded = (getattr(sys.modules.get(module), name, None) for module, name in REFUSALS)
    return (OSError, *more, *filter(None, loaded))
