"""What is asked of servers: asked again where that may help, and a refusal is one sentence."""

import errno
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar

from cutline.errors import CutlineError, said

T = TypeVar("T")

REFUSALS: Final = (
    ("aiohttp", "ClientError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("httpx", "HTTPError"),
    ("httpx2", "HTTPError"),
)
"""What packages below fsspec raise that is not an OSError: module, and base class of its errors."""

PAUSES: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between one try and the next."""

PATIENCE: Final = 60.0
"""Seconds after which nothing is tried again; no server may ask for a longer pause."""

_PASSING: Final = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that may be others in a moment."""

_NO_WAY: Final = {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}
"""What the network answers in place of a server."""

GONE: Final = 404
"""The status of what is not there, whatever the protocol."""

_LOGIN: Final = (
    "this needs a token that may read it; one for HTTP goes into the environment of every worker as"
    """ FSSPEC_HTTP='{"headers": {"Authorization": "Bearer TOKEN"}}'"""
)
_MENDS: Final = {
    401: _LOGIN,
    403: _LOGIN,
    GONE: "correct the URL, or run this again if it has changed since it was listed",
    416: "it has changed since it was listed, so run this again",
    429: "it is asked too often, so wait and run this again, which goes on from what is done",
}
_WAIT: Final = "wait and run this again, which goes on from what is done"
_REACH: Final = "check that each worker reaches its server, and run this again"


class RemoteError(CutlineError):
    """A server refuses, or does not answer.

    Attributes
    ----------
    status
        The HTTP status; 404 also where another protocol says that something is not there, and 0
        where none was told.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message, status)  # so that it can be pickled on a worker
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class CutShortError(OSError):
    """A server has sent less than it was asked for."""


def asked(place: str, question: Callable[[], T]) -> T:
    """Return the answer of a server; it is asked again after a pause where that may help.

    Parameters
    ----------
    place
        The URL, for messages.
    question
        Asks. What it raises that is no refusal is raised as it is.

    Raises
    ------
    RemoteError
        It refuses, or does not answer.
    OSError
        A file system without a server says something of this one file.
    """
    began = time.monotonic()
    for pause in (*PAUSES, PATIENCE):
        try:
            return question()
        except refusals() as error:
            refusal = _Refusal.of(error)
            if refusal.is_own:
                raise
        wait = max(pause, refusal.wait or 0)
        over = time.monotonic() - began + wait > PATIENCE
        if over or not refusal.passes:
            break
        time.sleep(wait)
    raise refusal.error(place)  # not where it was caught: what cannot be pickled is no cause of it


def refusals() -> tuple[type[Exception], ...]:
    """Return what a file system raises when it fails: OSError, and what its package has."""
    loaded = (getattr(sys.modules.get(module), name, None) for module, name in REFUSALS)
    return (OSError, *filter(None, loaded))


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What a server has answered: its status, in words, and the seconds that it asks to wait."""

    status: int
    words: str
    wait: float | None = None
    is_own: bool = False

    @classmethod
    def of(cls, error: Exception) -> Self:
        """Read it from an exception of whatever package, or from what that was raised from."""
        causes = list(_causes(error))
        status = next(filter(None, map(_status, causes)), 0)
        first = [cause for cause in causes if isinstance(cause, refusals())][-1]
        if status:
            with suppress(ValueError):
                words = f"HTTP {status} {HTTPStatus(status).phrase}"
                return cls(status, words, next(filter(None, map(_wait, causes)), None))
            return cls(status, f"HTTP {status}")
        if isinstance(first, FileNotFoundError):
            return cls(GONE, "it is not there", is_own=_is_of_a_file(first))
        return cls(0, said(first), is_own=_is_of_a_file(first))

    @property
    def passes(self) -> bool:
        """Whether it may be another in a moment."""
        return self.status in _PASSING or not self.status

    def error(self, place: str) -> RemoteError:
        """Return the exception that says what to do."""
        words = self.words
        if self.status == GONE and place.startswith("http"):
            words = "HTTP 404 Not Found"  # of which fsspec makes a FileNotFoundError
        mend = _MENDS.get(self.status, _WAIT if self.status >= 500 else _REACH)
        asks = f", and asks to wait {self.wait:,.0f} seconds" if self.wait else ""
        return RemoteError(f"{place} cannot be read ({words}{asks}): {mend}.", self.status)


def _is_of_a_file(error: Exception) -> bool:
    """Return whether a file system says it of one file, and no server or network has said it."""
    network = (ConnectionError, TimeoutError, FileNotFoundError)
    if not isinstance(error, OSError) or isinstance(error, network):
        return False
    return (error.errno or 0) > 0 and error.errno not in _NO_WAY


def _causes(error: BaseException | None) -> Iterator[Exception]:
    """Yield an exception and what it was raised from."""
    while isinstance(error, Exception):
        yield error
        error = error.__cause__


def _status(error: Exception) -> int:
    """Return the HTTP status that an exception tells of, in the words of its package, or 0."""
    if type(error).__module__ == "aiohttp.http_exceptions":
        return 0  # its parser has 400 for a body that is cut short, which the server never said
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # of botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        names = ("status", "status_code", "code")
        told = (getattr(of, name, None) for of in (error, response) for name in names)
        found = next((code for code in told if isinstance(code, int)), 0)
    return found if isinstance(found, int) and found >= 400 else 0


def _wait(error: Exception) -> float | None:
    """Return how long the server asks to wait, in seconds: see Retry-After in RFC 9110."""
    response = getattr(error, "response", None)
    headers: Any = getattr(error, "headers", None) or getattr(response, "headers", None) or {}
    if isinstance(response, Mapping):
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    value = headers.get("Retry-After") or headers.get("retry-after")
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
