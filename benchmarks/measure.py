"""A contender as a whole process, and contenders side by side."""

import ctypes
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from resource import struct_rusage
from time import perf_counter, sleep
from typing import NamedTuple

Fresh = Callable[[], AbstractContextManager[str]]  # a folder nobody has worked in, for one run
Command = Callable[[str], list[str]]  # the command line of a run in that folder


class ContenderError(Exception):
    """A process ended with an error, or contenders disagree about the output."""


class Result(NamedTuple):
    """One process from start to end."""

    seconds: float
    cpu_seconds: float  # of it and its descendants; steadier than `seconds` on a busy machine
    peak_bytes: int  # of the largest single process among them
    stdout: bytes


class Contender(NamedTuple):
    """A name and what it runs."""

    name: str
    command: Command


class Runs(NamedTuple):
    """What a contender did over the rounds."""

    name: str
    results: list[Result]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(result.seconds for result in self.results)

    @property
    def cpu_seconds(self) -> float:
        """The median."""
        return statistics.median(result.cpu_seconds for result in self.results)

    @property
    def peak_bytes(self) -> int:
        """The largest of all."""
        return max(result.peak_bytes for result in self.results)


def run(command: Sequence[str]) -> Result:
    """Run a command to its end.

    CPU time and peak come from `wait4`, which adds up the one and takes the largest of the other
    over a process and the descendants that were waited for, so nothing has to be sampled. The
    peak counts what the child had before `exec`, too, which is this process: keep it small.

    Raises
    ------
    ContenderError
        The command failed; with what it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = perf_counter()
        with started(command, out.fileno(), err.fileno()) as process:
            ended, usages = waited_for(process)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            said = err.read().decode(errors="replace")
            raise ContenderError(f"{' '.join(command)} exited {process.returncode}:\n{said}")
        return Result(
            seconds=ended - began,
            cpu_seconds=sum(usage.ru_utime + usage.ru_stime for usage in usages),
            peak_bytes=1024 * max(usage.ru_maxrss for usage in usages),
            stdout=out.read(),
        )


def kill_when(due: Callable[[], bool], command: Sequence[str]) -> None:
    """Run a command until something is so, and then kill it with all that it has started.

    Raises
    ------
    ContenderError
        It ended before that.
    """
    with tempfile.TemporaryFile() as out, started(command, out.fileno(), out.fileno()) as process:
        while process.poll() is None and not due():
            sleep(0.001)
        was_at_work = process.poll() is None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for _ in orphans_of(process.pid):
            pass
    if not was_at_work:
        raise ContenderError(f"{' '.join(command)} ended before it was to be killed")


@contextmanager
def started(command: Sequence[str], out: int, err: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a session of its own, which does not outlive this block.

    Its modules are compiled once, as those of an installed package are, whatever the environment
    of this process says.
    """
    adopt_orphans()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )
    try:
        yield process
    except BaseException:
        stop_session(process)
        raise


def waited_for(process: subprocess.Popen[bytes]) -> tuple[float, list[struct_rusage]]:
    """Wait for a process, and then for what it left behind, which is asked to end.

    Returns
    -------
    The moment when the process itself ended, and what each of them used.
    """
    _, status, usage = os.wait4(process.pid, 0)
    ended = perf_counter()
    process.returncode = os.waitstatus_to_exitcode(status)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    return ended, [usage, *orphans_of(process.pid)]


def orphans_of(group: int) -> Iterator[struct_rusage]:
    with suppress(ChildProcessError):
        while True:
            _, _, usage = os.wait4(-group, 0)
            yield usage


def adopt_orphans() -> None:
    """Become the parent of every orphan among the descendants of this process.

    The server that workers are forked from is left behind by its parent, and the workers' memory
    and time are known only to whoever waits for it. See prctl(2).
    """
    PR_SET_CHILD_SUBREAPER = 36  # noqa: N806 - its name
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def stop_session(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def race(contenders: Sequence[Contender], rounds: int, fresh: Fresh, proof: Command) -> list[Runs]:
    """Run each contender in turn, again and again, each time in a fresh folder.

    The machine drifts; taking turns lets each contender have its share of that. In the first
    round `proof` is run in the folder that each of them left, and must print the same for all.

    Raises
    ------
    ContenderError
        When a process fails or two contenders made different output.
    """
    runs = [Runs(contender.name, []) for contender in contenders]
    proofs: dict[str, bytes] = {}
    for number in range(rounds):
        for contender, done in zip(contenders, runs, strict=True):
            with fresh() as folder:
                result = run(contender.command(folder))
                if number == 0:
                    proofs[contender.name] = run(proof(folder)).stdout
            done.results.append(result)
            say(f"  round {number + 1} of {rounds}: {contender.name} {result.seconds:.2f} s")
    if len(set(proofs.values())) > 1:
        raise ContenderError(f"the contenders' outputs differ: {proofs}")
    return runs


def say(line: str) -> None:
    """Tell the person who waits; the figures alone go to standard output."""
    print(line, file=sys.stderr, flush=True)
