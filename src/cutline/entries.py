"""What a member of a shard is as a file: its path, or why it can have none."""

import os
from typing import Final, NamedTuple

from cutline import store
from cutline.tar import Member

OWN: Final = os.fsencode(store.OWN)

NAME_MAX: Final = 255
PATH_MAX: Final = 4096
"""Bytes, of the file systems and of the kernel of Linux."""


class Entry(NamedTuple):
    """A member as a line of the index."""

    path: bytes
    offset: int
    size: int
    sidecar: bool
    reason: str | None = None
    fault: str | None = None


def entry(member: Member) -> Entry:
    """Judge a member: where it would be as a file, or why it cannot be one."""
    name, offset, size, kind, _ = member
    # As the real set has them, all in one folder: 0.4 us, where what follows takes 2.
    plain = b"/" not in name and b"\0" not in name and name[:1] not in b"."
    if kind == "regular" and plain and len(name) <= NAME_MAX:
        return Entry(name, offset, size, name.endswith(b".json"))
    if len(name) > PATH_MAX:  # and before it is split: one of 1 MB may be that of every member
        long = "its name is longer than a file's can be"
        return Entry(name[:PATH_MAX], offset, size, name.endswith(b".json"), "bad_name", long)
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
    return Entry(b"/".join(parts), offset, size, is_sidecar(parts), reason, fault)


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


def is_sidecar(parts: list[bytes]) -> bool:
    """Tell whether a member is a sidecar by its name; hidden ones are not, as in folders."""
    if not parts or not parts[-1].endswith(b".json"):
        return False
    return not any(part.startswith(b".") and part != b".." for part in parts)
