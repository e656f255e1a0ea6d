r"""JSON as sidecars have it: that of RFC 8259, and what Python's own `json` writes beyond it.

`NaN`, `Infinity`, numbers that no double holds and half a character (``\ud83d``) stop no record:
only what is used of it has to be sound, which its judge sees to. orjson reads almost every sidecar,
and Python's `json`, which takes ten times as long, those few.
"""

import json
import re
from typing import Any, Final

import orjson

from cutline.record.outcome import Reject

_BOM: Final = b"\xef\xbb\xbf"

_BEYOND: Final = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]|\d{100}|[eE]\+?\d{3}")
"""What orjson may have refused that is taken here."""

_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)

_DEEPEST: Final = 254
"""Levels of lists and objects, as many as orjson writes.

`json` is limited by the stack that is left, which is not the same everywhere.
"""

_ENCODINGS: Final = (
    ("UTF-32 (little-endian)", re.compile(rb"\xff\xfe\0\0|[^\0]\0\0\0", re.DOTALL)),
    ("UTF-32 (big-endian)", re.compile(rb"\0\0\xfe\xff|\0\0\0[^\0]", re.DOTALL)),
    ("UTF-16 (little-endian)", re.compile(rb"\xff\xfe|[^\0]\0", re.DOTALL)),
    ("UTF-16 (big-endian)", re.compile(rb"\xfe\xff|\0[^\0]", re.DOTALL)),
    ("gzip", re.compile(rb"\x1f\x8b")),
)
"""What begins like this, with a byte order mark or, as all JSON does, with an ASCII character."""


def read_json(data: bytes) -> Any:  # noqa: ANN401 - what JSON may hold
    """Read a sidecar; return what it holds, or a `bad_json` reject.

    A byte order mark of UTF-8 is accepted. Other encodings are told by their name as far as it can
    be known, and by the first byte that is not UTF-8.
    """
    try:
        return orjson.loads(data.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        refused = error
    if encoding := _other_encoding(data):
        return Reject("bad_json", encoding)
    if _BEYOND.search(data):
        try:
            return _read_slowly(data.removeprefix(_BOM).decode())
        except (ValueError, RecursionError):
            pass
    return Reject("bad_json", str(refused))


def _read_slowly(text: str) -> Any:  # noqa: ANN401
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += (match[0] in "[{") - (match[0] in "]}")
        if depth > _DEEPEST:
            raise RecursionError
    return json.loads(text, parse_int=_number)


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)  # as orjson does


def _other_encoding(data: bytes) -> str:
    """Return in words how a sidecar is encoded, if it is not UTF-8; otherwise nothing."""
    named = next((name for name, begins in _ENCODINGS if begins.match(data)), None)
    places = [data.find(0)] if named else []
    try:
        data.decode()
    except UnicodeDecodeError as error:
        places.append(error.start)
    place = min((place for place in places if place >= 0), default=None)
    if place is None:
        return ""
    encoding = named or "in another encoding than UTF-8, such as Windows-1252"
    return f"it is {encoding}: byte {place:,} is 0x{data[place]:02x}"
