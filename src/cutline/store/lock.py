"""One run at a time on a job's outputs: a file that names its owner, made in one atomic step.

It holds wherever the folder is seen, also between hosts. A run that has lost it cannot publish
because its staging folder is gone: see `Workspace.locked`.
"""

import errno
import os
import socket
import time
from typing import Final

import msgspec

from cutline.errors import CutlineError
from cutline.store.disk import one_at_a_time, remove, rename, sync, unique

_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
"""What a file system answers where a file has one name only, as on FAT."""


class Owner(msgspec.Struct, frozen=True):
    """The run that holds a lock, and its process.

    Another process may have the number `pid` later, so `started` tells them apart, in clock ticks
    since the `boot`. `processes` is the PID namespace: containers of a host have one each.
    """

    run: str
    host: str
    boot: str
    pid: int
    started: int
    since: str
    processes: str

    @classmethod
    def here(cls, run: str) -> "Owner":
        """Return this process as the owner of a run."""
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        pid = os.getpid()
        started = start_time(pid) or 0
        return cls(run, socket.gethostname(), boot_id(), pid, started, since, _processes())

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    def is_seen(self) -> bool:
        """Return whether its process could be seen from here: same host, same container."""
        return (self.host, self.processes) == (socket.gethostname(), _processes())

    def is_dead(self) -> bool:
        """Return whether it is known to be gone; nobody knows of another host or container."""
        if self.boot != boot_id():
            return self.host == socket.gethostname()
        return self.is_seen() and start_time(self.pid) != self.started


def boot_id() -> str:
    """Return the id of this boot of the host, see random(4)."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _processes() -> str:
    return os.readlink("/proc/self/ns/pid")  # see pid_namespaces(7)


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot; None if it has ended.

    See proc(5) for the fields; a zombie has ended.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[19])


def take(path: str, owner: Owner, attempts: str, *, force: bool) -> Owner | None:
    """Take a lock that is free or whose owner is dead, or any lock by force.

    Of several processes of this host that find a dead owner, one takes the lock: they do this one
    after the other. The lock is written in the folder `attempts` before it gets its name.

    Returns
    -------
    Owner or None
        The owner from whom it was taken.

    Raises
    ------
    CutlineError
        Another run is at work, or the file is no lock.
    """
    with one_at_a_time(os.path.dirname(path)):
        before = read_owner(path)
        if before is not None:
            if not (force or before.is_dead()):
                raise _busy(before)
            remove(path)
        claim = f"{attempts}/lock.{unique()}"
        try:
            with open(claim, "xb") as file:
                file.write(msgspec.json.encode(owner))
                file.flush()
                sync(file.fileno())
            name_once(claim, path)
        except FileExistsError:
            raise _busy(read_owner(path)) from None
        finally:
            remove(claim)
    return before


def name_once(claim: str, path: str) -> None:
    """Name a file that is written already; FileExistsError if something has the name."""
    try:
        os.link(claim, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        rename(os.fsencode(claim), os.fsencode(path))


def _busy(owner: Owner | None) -> CutlineError:
    if owner is None:
        return CutlineError("Another run has just begun here: wait for it to end.")
    mend = "" if owner.is_seen() else "; if it is dead, add --force-unlock"
    return CutlineError(f"Another run is at work here, {owner}: wait for it to end{mend}.")


def read_owner(path: str) -> Owner | None:
    """Return who holds a lock, or None if there is none.

    Raises
    ------
    CutlineError
        The file is no lock of cutline.
    """
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=Owner)
    except FileNotFoundError:
        return None
    except ValueError as error:  # no JSON, no text, or not that of an owner
        raise CutlineError(f"{path} is not a lock of cutline: remove it.") from error
