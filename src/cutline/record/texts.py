"""Text that may hold anything, made fit for a caption, a message, a terminal or a page."""

import json
import re
from collections.abc import Sequence
from typing import Final

from rich.text import Text

# All control characters (Unicode category Cc), and the two others where str.splitlines breaks.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_NOTHING: Final = re.compile(
    "[\\s\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]*"
)
"""Blanks, and what only tells how others are shown: it has no width of its own."""


def clean(text: str) -> str:
    r"""Return a caption as one line.

    The trainer takes each line of a caption file for a caption. So line breaks and other control
    characters, one or several in a row, become one space; both ends are stripped. Text of which
    nothing can be seen, such as zero-width spaces, becomes empty.

    Examples
    --------
    >>> clean("  A cat,\r\nasleep.\n")
    'A cat, asleep.'
    """
    if text.isprintable():  # as almost every caption is: 0.1 us, the pattern takes 0.9 us
        return text.strip()
    cleaned = _CONTROLS.sub(" ", text).strip()
    return "" if _NOTHING.fullmatch(cleaned) else cleaned


def captions_in(cell: str | Sequence[str | None] | None) -> list[str]:
    """Return the captions in a cell of a table: text is one, a list several, and null none.

    Examples
    --------
    >>> captions_in("A cat."), captions_in(["A cat.", "A pet."]), captions_in(None)
    (['A cat.'], ['A cat.', 'A pet.'], [])
    """
    if isinstance(cell, str):
        return [cell]
    return [text for text in cell or () if text is not None]


def caption_file(cell: str | Sequence[str | None] | None) -> str | None:
    r"""Return what the caption file of a cell holds, a line for each caption; None if it has none.

    Examples
    --------
    >>> caption_file(["A cat.", "A pet."])
    'A cat.\nA pet.'
    """
    return cell if isinstance(cell, str) else "\n".join(captions_in(cell)) or None


def is_whole(text: str) -> bool:
    r"""Return whether text can be written: JSON may hold half a character, as ``\ud83d``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """Write a JSON value for a message: printable, at most 80 characters, lists by their length.

    Examples
    --------
    >>> shown("wide"), shown([1, 2]), shown(True)
    ("'wide'", 'a list of 2', 'true')
    """
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)} fields"
    text = ascii(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def shown_path(path: bytes) -> str:
    r"""Write a path as text; bytes that are not UTF-8 become ``\xNN``."""
    return path.decode(errors="backslashreplace")


UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of reading or break a line."""

_CELL_LIMIT: Final = 1000
"""Characters of a cell that go to rich; no terminal is wider."""


def cell(value: object) -> Text:
    """Build a cell of a terminal table: one line, control characters escaped, no markup."""
    text = "" if value is None else str(value)[:_CELL_LIMIT]
    return Text(UNSEEN.sub(escaped, text), no_wrap=True, overflow="ellipsis")


def escaped(match: re.Match[str]) -> str:
    r"""Write the character of a match as ``\x1b`` or ``\u202e``: for ``UNSEEN.sub``."""
    return match.group().encode("unicode_escape").decode()


def wrapped(sentence: str, width: int) -> str:
    """Break a sentence into lines of a width; a command between backquotes stays whole.

    Examples
    --------
    >>> print(wrapped("It is full: run `rm -r old` and go on.", 20))
    It is full: run
    `rm -r old` and go
    on.
    """
    lines = [""]
    for blanks, word in re.findall(r"( *)(\S*`[^`]*`\S*|\S+)", sentence):
        if lines[-1] and len(lines[-1]) + len(blanks) + len(word) > width:
            lines.append(word)
        else:
            lines[-1] += blanks + word
    return "\n".join(lines)
