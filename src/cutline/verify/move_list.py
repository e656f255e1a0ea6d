"""The list of what was moved out of the way: written first, so that any of it can be put back."""

import json
import os
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from cutline.errors import CutlineError, UsageError
from cutline.store import disk

LIST: Final = "orphans.jsonl"
"""What was moved into a folder: a JSON object a line, its `path` relative to both folders.

The first line names the DATA that it came from, relative to the folder: both may be moved together.

A name that is not UTF-8 has surrogates in it, as `os.fsdecode` makes them.
"""


class Move(NamedTuple):
    """A line of the list: a file, and the orphan and the reason that it was moved for."""

    path: bytes
    orphan: bytes
    reason: str
    detail: str

    def line(self) -> bytes:
        """Return the move as a line of the list."""
        path, orphan = os.fsdecode(self.path), os.fsdecode(self.orphan)
        body = {"path": path, "orphan": orphan, "reason": self.reason, "detail": self.detail}
        return json.dumps(body).encode() + b"\n"


def write_list(folder: str, data: str, moves: Iterable[Move]) -> None:
    """Write the list of what will be moved out of DATA, after what was moved there before."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, LIST)
    before = list(read_list(folder))
    known = {one.path for one in before}
    with disk.publish(path) as file:
        file.write(json.dumps({"data": os.path.relpath(data, folder)}).encode() + b"\n")
        file.writelines(one.line() for one in before)
        file.writelines(one.line() for one in moves if one.path not in known)


def check_data(folder: str, data: str) -> None:
    """Check that a folder's list, if it has one, is not of another DATA that is still there.

    Raises
    ------
    UsageError
        Files of two datasets would come together.
    """
    path = os.path.join(folder, LIST)
    if not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        of = os.path.normpath(os.path.join(folder, _data_named(file.readline()) or data))
    if os.path.isdir(of) and not os.path.samefile(of, data):
        raise UsageError(f"{folder} holds what was moved out of {of}, not {data}: name that one.")


def _data_named(line: bytes) -> str:
    try:
        of = json.loads(line)["data"]
    except (ValueError, KeyError, TypeError):
        return ""
    return of if isinstance(of, str) and "\0" not in of else ""


def read_list(folder: str) -> Iterator[Move]:
    """Read the list of what was moved; it is checked, because somebody may have edited it.

    There is none in a folder that nothing was moved to, or from which all is back.
    """
    path = os.path.join(folder, LIST)
    if not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        for number, line in enumerate(file):
            if not line.strip() or (number == 0 and _data_named(line)):
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


def nowhere(folder: str, data: str) -> tuple[int, list[bytes]]:
    """Return how many files a list names, and those that are neither in its folder nor in DATA."""
    listed = [one.path for one in read_list(folder)]
    places = [os.fsencode(folder), os.fsencode(data)]

    def is_there(path: bytes) -> bool:
        return any(os.path.lexists(os.path.join(place, path)) for place in places)

    return len(listed), [path for path in listed if not is_there(path)]


def remove_folders(folder: str) -> None:
    """Remove the list, and the folders that were made for what it lists, as far as they are empty.

    Other empty folders stay: somebody made them.
    """
    made = {above for one in read_list(folder) for above in _folders_above(one.path)}
    for path in sorted(made, key=len, reverse=True):
        disk.remove_folder(os.path.join(folder, os.fsdecode(path)))
    disk.remove(os.path.join(folder, LIST))  # after what is only known from it
    disk.remove_folder(folder)


def _folders_above(path: bytes) -> Iterator[bytes]:
    while path := os.path.dirname(path):
        yield path
