"""Text of records, which may hold anything, as it can be shown."""

import re
from typing import Final

from rich.text import Text

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
