"""What a row is: one sidecar in, a `Row` or a `Reject` out.

Pure: nothing here knows a file or Dask, and nothing here raises for what a record holds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from cutline.record.naming import image_filename
from cutline.record.outcome import Reject, Row
from cutline.record.texts import clean, shown, shown_fields

BOM: Final = b"\xef\xbb\xbf"

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


def column_text(value: object) -> str | None:
    """Take a value for an extra column: text as it is, anything else as its JSON."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
