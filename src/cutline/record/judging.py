"""One sidecar in, a `Row` or a `Reject` out.

`judge` decides what a row is. `judge_by` returns the same for less: almost every sidecar has two
whole numbers and two texts where they should be, and of these msgspec reads just the four fields,
in 1.05 us where orjson needs 2.0 for the whole object. Whatever else a sidecar is, `judge` decides.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import orjson

from cutline.record.naming import image_filename
from cutline.record.outcome import Outcome, Reject, Row
from cutline.record.reading import read_json
from cutline.record.texts import clean, is_whole, shown

_Pixels: TypeAlias = Annotated[int, msgspec.Meta(gt=0, lt=2**31)]

_FIELDS: Final = [("width", _Pixels), ("height", _Pixels), ("image_name", str), ("caption", str)]

__all__ = ["Outcome", "Rules", "caption", "judge", "judge_by", "parse"]


@dataclass(frozen=True, slots=True)
class Rules:
    """Which fields of a record go into its row, and how.

    Attributes
    ----------
    caption_fields
        The fields to look for a caption in, in order of preference.
    columns
        Extra text columns of the table, as pairs (column name, field).
    raw_captions
        Keep a caption as it is, with its line breaks.
    """

    caption_fields: tuple[str, ...] = ("short_caption",)
    columns: tuple[tuple[str, str], ...] = ()
    raw_captions: bool = False


def judge(path: bytes, data: bytes, rules: Rules) -> Outcome:
    r"""Return the row that a sidecar gives, or why it gives none.

    Parameters
    ----------
    path
        The sidecar's path relative to the source, ``/``-separated; its folder is the image's.
    data
        The sidecar's bytes; a UTF-8 byte order mark is accepted.
    rules
        Which fields of the record go into the row.

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
    width, height = _size(width), _size(record.get("height"))
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
            columns = tuple([_column_text(record.get(field)) for _, field in rules.columns])
    # orjson reads 1,024 levels and writes 254; ValueError is for NaN and half a character.
    except (orjson.JSONEncodeError, ValueError) as error:
        return Reject("bad_json", f"a --column value cannot be stored: {error}", filename)
    # Row(...) is the same, with 0.1 us of Python around it.
    return tuple.__new__(Row, (width, height, text, filename, columns))


def parse(data: bytes) -> dict[str, Any] | Reject:
    """Parse a sidecar, which must be a JSON object; see `reading` for what JSON is here.

    Returns
    -------
    dict or Reject
        The record; or `bad_json` or `not_object`.
    """
    record = read_json(data)
    if isinstance(record, Reject):
        return record
    if not isinstance(record, dict):
        return Reject("not_object", f"the sidecar holds {shown(record)}")
    return record


def _size(value: object) -> int | None:
    """Return a width or a height in pixels: whole, positive and below 2**31; or None.

    A float without a fraction and a string of digits are accepted, as the recipe's `int()` did.
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
    """Return the first text in the caption fields of a record.

    Parameters
    ----------
    record
        A parsed sidecar. A caption field holds text, or a list whose first text counts.
    rules
        The caption fields, in order of preference, and whether the caption stays as it is.

    Returns
    -------
    str or Reject
        The caption, never empty; or `no_caption`, or `bad_caption` if a field holds no text but
        something else, or text with half a character.
    """
    odd = None
    for field in rules.caption_fields:
        value = record.get(field)
        for text in value if isinstance(value, list) else (value,):
            if isinstance(text, str):
                cleaned = clean(text)
                if cleaned and not is_whole(cleaned):
                    odd = odd or f"{field} has half a character: {shown(text)}"
                elif cleaned:
                    return text if rules.raw_captions else cleaned
            elif text is not None:
                odd = odd or f"{field} is {shown(value)}"
    if odd:
        return Reject("bad_caption", odd)
    fields = " or ".join(rules.caption_fields)
    names = ", ".join(shown(name)[1:-1] for name in list(record)[:20]) or "no fields"
    return Reject("no_caption", f"no text in {fields}; the record has {names}")


def _column_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        value.encode()
        return value
    text = orjson.dumps(value).decode()
    if "null" in text:
        json.dumps(value, allow_nan=False)  # orjson writes null for what is no number
    return text


def judge_by(rules: Rules) -> Callable[[bytes, bytes], Outcome]:
    """Return a function of path and data that returns what `judge` does by some rules, faster."""
    read = _reader(rules)
    if read is None:
        return partial(judge, rules=rules)

    def judge_quickly(path: bytes, data: bytes) -> Outcome:
        try:
            if not data.isascii():
                data.decode()  # msgspec does not check that what it skips is UTF-8
            record = read(data)
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            return judge(path, data, rules)
        filename = image_filename(path, record.image_name)
        text = clean(record.caption)
        if text and isinstance(filename, str):
            if rules.raw_captions:
                text = record.caption
            # Row(...) is the same, with 0.1 us of Python around it.
            return tuple.__new__(Row, (record.width, record.height, text, filename, ()))
        return judge(path, data, rules)

    return judge_quickly


def _reader(rules: Rules) -> Callable[[bytes], Any] | None:
    """Return what reads the fields of a row from a sidecar, or None if the rules need `judge`."""
    if rules.columns:  # which may hold anything, so little could be skipped
        return None
    try:
        kind = msgspec.defstruct("Record", _FIELDS, rename={"caption": rules.caption_fields[0]})
    except ValueError:  # it is another one of the fields, or has a quote or a control character
        return None
    return msgspec.json.Decoder(kind).decode
