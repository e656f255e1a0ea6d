"""One sidecar in, a `Row` or a `Reject` out.

`judge` decides what a row is. `judge_by` returns the same for less: almost every sidecar has two
whole numbers and two texts where they should be, and of these msgspec reads just the four fields,
in 1.05 us where orjson needs 2.0 for the whole object. Whatever else a sidecar is, `judge` decides.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import msgspec
import orjson

from cutline.record.dialects import DIALECTS, Rules, first_value, value_at
from cutline.record.naming import image_filename
from cutline.record.outcome import Outcome, Reject, Row
from cutline.record.reading import read_json
from cutline.record.texts import clean, is_whole, shown

_Pixels: TypeAlias = Annotated[int, msgspec.Meta(gt=0, lt=2**31)]

_FIELDS: Final = [("width", _Pixels), ("height", _Pixels), ("image_name", str), ("caption", str)]

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

__all__ = [
    "DIALECTS",
    "Beside",
    "Outcome",
    "Pictured",
    "Rules",
    "captions",
    "judge",
    "judge_by",
    "judge_record",
    "parse",
]


@dataclass(frozen=True, slots=True)
class Pictured:
    """A sidecar's bytes, the path of the image beside it, and what reads the size of that image."""

    data: bytes
    image: bytes | None
    measure: Callable[[], Size | None]

    def __len__(self) -> int:
        """Return the number of bytes that the sidecar has."""
        return len(self.data)


class Beside(NamedTuple):
    """What is known of the image that is beside a sidecar: its path and its size."""

    path: bytes | None = None
    size: Size | None = None


NOTHING: Final = Beside()


def judge(path: bytes, data: bytes, rules: Rules, beside: Beside = NOTHING) -> Outcome:
    r"""Return the row that a sidecar gives, or why it gives none.

    Parameters
    ----------
    path
        The sidecar's path relative to the source, ``/``-separated; its folder is the image's.
    data
        The sidecar's bytes; a UTF-8 byte order mark is accepted.
    rules
        Which fields of the record go into the row.
    beside
        The image of the sidecar's stem, for rules that use it. Its size is the row's where the
        record has none.

    Examples
    --------
    >>> sidecar = b'{"width": 64, "height": "48", "image_name": "a.png", "title": "A\\ncat"}'
    >>> judge(b"cats/a.json", sidecar, Rules(caption_fields=("title",)))
    Row(width=64, height=48, caption='A cat', filename='cats/a.png', columns=())
    >>> judge(b"cats/b.json", b"{}", Rules())
    Reject(reason='no_width', detail='the record has no width', filename=None)
    """
    record = parse(data)
    return record if isinstance(record, Reject) else judge_record(path, record, rules, beside)


def judge_record(
    path: bytes, record: Mapping[str, Any], rules: Rules, beside: Beside = NOTHING
) -> Outcome:
    """Return what `judge` does, of a sidecar that is parsed."""
    fields = rules.fields
    filename = _filename(path, record, fields.image, beside.path)
    if isinstance(filename, Reject) and filename.reason == "no_image":
        return filename  # where images are measured, it has no size for that reason
    named = None if isinstance(filename, Reject) else filename
    (wide, width), (high, height) = (first_value(record, each) for each in fields[1:3])
    if beside.size and (width is None or height is None):
        width, height = beside.size
    if width is None:
        return Reject("no_width", f"the record has no {wide}", named)
    pixels = _size(width), _size(height)
    if pixels[0] is None:
        return Reject("bad_width", f"{wide} is {shown(width)}", named)
    if pixels[1] is None:
        return Reject("bad_height", f"{high} is {shown(height)}", named)
    if isinstance(filename, Reject):
        return filename
    texts = captions(record, rules)
    if isinstance(texts, Reject):
        return texts._replace(filename=filename)
    columns: tuple[str | None, ...] = ()
    try:
        if rules.columns:
            columns = tuple([_column_text(value_at(record, field)) for _, field in rules.columns])
    # orjson reads 1,024 levels and writes 254; ValueError is for NaN and half a character.
    except (orjson.JSONEncodeError, ValueError) as error:
        return Reject("bad_json", f"a --column value cannot be stored: {error}", filename)
    text = texts if rules.every_caption else texts[0]
    # Row(...) is the same, with 0.1 us of Python around it.
    return tuple.__new__(Row, (*pixels, text, filename, columns))


