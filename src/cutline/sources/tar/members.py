"""What a member of a shard is as a file: its path, or why it can have none."""

import os
from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from cutline.record import texts
from cutline.sources.passing_over import is_left_by_system, is_sidecar, is_sidecar_name
from cutline.sources.tar.header import Kind
from cutline.sources.tar.walking import Member
from cutline.store import disk

OWN: Final = os.fsencode(disk.OWN)

SYSTEM_FILE: Final = "system_file"
"""The reason of members that are passed over, and count as no loss."""

NAME_MAX: Final = 255
PATH_MAX: Final = 4096
"""Bytes that Linux allows in a name and in a path."""

LINKS: Final = 100_000
"""Hard links of a shard whose targets are looked for; a hostile one has one in each block."""

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
    name, offset, size, kind, _, _ = member
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
    elif parts and is_left_by_system(parts):
        reason, fault = SYSTEM_FILE, "it is a file of macOS, Windows or a NAS"
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


class HardLinks:
    """The hard links of a shard, as members with the bytes of what they lead to.

    That is an earlier regular member of the shard, as GNU tar unpacks it, or a link to one. Only
    members that a link leads to are held, so a shard without links costs nothing, and a hostile one
    holds `LINKS` of them at most.
    """

    def __init__(self, wanted: Iterable[Member], earlier: Iterable[Member]) -> None:
        """Look for what the links among `wanted` lead to, first in what is `earlier`."""
        links = islice((member for member in wanted if member.kind == "link"), LINKS)
        self._wanted = {_digest(_path(link.target)) for link in links}
        self._places: dict[bytes, tuple[int, int]] = {}
        for member in earlier:
            self._note(member)

    def line(self, member: Member) -> IndexLine:
        """Return a member as a line of the index; a link has the place of its target."""
        if member.kind != "link" or _entry(member.name, "regular").reason is not None:
            self._note(member)
            return index_line(member)
        place = self._places.get(_digest(_path(member.target)))
        if place is None:
            path, offset, size, sidecar, reason, _ = index_line(member)
            target = texts.shown_path(member.target[:NAME_MAX])
            fault = f"it is a hard link to {target}, which is no regular member before it"
            return path, offset, size, sidecar, reason, fault
        offset, size = place
        linked = member._replace(offset=offset, size=size, kind="regular")
        self._note(linked)
        return index_line(linked)

    def _note(self, member: Member) -> None:
        # Of members with one path, the first is the file.
        if member.kind == "regular":
            path, offset, size, _, reason, _ = index_line(member)
            if reason is None and (digest := _digest(path)) in self._wanted:
                self._places.setdefault(digest, (offset, size))


def _path(name: bytes) -> bytes:
    path, _, reason, _ = _entry(name, "regular")
    return b"" if reason else path


def _digest(path: bytes) -> bytes:
    return blake2b(path, digest_size=16).digest()  # in place of 4 KB that a name may have
