"""The reasons why a sidecar gives no row, and what a user can do about each."""

from typing import Final, Literal, TypeAlias, get_args

Reason: TypeAlias = Literal[
    "no_width",
    "bad_width",
    "bad_height",
    "no_image_name",
    "no_image",
    "bad_image_name",
    "no_caption",
    "bad_caption",
    "bad_json",
    "not_object",
    "too_large",
    "unreadable",
    "duplicate",
]
"""Why a sidecar gave no row, as the ledger has it; mypy refuses any other text."""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

_MENDS: Final[dict[Reason, str]] = {
    "no_caption": "name another --caption-field",
    "bad_caption": "name another --caption-field",
    "no_image_name": "check that these are the sidecars you mean",
    "no_image": "check that the images are beside their sidecars",
    "duplicate": "make a table for each of the folders or shards that share names",
    "unreadable": "get permission to read them, or check their disk",
}


def mend(reason: str) -> str:
    """Return what to do about rejects of a reason, as the beginning of a sentence.

    Examples
    --------
    >>> mend("no_caption")
    'name another --caption-field'
    >>> mend("bad_width")
    'correct them'
    """
    return next((text for known, text in _MENDS.items() if known == reason), "correct them")
