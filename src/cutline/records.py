"""What a row is: one sidecar in, a `Row` or a `Reject` out.

Pure: nothing here knows a file or Dask, and nothing here raises for what a record holds.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

TOO_LARGE: Final = 16 * 2**20
"""Bytes; a larger sidecar is rejected unread."""

NAME_LIMIT: Final = 250
"""Bytes of an `image_name` in UTF-8: with ``.txt`` it still fits the 255 of common file systems."""

FOLDER_LIMIT: Final = 255
"""Bytes of the name of a folder in UTF-8."""

REASONS: Final = (
    "no_width",
    "bad_width",
    "bad_height",
    "no_image_name",
    "bad_image_name",
    "no_caption",
    "bad_caption",
    "bad_json",
    "not_object",
    "too_large",
    "unreadable",
    "duplicate",
)

BOM: Final = b"\xef\xbb\xbf"

# Every control character (Unicode category Cc), and the two that str.splitlines also breaks at.
CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
UNSAFE_IN_NAME: Final = re.compile("[\x00-\x1f\x7f-\x9f/\\\\]")


class Row(NamedTuple):
    """One line of the table; `columns` holds what `--column` asked for, in that order."""

    width: int
    height: int
    caption: str
    filename: str
    columns: tuple[str | None, ...] = ()


class Reject(NamedTuple):
    """Why a sidecar gave no row; `filename` is the image's where the record names one safely."""

    reason: str
    detail: str
    filename: str | None = None


Outcome: TypeAlias = Row | Reject


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a record goes into its row.

    Attributes
    ----------
    caption_fields
        The fields to look for a caption in, in order of preference.
    columns
        Extra text columns of the table, as pairs (column name, field).
    raw_captions
        Keep a caption as it is, line breaks and all.
    """

    caption_fields: tuple[str, ...] = ("short_caption",)
    columns: tuple[tuple[str, str], ...] = ()
    raw_captions: bool = False


NO_NUMBER: Final = re.compile("NaN|Infinity")
"""What Python's `json` writes and reads, and JSON does not have."""


def judge(path: bytes, data: bytes, rules: Rules) -> Outcome:
    r"""Decide what one sidecar is.

    Parameters
    ----------
    path
        The sidecar's path relative to the source, ``/``-separated; its folder is the image's.
    data
        What the sidecar holds; a UTF-8 byte order mark is accepted.
    rules
        What of the record goes into the row.

    Examples
    --------
    >>> sidecar = b'{"width": 64, "height": "48", "image_name": "a.png", "title": "A\\ncat"}'
    >>> judge(b"cats/a.json", sidecar, Rules(caption_fields=("title",)))
    Row(width=64, height=48, caption='A cat', filename='cats/a.png', columns=())
    >>> judge(b"cats/b.json", b"{}", Rules())
    Reject(reason='no_width', detail='the record has no width', filename=None)
    """
    record = parse(data)
    if isinstance(record, Reject):
        return record
    filename = image_filename(path, record.get("image_name"))
    named = None if isinstance(filename, Reject) else filename
    width = record.get("width")
    if width is None:
        return Reject("no_width", "the record has no width", named)
    width, height = size(width), size(record.get("height"))
    if width is None:
        return Reject("bad_width", f"width is {shown(record['width'])}", named)
    if height is None:
        return Reject("bad_height", f"height is {shown(record.get('height'))}", named)
    if isinstance(filename, Reject):
        return filename
    text = caption(record, rules)
    if isinstance(text, Reject):
        return text._replace(filename=filename)
    columns: tuple[str | None, ...] = ()
    try:
        if rules.columns:
            columns = tuple([column_text(record.get(field)) for _, field in rules.columns])
    except orjson.JSONEncodeError as error:  # orjson reads 1,024 levels and writes 254
        return Reject("bad_json", f"a --column value cannot be stored: {error}", filename)
    # Row(...) is the same, with 0.1 us of Python around it.
    return tuple.__new__(Row, (width, height, text, filename, columns))


