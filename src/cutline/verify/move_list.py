"""The list of what was moved out of the way: written first, so that any of it can be put back."""

import json
import os
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from cutline.errors import CutlineError, UsageError
from cutline.store import disk

LIST: Final = "orphans.jsonl"
"""What was moved into a folder: an object a line, of which `path` is relative to both folders.

The first line says out of which DATA, relative to the folder: the two may be moved together.

A name that is not UTF-8 has surrogates in it, as `os.fsdecode` makes them.
"""


class Move(NamedTuple):
    """A line of the list: a file, and the orphan and the reason that it was moved for."""

    path: bytes
    orphan: bytes
    reason: str
    detail: str

    def line(self) -> bytes:
        """Write it down."""
        path, orphan = os.fsdecode(self.path), os.fsdecode(self.orphan)
        body = {"path": path, "orphan": orphan, "reason": self.reason, "detail": self.detail}
        return json.dumps(body).encode() + b"\n"


def write_list(folder: str, data: str, moves: Iterable[Move]) -> None:
    """Write the list of what will be moved out of DATA, after what was moved there before."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, LIST)
    before = list(read_list(folder)) if os.path.isfile(path) else []
    known = {one.path for one in before}
    with disk.publish(path) as file:
        file.write(json.dumps({"data": os.path.relpath(data, folder)}).encode() + b"\n")
        file.writelines(one.line() for one in before)
        file.writelines(one.line() for one in moves if one.path not in known)


def check_data(folder: str, data: str) -> None:
    """Refuse a folder whose list is of another DATA, which is still there.

    Raises
    ------
    UsageError
        Files of two datasets would come together.
    """
    path = os.path.join(folder, LIST)
    if not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        of = os.path.normpath(os.path.join(folder, data_named(file.readline()) or data))
    if os.path.isdir(of) and not os.path.samefile(of, data):
        raise UsageError(f"{folder} holds what was moved out of {of}, not {data}: name that one.")


def data_named(line: bytes) -> str:
    """Take from the first line of a list which DATA it is of; empty if it is not said there."""
    try:
        of = json.loads(line)["data"]
    except (ValueError, KeyError, TypeError):
        return ""
    return of if isinstance(of, str) and "\0" not in of else ""


def read_list(folder: str) -> Iterator[Move]:
    """Read the list of what was moved; somebody may have written into it."""
    path = os.path.join(folder, LIST)
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            if not line.strip() or (number == 0 and data_named(line)):
                continue
            try:
                body = json.loads(line)
                one = Move(os.fsencode(body.pop("path")), os.fsencode(body.pop("orphan")), **body)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CutlineError(
                    f"{path} is damaged, correct or remove this line: {line[:80]!r}."
                ) from error
            if one.path.startswith(b"/") or b".." in one.path.split(b"/"):
                raise CutlineError(f"{path} names {one.path!r}, outside of the folder: correct it.")
            yield one


def remove_folders(folder: str) -> None:
    """Remove the list, and the folders that were made for what it lists, as far as they are empty.

    Not every empty folder: one that was moved, or that somebody made, is not ours to remove.
    """
    made = {above for one in read_list(folder) for above in folders_above(one.path)}
    disk.remove(os.path.join(folder, LIST))
    for path in sorted(made, key=len, reverse=True):
        disk.remove_folder(os.path.join(folder, os.fsdecode(path)))
    disk.remove_folder(folder)


def folders_above(path: bytes) -> Iterator[bytes]:
    """Give the folders on the way to a file."""
    while path := os.path.dirname(path):
        yield path