def _filename(
    path: bytes, record: Mapping[str, Any], fields: tuple[str, ...], image: bytes | None
) -> str | Reject:
    if fields:
        field, name = first_value(record, fields)
        return image_filename(path, name, field)
    if image is None:
        return Reject("no_image", "no image beside the sidecar has its stem")
    name = image.rpartition(b"/")[2].decode(errors="surrogateescape")
    return image_filename(path, name, "the image beside it")


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


def captions(record: Mapping[str, Any], rules: Rules) -> list[str] | Reject:
    """Return the captions of a record: all of them with ``every_caption``, otherwise the first.

    Parameters
    ----------
    record
        A parsed sidecar. A caption field holds text, or a list of texts.
    rules
        The caption fields, in order of preference, what becomes of lists, and whether captions
        stay as they are.

    Returns
    -------
    list of str, or Reject
        The captions, at least one, none empty; or `no_caption`, or `bad_caption` if a field holds
        no text but something else, or text with half a character.
    """
    odd, found = None, list[str]()
    fields = rules.fields.captions
    for field in fields:
        texts, fault = _texts_in(value_at(record, field), rules)
        odd = odd or (fault and f"{field} {fault}")
        if texts and rules.join is not None:
            joined = rules.join.join(texts)
            texts = [joined if rules.raw_captions else clean(joined)]
        if texts and not rules.every_caption:
            return texts[:1]
        found += texts
    if found:
        return found
    if odd:
        return Reject("bad_caption", odd)
    names = ", ".join(shown(name)[1:-1] for name in list(record)[:20]) or "no fields"
    return Reject("no_caption", f"no text in {' or '.join(fields)}; the record has {names}")


def _texts_in(value: object, rules: Rules) -> tuple[list[str], str | None]:
    """Return the texts that a field holds, and what else there is, in words."""
    texts, fault = list[str](), None
    for text in value if isinstance(value, list) else (value,):
        if isinstance(text, str):
            cleaned = clean(text)
            if cleaned and not is_whole(cleaned):
                fault = fault or f"has half a character: {shown(text)}"
            elif cleaned:
                texts.append(text if rules.raw_captions else cleaned)
        elif text is not None:
            fault = fault or f"is {shown(value)}"
    return texts, fault


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


def judge_by(rules: Rules) -> Callable[[bytes, Any], Outcome]:
    """Return a function of path and data that returns what `judge` does by some rules, faster.

    The data of rules that use images are `Pictured`, of others bytes.
    """
    if rules.uses_images:
        return partial(_judge_pictured, rules=rules)
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


def _judge_pictured(path: bytes, sidecar: Pictured, rules: Rules) -> Outcome:
    """Judge a sidecar with its image, which is measured only where the record has no size."""
    record = parse(sidecar.data)
    if isinstance(record, Reject):
        return record
    outcome = judge_record(path, record, rules, Beside(sidecar.image))
    if not rules.measure or not isinstance(outcome, Reject) or outcome.filename is None:
        return outcome
    if outcome.reason not in _NO_SIZE or outcome.filename.encode() != sidecar.image:
        return outcome
    return judge_record(path, record, rules, Beside(sidecar.image, sidecar.measure()))


_NO_SIZE: Final = {"no_width", "bad_height"}
"""The reasons of a record without a size; a height that is missing is a bad one."""


def _reader(rules: Rules) -> Callable[[bytes], Any] | None:
    """Return what reads the fields of a row from a sidecar, or None if the rules need `judge`."""
    # Columns may hold anything, so little could be skipped.
    if rules.columns or rules.every_caption:
        return None
    named = zip(("image_name", "width", "height", "caption"), rules.fields, strict=True)
    try:
        kind = msgspec.defstruct("Record", _FIELDS, rename={own: each[0] for own, each in named})
    except ValueError:  # it is another one of the fields, or has a quote or a control character
        return None
    return msgspec.json.Decoder(kind).decode
