"""What a member of a shard is as a file: its path, or why it can have none."""

import os
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cutline.sources.base import is_sidecar
from cutline.sources.tar.header import Kind
from cutline.sources.tar.walking import Member
from cutline.store import disk

OWN: Final = os.fsencode(disk.OWN)

SUFFIX: Final = b".json"

NAME_MAX: Final = 255

PATH_MAX: Final = 4096
"""Bytes, of the file systems and of the kernel of Linux."""


class Entry(NamedTuple):
    """What a member's name and kind come to: its path, and why it is no file if it is none."""

    path: bytes
    sidecar: bool
    reason: str | None = None
    fault: str | None = None


@dataclass(slots=True)
class Entries:
    """Members as lines of the index, column by column; `odd` has those that are not `plain`.

    With an `Entry` for each, a member costs 2.4 us instead of 1.
    """

    paths: list[bytes] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    odd: dict[int, Entry] = field(default_factory=dict)

    def add(self, member: Member) -> None:
        """Judge one more member, and take it in."""
        path, offset, size, kind, _ = member
        if not plain(path, kind):
            self.odd[len(self.paths)] = found = entry(path, kind)
            path = found.path
        self.paths.append(path)
        self.offsets.append(offset)
        self.sizes.append(size)

    def columns(self) -> list[list[Any]]:
        """Give the columns of the index."""
        sidecars = [path.endswith(SUFFIX) for path in self.paths]
        reasons: list[str | None] = [None] * len(self.paths)
        faults = reasons.copy()
        for at, found in self.odd.items():
            _, sidecars[at], reasons[at], faults[at] = found
        return [self.paths, self.offsets, self.sizes, sidecars, reasons, faults]


def plain(name: bytes, kind: Kind) -> bool:
    """Tell of a member that it is a file of its own name: as in the real set, all in one folder."""
    odd = b"/" in name or b"\0" in name or name[:1] in b"." or len(name) > NAME_MAX
    return kind == "regular" and not odd


def entry(name: bytes, kind: Kind) -> Entry:
    """Judge a member: where it would be as a file, or why it cannot be one."""
    if len(name) > PATH_MAX:  # and before it is split: one of 1 MB may be that of every member
        long = "its name is longer than a file's can be"
        return Entry(name[:PATH_MAX], name.endswith(SUFFIX), "bad_name", long)
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    folder = kind == "directory" or (kind == "regular" and name.endswith(b"/"))  # as GNU tar has it
    fault = name_fault(name, parts)
    if fault or not (parts or folder):
        parts = name.split(b"/")
        reason, fault = "bad_name", fault or "its name is empty"
    elif folder:
        reason, fault = "directory", "it is a folder"
    elif kind != "regular":
        reason, fault = "not_regular", f"it is a {kind} member"
    else:
        reason = None
    return Entry(b"/".join(parts), bool(parts) and is_sidecar(parts), reason, fault)


def name_fault(name: bytes, parts: list[bytes]) -> str | None:
    """Say why a member's name is no path below a folder, or None if it is one."""
    if name.startswith(b"/"):
        return "its name is an absolute path"
    if b"\0" in name:
        return "its name holds a NUL"
    if b".." in parts:
        return "its name leads out of the folder"
    if parts[:1] == [OWN]:
        return "its name is that of cutline's own folder"
    if any(len(part) > NAME_MAX for part in parts):
        return "its name is longer than a file's can be"
    return None
