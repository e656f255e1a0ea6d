"""What a member of a shard is as a file: its path, or why it can have none."""

import os
from typing import Final, NamedTuple, TypeAlias

from cutline.sources.base import is_sidecar, is_sidecar_name
from cutline.sources.tar.header import Kind
from cutline.sources.tar.walking import Member
from cutline.store import disk

OWN: Final = os.fsencode(disk.OWN)

NAME_MAX: Final = 255
PATH_MAX: Final = 4096
"""Bytes that Linux allows in a name and in a path."""


IndexLine: TypeAlias = tuple[bytes, int, int, bool, str | None, str | None]
"""A member as a line of the index of its shard."""


class _Entry(NamedTuple):
    """What a member is as a file: its path, and why it cannot be one."""

    path: bytes
    sidecar: bool
    reason: str | None = None
    fault: str | None = None


def index_line(member: Member) -> IndexLine:
    """Return a member as a line of the index: its path as a file, or why it cannot be one."""
    name, offset, size, kind, _ = member
    path, sidecar, reason, fault = _entry(name, kind)
    return path, offset, size, sidecar, reason, fault


def _entry(name: bytes, kind: Kind) -> _Entry:
    if len(name) > PATH_MAX:  # before it is split: every member may have one of 1 MB
        long = "its name is longer than a file's can be"
        return _Entry(name[:PATH_MAX], is_sidecar_name(name), "bad_name", long)
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    folder = kind == "directory" or (kind == "regular" and name.endswith(b"/"))  # as GNU tar has it
    fault = _name_fault(name, parts)
    if fault or not (parts or folder):
        parts = name.split(b"/")
        reason, fault = "bad_name", fault or "its name is empty"
    elif folder:
        reason, fault = "directory", "it is a folder"
    elif kind != "regular":
        reason, fault = "not_regular", f"it is a {kind} member"
    else:
        reason = None
    return _Entry(b"/".join(parts), bool(parts) and is_sidecar(parts), reason, fault)


def _name_fault(name: bytes, parts: list[bytes]) -> str | None:
    """Return why a member's name is no path below a folder; None if it is one."""
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
