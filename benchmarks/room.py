"""Where the measuring happens: memory, and fresh ext4 file systems in files in memory.

ext4 does not reuse the inodes of files that were just deleted, so deleting many files makes the
next creates up to ten times slower. Every run therefore gets a folder that nobody has worked in.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from measure import Fresh

MEMORY = "/dev/shm"
BYTES_A_FILE = 4096 + 1024  # a page, and what the kernel keeps for an inode


class MountError(Exception):
    """No file system can be mounted from a file, by this user or on this machine."""


class NoDiskError(Exception):
    """There is no disk to measure on."""


class Room(NamedTuple):
    """A folder to work in, and the kind of file system that it is on."""

    path: str
    kind: str


@contextmanager
def open_room(files: int) -> Iterator[Room]:
    """Make a folder in memory for so many small files, else on disk; remove it at the end."""
    parent = MEMORY if has_room(MEMORY, files) else tempfile.gettempdir()
    path = tempfile.mkdtemp(prefix="cutline-bench-", dir=parent)
    try:
        yield Room(path, kind_of(path))
    finally:
        shutil.rmtree(path)


@contextmanager
def open_disk(size: float) -> Iterator[Room]:
    """Make a folder where temporary files are, if that is a disk with room; remove it at the end.

    Raises
    ------
    NoDiskError
        It is in memory, or too full.
    """
    with tempfile.TemporaryDirectory(prefix="cutline-bench-") as path:
        kind, free = kind_of(path), os.statvfs(path)
        if kind == "tmpfs":
            raise NoDiskError(f"{tempfile.gettempdir()} is in memory: set TMPDIR")
        if free.f_bavail * free.f_frsize < size:
            raise NoDiskError(f"{tempfile.gettempdir()} has no {size / 1e9:.0f} GB: set TMPDIR")
        yield Room(path, kind)


def has_room(path: str, files: int) -> bool:
    if not os.path.isdir(path) or kind_of(path) != "tmpfs":
        return False
    free = os.statvfs(path)
    enough_bytes = free.f_bavail * free.f_frsize > files * BYTES_A_FILE
    return enough_bytes and free.f_favail > files


def kind_of(path: str) -> str:
    """Name the file system as `stat` does: tmpfs, ext2/ext3 (which is ext4, too), xfs ..."""
    return output_of("stat", "--file-system", "--format=%T", path).strip()


def fresh_folder(room: Room) -> Fresh:
    """Give each run an empty folder."""

    @contextmanager
    def fresh() -> Iterator[str]:
        folder = tempfile.mkdtemp(dir=room.path)
        yield folder
        discard(room, folder)

    return fresh


def fresh_cold(room: Room, folder: str) -> Fresh:
    """Give each run an empty folder, and the files of another one from the disk itself."""
    fresh = fresh_folder(room)

    @contextmanager
    def cold() -> Iterator[str]:
        # What the contender before wrote is not to be written while this one is timed.
        output_of("sync", "--file-system", room.path)
        for entry in os.scandir(folder):
            with open(entry.path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with fresh() as place:
            yield place

    return cold


def fresh_data(room: Room, data: str) -> Fresh:
    """Give each run a folder with a `data` of its own: other names for the same sidecars."""

    @contextmanager
    def fresh() -> Iterator[str]:
        folder = tempfile.mkdtemp(dir=room.path)
        output_of("cp", "--archive", "--link", data, f"{folder}/data")
        yield folder
        discard(room, folder)

    return fresh


def discard(room: Room, folder: str) -> None:
    """Give memory back at once. On a disk it has to wait until nothing is timed any more."""
    if room.kind == "tmpfs":
        shutil.rmtree(folder)


def fresh_ext4(room: Room, data: str, records: int) -> Fresh:
    """Give each run an ext4 of its own with a copy of `data`, as if it had just been unpacked.

    Entering it raises `MountError` with the reason where this machine cannot do that.
    """

    @contextmanager
    def fresh() -> Iterator[str]:
        image = f"{room.path}/ext4.image"
        make_ext4(image, records)
        with mounted(image, room) as folder:
            output_of("cp", "--archive", data, f"{folder}/data")
            # Read from memory by everybody: a loop device takes 75 us for a file that is not.
            output_of("sync", "--file-system", folder)
            yield folder
        os.unlink(image)

    return fresh


def make_ext4(image: str, records: int) -> None:
    """Make a sparse image with room for a sidecar and a caption file a record."""
    files = 2 * records + 1000
    with open(image, "wb") as file:
        file.truncate(files * BYTES_A_FILE + 2**29)
    # Nothing is left for the kernel to initialise in the background while a contender runs.
    now = "lazy_itable_init=0,lazy_journal_init=0"
    attempt("mkfs.ext4", "-q", "-F", "-N", str(files), "-E", now, image)


@contextmanager
def mounted(image: str, room: Room) -> Iterator[str]:
    folder = tempfile.mkdtemp(dir=room.path)
    attempt("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        # --lazy because workers of a run that was stopped may take a moment to die.
        output_of("umount", "--lazy", folder)
        os.rmdir(folder)


def attempt(*command: str) -> None:
    """Run what only works for root, with the tools, where loop devices are allowed."""
    try:
        output_of(*command)
    except FileNotFoundError as error:
        raise MountError(f"there is no {command[0]} here") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise MountError(said[0] if said else str(error)) from error


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
