"""The mark of an extracted file: a time of modification that tells the version of its shard.

A version is a shard with its stamp, and is born when it is first unpacked into a folder: a second,
and nanoseconds that are a hash. The mark of a file is the birth of its version, with a hash of its
path and size added to the nanoseconds. It is set before the file gets its name, so that both appear
in one step, and whoever edits or touches the file changes it, or its size if he keeps its time.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from time import time
from typing import Final

import msgspec

from cutline.store import TableStore

VERSIONS: Final = "versions.json"
"""In the workspace of a folder: each version that was unpacked there, and its birth."""

SECOND: Final = 1_000_000_000

FORMER: Final = 10_000
"""Versions that are remembered though their shards are gone or were replaced."""


@dataclass(frozen=True)
class Known:
    """The versions that were ever unpacked into a folder, with their births in nanoseconds."""

    births: dict[str, int]

    @cached_property
    def _every(self) -> frozenset[int]:
        return frozenset(self.births.values())

    @cached_property
    def newest(self) -> int:
        """The last birth; those of versions that come later are later."""
        return max(self._every, default=0)

    def mark(self, version: str, path: bytes, size: int) -> int | None:
        """Return the mark of a file; None if its version is not known."""
        birth = self.births.get(version)
        return None if birth is None else _moved(birth, _file_hash(path, size))

    def birth_of(self, path: bytes, size: int, modified: int) -> int | None:
        """Return the birth of the version that a file is of; None if no extraction wrote it so."""
        birth = _moved(modified, -_file_hash(path, size)) if self.births else 0
        return birth if birth in self._every else None


def version_of(shard: str, stamp: str) -> str:
    """Return the version of a shard: without its folder, for a dataset may be moved."""
    return f"{stamp} {os.path.basename(shard)}".encode(errors="backslashreplace").decode()


def read(folder: str) -> Known:
    """Read what was unpacked into the folder of a workspace; nothing if that is not known."""
    try:
        with open(f"{folder}/{VERSIONS}", "rb") as file:
            return Known(msgspec.json.decode(file.read(), type=dict[str, int]))
    except (FileNotFoundError, IsADirectoryError, msgspec.DecodeError):
        return Known({})


def remember(versions: Iterable[str], folder: str, store: TableStore) -> Known:
    """Add versions to those of the folder of a workspace, durably, before they are unpacked."""
    births = read(folder).births
    second = max(int(time()), 1 + max(births.values(), default=0) // SECOND)
    current = {one: births.get(one) or second * SECOND + _hash(one.encode()) for one in versions}
    if not current.keys() <= births.keys():
        gone = sorted(births.keys() - current.keys(), key=births.__getitem__)[-FORMER:]
        births = {**{one: births[one] for one in gone}, **current}
        with store.publish(f"{folder}/{VERSIONS}") as file:
            file.write(msgspec.json.encode(births))
    return Known(births)


def _moved(modified: int, nanoseconds: int) -> int:
    second = modified // SECOND * SECOND
    return second + (modified - second + nanoseconds) % SECOND


def _file_hash(path: bytes, size: int) -> int:
    return _hash(b"%d %b" % (size, path))


def _hash(name: bytes) -> int:
    return int.from_bytes(blake2b(name, digest_size=8).digest()) % SECOND
