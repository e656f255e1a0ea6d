"""Text that may hold anything, made fit for a caption, a message or a page."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from rich.text import Text

# Every control character (Unicode category Cc), and the two that str.splitlines also breaks at.
CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def clean(text: str) -> str:
    r"""Make a caption one line.

    The trainer takes each line of a caption file as a caption of its own, so each run of line
    breaks and other control characters becomes one space, and the ends are stripped.

    Examples
    --------
    >>> clean("  A cat,\r\nasleep.\n")
    'A cat, asleep.'
    """
    if text.isprintable():  # 0.1 us, against 0.9 us for the pattern; almost every caption is
        return text.strip()
    return CONTROLS.sub(" ", text).strip()


def shown(value: object) -> str:
    """Put a value into a message: short, printable, and never the `repr` of a nested record."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)} fields"
    text = ascii(value) if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."


def shown_fields(record: Mapping[str, Any]) -> str:
    """List the names of a record's fields for a message."""
    names = ", ".join(shown(name)[1:-1] for name in list(record)[:20])
    return names or "no fields"


def shown_path(path: bytes) -> str:
    r"""Write a path as text; bytes that are not UTF-8 become ``\xNN``."""
    return path.decode(errors="backslashreplace")


# Control characters, and those that turn the reading direction or break a line.
UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

SHOWN: Final = 1000
"""Characters of a cell that are handed to rich; no terminal is wider."""


def cell(value: object) -> Text:
    """Make one line of a value, with control characters escaped and markup as it stands."""
    text = "" if value is None else str(value)[:SHOWN]
    return Text(UNSEEN.sub(escaped, text), no_wrap=True, overflow="ellipsis")


def escaped(match: re.Match[str]) -> str:
    r"""Write a character as ``\x1b`` or ``\u202e``."""
    return match.group().encode("unicode_escape").decode()
