"""What a worker has to be like to work for a run: the same code, and the same files.

A client writes down the terms of a run and asks all workers; one that comes later is checked by its
first task. What is not the same there would be a wrong row, a lost file or a false "ok".
"""

import importlib.metadata
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Final, TypeAlias

from distributed import get_worker

from cutline.errors import CutlineError
from cutline.store import TableStore, disk, trouble

MUST_MATCH: Final = ("cutline", "pyarrow", "orjson", "msgspec", "fsspec")
"""Packages whose versions change the bytes of what is written."""

HEAD: Final = 1 << 16
"""Bytes at the beginning of a file that are compared."""

Mark: TypeAlias = tuple[int, int, int, str]
"""What tells a file from an older copy of it: its size, the times of modification and of change,
and a digest of its head. A copy may have the size and the first time, but not the second time."""


class UnfitError(CutlineError):
    """A worker is not fit for a run.

    Attributes
    ----------
    name, worker
        Its name and its address.
    fault
        Its host and what is wrong.
    """

    def __init__(self, name: object, worker: str, fault: str) -> None:
        super().__init__(name, worker, fault)  # so that it can be pickled
        self.name, self.worker, self.fault = name, worker, fault

    def __str__(self) -> str:
        return f"The worker {self.name} on {self.fault}."


@dataclass(frozen=True, slots=True)
class Written:
    """A folder that workers write to: the client has written a token there, `name` in `store`."""

    folder: str
    store: TableStore
    name: str

    def fault(self, run: str) -> str:
        """Return what is wrong with the folder on this host; empty if nothing is."""
        if not any(self._token() == run.encode() for _ in trouble.looks(self.name)):
            return (
                f"does not see what this process writes into {self.folder}: mount the same folder"
                " there"
            )
        attempt = f"{self.name}.{disk.unique()}"
        try:
            with self.store.publish(attempt):
                pass
            self.store.remove(attempt)
        except trouble.StorageError as error:
            return (
                f"cannot write into {self.folder} ({os.strerror(error.number)}): start it as a"
                " user who may, where the folder is mounted for writing"
            )
        return ""

    def _token(self) -> bytes:
        try:
            with self.store.open(self.name) as file:
                token: bytes = file.read()
        except OSError:
            return b""
        return token


@dataclass(frozen=True, slots=True)
class Read:
    """A folder that workers read: what the client sees of some files in it, by their paths."""

    folder: str
    files: tuple[tuple[str, Mark], ...]

    def fault(self, run: str) -> str:  # noqa: ARG002 - as of a folder that is written to
        """Return what is wrong with the folder on this host; empty if nothing is."""
        for path, mark in self.files:
            if not any(mark_of(path) == mark for _ in trouble.looks(path)):
                return (
                    f"sees other files in {self.folder} than this process, such as"
                    f" {os.path.relpath(path, self.folder)!a}: mount the same folder there"
                )
        return ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What each worker of a run must be like; every task carries it."""

    run: str
    versions: Mapping[str, str]
    code: str
    folders: tuple[Written | Read, ...]

    def fault(self) -> str:
        """Return what is wrong with this process, in words that follow its name; or nothing."""
        if other := other_version(self.versions, versions()):
            return other
        if code_digest() != self.code:
            return "has other code of cutline than this process: install the same there"
        return next(filter(None, (folder.fault(self.run) for folder in self.folders)), "")

    def look(self) -> str:
        """Return the same, and remember that this process is fit if nothing is wrong."""
        fault = self.fault()
        if not fault:
            _FIT.add(self.run)
        return fault

    def check(self) -> None:
        """Look at this process, unless it is known to be fit.

        Raises
        ------
        UnfitError
            Something is wrong with it.
        """
        if self.run in _FIT:
            return
        if fault := self.look():
            worker = get_worker()
            raise UnfitError(worker.name, worker.address, f"{socket.gethostname()} {fault}")


_FIT: Final = set[str]()
"""The runs that this process may work for."""


def mark_of(path: str) -> Mark | None:
    """Return what tells a file from others of its path; None if it is none or cannot be read."""
    try:
        # Opened first: then NFS asks its server for what it knows of the file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        head = os.read(descriptor, HEAD)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, blake2b(head).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions here of the packages that must match."""
    found = {name: [*importlib.metadata.distributions(name=name)] for name in MUST_MATCH}
    return {name: of[0].version for name, of in found.items() if of}


def other_version(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Return which package has another version there, in words; empty if none has."""
    for name, version in here.items():
        if there.get(name) != version:
            has = f"has version {there[name]} of" if name in there else "lacks"
            return f"{has} {name}, and this is {version}: install {name}=={version} there"
    return ""


@cache
def code_digest(packages: tuple[str, ...] = ("",)) -> str:
    """Return a digest of the code of cutline, or of some of its packages.

    It is that of the first time a process asks: what is installed later does not run in it.
    """
    top = os.path.dirname(os.path.dirname(__file__))
    state = blake2b(digest_size=20)
    for package in packages:
        for folder, folders, names in os.walk(os.path.join(top, package)):
            folders.sort()
            for name in sorted(name for name in names if name.endswith(".py")):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    code = file.read()
                state.update(f"{os.path.relpath(path, top)}:{len(code)}:".encode())
                state.update(code)
    return state.hexdigest()
