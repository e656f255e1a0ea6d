"""Slow file systems for the time of a block, and what they were asked."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep

ASKED = ".asked"
HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 120.0  # seconds for a mount to appear: the machine may be busy


class NoFuseError(Exception):
    """No slow file system can be mounted here."""


@contextmanager
def mounted(folder: str, milliseconds: float) -> Iterator[str]:
    """Show a folder in a place of its own, where each operation takes so long.

    Raises
    ------
    NoFuseError
        mfusepy or fuse3 are not installed, or this user may not mount.
    """
    with tempfile.TemporaryDirectory(prefix="cutline-slow-") as mount:
        command = [sys.executable, f"{HERE}/slow_fuse.py", folder, mount, str(milliseconds)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
        try:
            wait_for(mount, process)
            yield mount
        finally:
            # --lazy because workers of a run that was stopped may take a moment to die.
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
            end(process)


@contextmanager
def hosts(folder: str, milliseconds: float, count: int) -> Iterator[list[str]]:
    """Show a folder in as many places as there are hosts, each with a kernel's lock of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(mounted(folder, milliseconds)) for _ in range(count)]


def wait_for(mount: str, process: subprocess.Popen[bytes]) -> None:
    deadline = monotonic() + PATIENCE
    while not os.path.ismount(mount):
        if process.poll() is not None or monotonic() > deadline:
            end(process)
            said = process.stderr.read().decode().strip() if process.stderr else ""
            raise NoFuseError(said.splitlines()[-1] if said else "the mount did not appear")
        sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def count_anew(mount: str) -> None:
    os.unlink(f"{mount}/{ASKED}")


def asked(mount: str) -> dict[str, int]:
    """Return how often each operation was asked since the last `count_anew`."""
    with open(f"{mount}/{ASKED}") as file:
        counts: dict[str, int] = json.load(file)
    return counts
