"""One run at a time on a job's outputs."""

import errno
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from cutline.errors import CutlineError
from cutline.store.disk import one_at_a_time, remove, rename, unique

NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What a file system answers that gives a file one name only, as FAT does."""


class Owner(msgspec.Struct, frozen=True):
    """Who holds a lock."""

    run: str
    host: str
    boot: str
    pid: int
    started: int
    since: str
    processes: str

    @classmethod
    def here(cls, run: str) -> "Owner":
        """Describe this process."""
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        pid = os.getpid()
        started = start_time(pid) or 0
        return cls(run, socket.gethostname(), boot_id(), pid, started, since, processes())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    def is_here(self) -> bool:
        """Tell whether its host is this one."""
        return self.host == socket.gethostname()

    def is_seen(self) -> bool:
        """Tell whether its process id means something here, and not in another container."""
        return self.is_here() and self.processes == processes()

    def is_dead(self) -> bool:
        """Tell whether it ran on this host and is gone; a process id may be taken by another."""
        if self.boot != boot_id():
            return self.is_here()
        return self.is_seen() and start_time(self.pid) != self.started


def boot_id() -> str:
    """Tell one boot of this host from the next."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def processes() -> str:
    """Name the processes that see each other: those of a container (see pid_namespaces(7))."""
    return os.readlink("/proc/self/ns/pid")


def start_time(pid: int) -> int | None:
    """Tell when a process of this host started, in clock ticks since the boot (see proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[19])


@dataclass(frozen=True, slots=True)
class Lock:
    """One run at a time on a set of outputs.

    The lock is a file that names its owner, made in one atomic step. It holds wherever the folder
    is seen, also between hosts. What keeps a run that has lost it from publishing is that its
    staging folder is gone: see `Workspace.locked`.
    """

    path: str
    owner: Owner

    def is_held(self) -> bool:
        """Tell whether this run is still the one at work."""
        with suppress(CutlineError):
            return read_owner(self.path) == self.owner
        return False


def take(lock: Lock, attempts: str, *, force: bool) -> Owner | None:
    """Take a lock that is free, whose owner is dead, or by force; give the owner before.

    One process of this host does it after the other.
    """
    with one_at_a_time(os.path.dirname(lock.path)):
        before = read_owner(lock.path)
        if before is not None:
            if not (force or before.is_dead()):
                raise CutlineError(busy(before))
            remove(lock.path)
        claim = f"{attempts}/lock.{unique()}"
        try:
            with open(claim, "xb") as file:
                file.write(msgspec.json.encode(lock.owner))
                file.flush()
                os.fsync(file.fileno())
            name_once(claim, lock.path)
        except FileExistsError:
            raise CutlineError(busy(read_owner(lock.path))) from None
        finally:
            remove(claim)
    return before


def name_once(claim: str, path: str) -> None:
    """Give a claim the name of the lock, if no other has it."""
    try:
        os.link(claim, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        rename(os.fsencode(claim), os.fsencode(path))


def busy(owner: Owner | None) -> str:
    """Say who is at work."""
    if owner is None:
        return "Another run has just begun here: wait for it to end."
    mend = "" if owner.is_seen() else "; if it is dead, add --force-unlock"
    return f"Another run is at work here, {owner}: wait for it to end{mend}."


def read_owner(path: str) -> Owner | None:
    """Read who holds a lock."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=Owner)
    except FileNotFoundError:
        return None
    except ValueError as error:  # no JSON, no text, or not that of an owner
        raise CutlineError(f"{path} is not a lock of cutline: remove it.") from error
