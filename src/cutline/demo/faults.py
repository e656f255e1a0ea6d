"""What is planted in a demo: faults that must be rejected, and oddities that must not.

A record has at most one fault, so a reader may look for them in any order and counts the same.
"""

import codecs
import itertools
import json
from collections.abc import Callable
from typing import NamedTuple

import orjson

from cutline.record import reasons

Fields = dict[str, object]

Write = Callable[[Fields], bytes | None]  # None: a folder where the sidecar should be

SIDECAR_LIMIT = 16 * 2**20  # bytes; a larger sidecar is `too_large`


class Plant(NamedTuple):
    """How a record differs from an ordinary one.

    Attributes
    ----------
    reason
        Why a correct run rejects the record; None if the record is a row.
    write
        Writes the sidecar's bytes from its fields.
    stem
        The sidecar's name without `.json`; `{number}` is the record's number.
    image_stem
        The image's name without extension; `{stem}` is the sidecar's, `{next}` that of the
        ordinary record after this one.
    extension
        The image's extension; None for any.
    has_image
        Whether the image is there.
    """

    reason: reasons.Reason | None = None
    write: Write = orjson.dumps
    stem: str = "{number:07d}"
    image_stem: str = "{stem}"
    extension: str | None = None
    has_image: bool = True


def _put(name: str, value: object) -> Write:
    return lambda fields: orjson.dumps(fields | {name: value})


def _change(name: str, function: Callable[[str], object]) -> Write:
    """Return a writer that changes the text of a field, or its number as text."""
    return lambda fields: orjson.dumps(fields | {name: function(str(fields[name]))})


def _drop(name: str) -> Write:
    return lambda fields: orjson.dumps({key: fields[key] for key in fields if key != name})


def _spoil(function: Callable[[bytes], bytes]) -> Write:
    return lambda fields: function(orjson.dumps(fields))


def _a_folder(_fields: Fields) -> None:
    """Return None: not even root can read a folder as a sidecar."""


# The first of each reason is in every demo that has room for it, the others in larger ones.
FAULTS: dict[reasons.Reason, tuple[Write, ...]] = {
    "no_width": (_drop("width"), _put("width", None)),
    "bad_width": (
        _put("width", 0),
        _put("width", -1024),
        _put("width", 1024.7),
        _put("width", True),  # noqa: FBT003 - the value of a field, not an argument
        _put("width", [1024]),
        _put("width", "wide"),
        _put("width", 2**31),
    ),
    "bad_height": (
        _drop("height"),
        _put("height", None),
        _put("height", 0),
        _put("height", "1024.5"),
        _put("height", {"pixels": 1024}),
    ),
    "no_image_name": (_drop("image_name"), _put("image_name", None)),
    "bad_image_name": (
        _change("image_name", "../{}".format),
        _change("image_name", "images/{}".format),
        _change("image_name", "images\\{}".format),
        _change("image_name", "/{}".format),
        _put("image_name", ""),
        _put("image_name", "."),
        _change("image_name", lambda name: name.rjust(300, "x")),
        _change("image_name", lambda name: "夜" * 90 + name),  # few letters, but 281 bytes and more
        _change("image_name", "bell\a{}".format),
        _change("image_name", "{}\n".format),
        # Its caption file would have the image's own name.
        _change("image_name", lambda name: name.rpartition(".")[0] + ".txt"),
    ),
    "no_caption": (
        _drop("short_caption"),
        _put("short_caption", None),
        _put("short_caption", ""),
        _put("short_caption", " \t\n "),
        _put("short_caption", ["", "  "]),
    ),
    "bad_caption": (
        _put("short_caption", 7),
        _put("short_caption", {"en": "A red fox"}),
        _put("short_caption", [1, 2, 3]),
    ),
    "bad_json": (
        _spoil(lambda sidecar: sidecar[: len(sidecar) // 2]),
        _spoil(lambda _sidecar: b""),
        lambda fields: json.dumps(fields | {"short_caption": "Café"}, ensure_ascii=False).encode(
            "latin-1", "replace"
        ),
        _spoil(lambda sidecar: bytes(len(sidecar))),  # what a power cut leaves
        _spoil(lambda sidecar: sidecar + sidecar),
    ),
    "not_object": (
        lambda fields: orjson.dumps([fields]),
        lambda _fields: b'"A red fox beside a frozen lake."',
        lambda _fields: b"null",
    ),
    "unreadable": (_a_folder,),
}


# The earlier record keeps the key. It names the image of the later one, by another extension or
# by the very same name.
DUPLICATES = (
    (Plant(image_stem="{next:07d}", extension="png"), Plant("duplicate", extension="jpg")),
    (
        Plant(image_stem="{next:07d}", extension="jpg"),
        Plant("duplicate", extension="jpg", has_image=False),
    ),
)

TOO_LARGE = Plant("too_large", _spoil(lambda sidecar: sidecar.ljust(SIDECAR_LIMIT + 100_000)))

ODDITIES = (
    Plant(image_stem="{stem}_original"),
    Plant(write=_put("short_caption", ["", "A caption\nin a list", "and another one"])),
    Plant(write=_change("width", str)),
    Plant(write=_change("short_caption", "  {}\r\n".format)),
    Plant(write=_change("short_caption", lambda text: text.replace(" ", "\n\t", 3))),
    Plant(write=_spoil(codecs.BOM_UTF8.__add__)),
    Plant(stem="{number:07d}.v2"),
    Plant(write=_change("width", float)),
    Plant(image_stem="image of {stem}", extension="png"),
    Plant(write=_change("short_caption", lambda text: text.replace(" ", "\N{NO-BREAK SPACE}", 2))),
    Plant(write=_put("short_caption", "早晨的湖边,一只红狐 🦊 près du café")),
    Plant(stem="{number:07d} façade 夜"),
    Plant(write=_change("height", str)),
    Plant(write=_change("short_caption", "One\u2028two\x85three\0{}".format)),
    Plant(write=lambda fields: json.dumps(fields | {"short_caption": "A 🦊 escaped"}).encode()),
    Plant(write=lambda fields: orjson.dumps(fields, option=orjson.OPT_INDENT_2)),
    Plant(write=_drop("long_caption")),
)


def plan(records: int) -> dict[int, Plant]:
    """Return what is planted in a demo, by the number of the record.

    Faults and oddities alternate, evenly spread. Every reason is there from 120 records up, and
    every fault from 470 up; below, fewer, so that rejects other than `no_width` stay below a tenth.
    """
    faults = _faults_in_turn()
    count = max(min(len(faults), records // 10), records * 15 // 1000)
    again = [group for group in faults if TOO_LARGE not in group]
    turns = zip(itertools.chain(faults, itertools.cycle(again)), itertools.cycle(ODDITIES))
    planned: dict[int, Plant] = {}
    for turn, (fault, oddity) in enumerate(itertools.islice(turns, count)):
        planned.update(enumerate(fault, start=(4 * turn + 1) * records // (4 * count)))
        planned[(4 * turn + 3) * records // (4 * count)] = oddity
    return planned


def _faults_in_turn() -> list[tuple[Plant, ...]]:
    """Return the first fault of each reason, then the second of each, and so on.

    Each is one record, or two in a row. One in three has no image; the others leave an orphan.
    """
    singles = (
        [(Plant(reason, write, has_image=i % 3 != 1),) for i, write in enumerate(writes)]
        for reason, writes in FAULTS.items()
    )
    rounds = itertools.zip_longest(*singles, DUPLICATES, [(TOO_LARGE,)])
    return [fault for turn in rounds for fault in turn if fault]