def parse(data: bytes) -> dict[str, Any] | Reject:
    """Read a sidecar as a JSON object."""
    try:
        record = orjson.loads(data.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        found = NO_NUMBER.match(error.doc, error.pos)
        return Reject("bad_json", f"{found[0]} is not JSON: {error}" if found else str(error))
    if not isinstance(record, dict):
        return Reject("not_object", f"the sidecar holds {shown(record)}")
    return record


def size(value: object) -> int | None:
    """Take a width or a height, in pixels: whole, positive and below 2**31, or None.

    An integral float and a string of digits are taken, as the recipe's `int()` did.
    """
    if type(value) is int:  # first, because almost every one is, and a bool is not
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and value.isascii() and value.isdigit():
        digits = value.lstrip("0")
        number = int(digits) if 0 < len(digits) < 20 else 0
    else:
        return None
    return number if 0 < number < 2**31 else None


def image_filename(path: bytes, image_name: object) -> str | Reject:
    """Join the sidecar's folder and its `image_name`, which must be one plain path component."""
    if image_name is None:
        return Reject("no_image_name", "the record has no image_name")
    if not isinstance(image_name, str):
        return Reject("bad_image_name", f"image_name is {shown(image_name)}")
    if fault := image_fault(image_name):
        return Reject("bad_image_name", f"image_name {shown(image_name)} {fault}")
    folder, slash, _ = path.rpartition(b"/")
    if not slash:
        return image_name
    within = folder_name(folder)
    return within if isinstance(within, Reject) else f"{within}/{image_name}"


@lru_cache(1024)
def folder_name(folder: bytes) -> str | Reject:
    """Take the path of a sidecar's folder, which becomes a part of filenames."""
    try:
        name = folder.decode()
    except UnicodeDecodeError:
        return Reject("bad_image_name", "the name of the sidecar's folder is not UTF-8")
    if fault := folder_fault(name):
        return Reject("bad_image_name", f"the sidecar's folder {shown(name)} {fault}")
    return name


def path_fault(filename: str) -> str | None:
    """Say why a filename cannot be one of the table's, or None if it can."""
    folder, slash, name = filename.rpartition("/")
    return (folder_fault(folder) if slash else None) or image_fault(name)


def folder_fault(folder: str) -> str | None:
    """Say why a folder cannot be one of a filename, or None if it can."""
    faults = (component_fault(name, FOLDER_LIMIT) for name in folder.split("/"))
    return next(filter(None, faults), None)


def image_fault(name: str) -> str | None:
    """Say why a name cannot be an image's, or None if it can."""
    if fault := component_fault(name, NAME_LIMIT):
        return fault
    return "would be overwritten by its own caption file" if name.endswith(".txt") else None


def component_fault(name: str, limit: int) -> str | None:
    """Say why a name is not one plain path component, or None if it is."""
    if name in {"", ".", ".."}:
        return "names no file"
    # Three looks at 0.04 us, for almost every name, in place of a search at 0.3.
    plain = name.isprintable() and "/" not in name and "\\" not in name
    if not plain and UNSAFE_IN_NAME.search(name):
        return "holds a slash, a backslash or a control character"
    if len(name) * 4 > limit and len(name.encode()) > limit:
        return f"is longer than {limit} bytes"
    return None


def caption(record: Mapping[str, Any], rules: Rules) -> str | Reject:
    """Find the caption: the first of the caption fields that holds text."""
    odd = None
    for field in rules.caption_fields:
        value = record.get(field)
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str):
                cleaned = clean(text)
                if cleaned:
                    return text if rules.raw_captions else cleaned
            elif text is not None:
                odd = odd or f"{field} is {shown(value)}"
    if odd:
        return Reject("bad_caption", odd)
    fields = " or ".join(rules.caption_fields)
    return Reject("no_caption", f"no text in {fields}; the record has {shown_fields(record)}")


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


def column_text(value: object) -> str | None:
    """Take a value for an extra column: text as it is, anything else as its JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def key(filename: str) -> str:
    """Name a sample: its file's path without the extension, which names the caption file too."""
    stem, _, extension = filename.rpartition(".")
    if stem and stem[-1] not in "./" and "/" not in extension:  # 0.2 us, against 0.8
        return stem
    return os.path.splitext(filename)[0]


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
