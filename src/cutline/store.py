"""Where outputs are, and how they come to be there: naming, publishing, syncing, locking.

A file under its final name is complete. Every attempt writes under a name of its own in the
job's staging folder, is synced, and is renamed into place; what a killed attempt leaves there is
removed by the next run, which is safe because a run holds the lock.

Nothing else in cutline renames, syncs or locks a file of the job, so that a store that cannot
rename can come behind the same calls.
"""

import errno
import fcntl
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

import msgspec

from cutline.errors import CutlineError, UsageError


@dataclass(frozen=True, slots=True)
class Outputs:
    """The names of everything a job leaves behind; all of them follow the table's.

    Attributes
    ----------
    table
        The absolute path of ``X.parquet``.
    """

    table: str

    @classmethod
    def of(cls, table: str | os.PathLike[str]) -> "Outputs":
        """Take a TABLE argument.

        Raises
        ------
        UsageError
            It is a URL, does not end in ``.parquet``, or its folder is not there.
        """
        path = os.fspath(table).removeprefix("file://")
        if "://" in path:
            raise UsageError(
                f"The table {path} is a URL: name a file on a disk that every worker sees."
            )
        if not path.endswith(".parquet") or os.path.basename(path) == ".parquet":
            raise UsageError(f"The table {path} has another name than X.parquet: add .parquet.")
        path = os.path.abspath(path)
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise UsageError(f"The folder {folder} of the table is not there: make it first.")
        if os.path.isdir(path):
            raise UsageError(f"The table {path} is a folder: name a file that may be written.")
        return cls(path)

    @property
    def stem(self) -> str:
        """What every other name starts with."""
        return self.table.removesuffix(".parquet")

    @property
    def parts(self) -> str:
        """The partitioned table: part files directly below it and nothing else."""
        return self.stem + ".parts"

    @property
    def ledger(self) -> str:
        """Every sidecar that gave no row."""
        return self.stem + ".rejects.parquet"

    def part(self, index: int) -> str:
        """One part of the table."""
        return f"{self.parts}/{part_name(index)}"

    def part_rejects(self, index: int, digest: str) -> str:
        """The rejects of one part.

        The digest in the name ties them to the part file that was made with them.
        """
        return f"{self.own}/rejects/{index:05}-{digest[:16]}.parquet"

    @property
    def own(self) -> str:
        """The job's own files, below a name that readers of a dataset skip."""
        return self.parts + "/_cutline"

    @property
    def plan(self) -> str:
        """The frozen listing."""
        return self.own + "/plan.parquet"

    @property
    def merged(self) -> str:
        """What the table was merged from."""
        return self.own + "/merged"

    @property
    def lock(self) -> str:
        """Who is at work."""
        return self.own + "/lock"

    @property
    def staging(self) -> str:
        """Where attempts are written."""
        return self.own + "/attempts"

    def make_folders(self) -> None:
        """Make the folders that the job writes into."""
        for folder in (self.parts, self.own, self.own + "/rejects", self.staging):
            make_folder(folder)

    def remove_empty_folders(self) -> None:
        """Leave no empty folder behind."""
        for folder in (self.staging, self.own + "/rejects", self.own, self.parts):
            with suppress(OSError):
                os.rmdir(folder)


def part_name(index: int) -> str:
    """Name a part file; the zeros keep them sorted in any reader's listing."""
    return f"part-{index:05}.parquet"


def is_part_name(name: str) -> bool:
    """Tell whether a file in the folder of the parts is one of them."""
    return re.fullmatch(r"part-\d{5,}\.parquet", name) is not None


@contextmanager
def publish(path: str, staging: str) -> Iterator[BinaryIO]:
    """Write a file that appears under its name complete and synced, or not at all.

    Parameters
    ----------
    path
        The final name; a file that is there already is replaced in one step.
    staging
        A folder on the same file system for the attempt.
    """
    attempt = f"{staging}/{os.path.basename(path)}.{unique()}"
    try:
        with open(attempt, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(attempt, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(attempt)
        raise
    sync_folder(os.path.dirname(path))


def unique() -> str:
    """Make a name that no other attempt has, on any host."""
    return uuid.uuid4().hex


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: str) -> None:
    """Make one folder, if it is not there, so that it survives a power cut."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    sync_folder(os.path.dirname(folder))


def remove(path: str) -> None:
    """Remove a file, which may be gone already."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def empty_folder(folder: str) -> None:
    """Remove the files of a folder that only cutline writes to, such as its staging folder."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            remove(f"{folder}/{name}")


class Owner(msgspec.Struct, frozen=True):
    """Who holds a lock."""

    run: str
    host: str
    boot: str
    pid: int
    started: int
    since: str

    @classmethod
    def here(cls, run: str) -> "Owner":
        """Describe this process."""
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        pid = os.getpid()
        return cls(run, socket.gethostname(), boot_id(), pid, start_time(pid) or 0, since)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    def is_here(self) -> bool:
        """Tell whether its host is this one."""
        return self.host == socket.gethostname()

    def is_dead(self) -> bool:
        """Tell whether it ran on this host and is gone; a process id may be taken by another."""
        return self.is_here() and (self.boot != boot_id() or start_time(self.pid) != self.started)


def boot_id() -> str:
    """Tell one boot of this host from the next."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


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
    is seen, also between hosts.
    """

    path: str
    owner: Owner

    def is_held(self) -> bool:
        """Tell whether this run is still the one at work.

        A worker that Dask has given up asks before it publishes: its run may be over.
        """
        return read_owner(self.path) == self.owner


@contextmanager
def locked(outputs: Outputs, say: Callable[[str], None], *, force: bool = False) -> Iterator[Lock]:
    """Hold the lock of a job's outputs, in folders that are made and free of what the dead left.

    Raises
    ------
    CutlineError
        Another run is at work.
    """
    outputs.make_folders()
    lock = Lock(outputs.lock, Owner.here(unique()))
    try:
        before = acquire(lock, outputs.staging, force=force)
        if before is not None:
            say(f"Took the lock over from {before}, which is gone.")
        empty_folder(outputs.staging)
        yield lock
    finally:
        if lock.is_held():
            remove(lock.path)
        outputs.remove_empty_folders()


def acquire(lock: Lock, staging: str, *, force: bool) -> Owner | None:
    """Take a lock that is free, whose owner is dead, or by force."""
    with one_at_a_time(os.path.dirname(lock.path)):
        before = read_owner(lock.path)
        if before is not None:
            if not (force or before.is_dead()):
                raise CutlineError(busy(before))
            remove(lock.path)
        claim = f"{staging}/lock.{unique()}"
        with open(claim, "xb") as file:
            file.write(msgspec.json.encode(lock.owner))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(claim, lock.path)
        except FileExistsError:
            raise CutlineError(busy(read_owner(lock.path))) from None
        finally:
            remove(claim)
    return before


def busy(owner: Owner | None) -> str:
    """Say who is at work."""
    if owner is None:
        return "Another run has just begun on this table: wait for it to end."
    mend = "" if owner.is_here() else "; if it is dead, add --force-unlock"
    return f"Another run is at work on this table, {owner}: wait for it to end{mend}."


def read_owner(path: str) -> Owner | None:
    """Read who holds a lock."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=Owner)
    except FileNotFoundError:
        return None


@contextmanager
def one_at_a_time(folder: str) -> Iterator[None]:
    """Keep the processes of this host from taking over a dead run's lock at the same moment."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:  # some network file systems have no flock; the lock file remains
            if error.errno not in {errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}:
                raise
        yield
    finally:
        os.close(descriptor)
