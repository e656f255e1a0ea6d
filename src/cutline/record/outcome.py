"""What a sidecar comes to: a row of the table, or a reject with its reason."""

from typing import Final, NamedTuple

TOO_LARGE: Final = 16 * 2**20
"""Bytes; a larger sidecar is rejected unread."""

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
