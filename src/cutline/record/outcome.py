"""What a sidecar comes to: a row of the table, or a reject with its reason."""

from typing import Final, NamedTuple, TypeAlias

from cutline.record.reasons import Reason

TOO_LARGE: Final = 16 * 2**20
"""Bytes; a larger sidecar is rejected without being read."""


class Row(NamedTuple):
    """One line of the table: the size in pixels, and the image's path relative to the source.

    `caption` is a list where every caption was asked for; `columns` holds the values of the extra
    columns (``--column``), in their order.
    """

    width: int
    height: int
    caption: str | list[str]
    filename: str
    columns: tuple[str | None, ...] = ()


class Reject(NamedTuple):
    """Why a sidecar gave no row; `filename` is the image's, where the record names one safely."""

    reason: Reason
    detail: str
    filename: str | None = None


Outcome: TypeAlias = Row | Reject
