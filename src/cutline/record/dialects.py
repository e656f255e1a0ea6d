"""Which fields of a record hold what a row is made of: a line for each tool that writes sidecars.

To add a dialect, add its name and its line; `docs/dialects.md` shows how.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from msgspec import Meta

from cutline.errors import UsageError, check_fields

DialectName: TypeAlias = Literal["dalle3", "img2dataset", "gallery-dl"]


class Dialect(NamedTuple):
    """Where a record has what a row is made of: for each, fields in order of preference.

    A field may be a way into what is nested, as `value_at` goes it. Without fields for the image's
    name, the image is the file beside the sidecar that has its stem.
    """

    image: tuple[str, ...]
    width: tuple[str, ...]
    height: tuple[str, ...]
    captions: tuple[str, ...]


DIALECTS: Final[dict[DialectName, Dialect]] = {
    "dalle3": Dialect(("image_name",), ("width",), ("height",), ("short_caption",)),
    # Its writer.py has no name of the image: the extension is that of its --encode_format.
    "img2dataset": Dialect((), ("width",), ("height",), ("caption",)),
    # `x.jpg.json` is of `x.jpg`. Each of its extractors has field names of its site.
    "gallery-dl": Dialect(
        (), ("width", "image_width"), ("height", "image_height"), ("description", "title", "tags")
    ),
}


_Field: TypeAlias = Annotated[str | None, Meta(extra={"metavar": "FIELD"})]


@dataclass(frozen=True, slots=True)
class Rules:
    """Which fields of a record go into its row, and how.

    Attributes
    ----------
    dialect
        The tool that has written the sidecars; the options of fields replace its own.
    caption_fields
        The fields to look for a caption in, in order of preference.  [default: the dialect's]
    image_field
        The field of the image's name. The dots of each FIELD lead into what is nested, as in
        captions.short or conversations.1.value.
    width_field
        The field of the width.
    height_field
        The field of the height.
    image_beside
        The image is the file beside the sidecar with the same stem, whatever its extension.
    measure
        Read a missing size from the header of the image with the sidecar's stem.
    columns
        Extra text columns of the table, as pairs (column name, field).
    every_caption
        Take all texts of all caption fields; the column is a list, and caption files have a line
        for each.
    join
        Make one caption of a list of texts, with this between them.
    raw_captions
        Keep a caption as it is, with its line breaks.
    """

    caption_fields: tuple[str, ...] | None = None
    columns: tuple[tuple[str, str], ...] = ()
    raw_captions: bool = False
    dialect: DialectName = "dalle3"
    image_field: _Field = None
    width_field: _Field = None
    height_field: _Field = None
    image_beside: bool = False
    measure: bool = False
    every_caption: bool = False
    join: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for values of other types, or that contradict each other."""
        check_fields(self)
        if self.caption_fields is not None and not self.caption_fields:
            raise UsageError("A caption has to come from somewhere: give a --caption-field.")
        if self.image_beside and self.image_field is not None:
            raise UsageError("The image is named or beside: give --image-field or --image-beside.")

    @property
    def fields(self) -> Dialect:
        """The fields of the dialect, with those that replace them."""
        known = DIALECTS[self.dialect]
        return Dialect(
            () if self.image_beside else _one(self.image_field, known.image),
            _one(self.width_field, known.width),
            _one(self.height_field, known.height),
            known.captions if self.caption_fields is None else self.caption_fields,
        )

    @property
    def uses_images(self) -> bool:
        """Whether a row is also made of which image is beside its sidecar."""
        return self.measure or not self.fields.image

    def identity(self) -> dict[str, Any]:
        """Return all that changes a row, for the digest of parts.

        What is as it would be without its option is left out, so that an option that comes to be
        changes no digest of a job that does not use it.
        """
        fields, plain = self.fields, Rules(self.caption_fields).fields
        always = {"caption_fields": fields.captions, "columns": self.columns}
        named = {} if fields == plain else {"fields": fields[:3]}
        others = ("measure", "every_caption", "join")
        used = {name: getattr(self, name) for name in others if getattr(self, name) not in _UNUSED}
        return {**always, "raw_captions": self.raw_captions, **named, **used}


_UNUSED: Final = (None, False)


def _one(field: str | None, others: tuple[str, ...]) -> tuple[str, ...]:
    return others if field is None else (field,)


def value_at(record: Mapping[str, Any], field: str) -> Any:  # noqa: ANN401 - what JSON may hold
    """Return what a record has in a field; None if it has no such field.

    Where no field has the whole name, its dots lead into objects, by name, and lists, by number.

    Examples
    --------
    >>> value_at({"talk": [{"says": "Hm?"}, {"says": "A cat."}]}, "talk.1.says")
    'A cat.'
    >>> value_at({"a.b": 1, "a": {"b": 2}}, "a.b")
    1
    """
    if field in record or "." not in field:
        return record.get(field)
    value: Any = record
    for step in field.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit():
            value = value[int(step)] if len(step) < 9 and int(step) < len(value) else None
        else:
            return None
    return value


def first_value(record: Mapping[str, Any], fields: tuple[str, ...]) -> tuple[str, Any]:
    """Return the first of some fields that has a value, and the value; all fields and None else."""
    for field in fields:
        value = value_at(record, field)
        if value is not None:
            return field, value
    return " or ".join(fields), None
