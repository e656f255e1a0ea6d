"""A small job, with each of its system calls failing once and killing it once."""

import multiprocessing
import os
import shutil
import tempfile
import time
from functools import partial

import pytest
from strace import Fault, run_job, touching
from world import make_world, prepare

WHAT = ("SIGKILL", "ENOSPC", "EIO")

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@pytest.fixture
def folder():
    """A folder for the worlds of all processes, in memory if possible."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="cutline-faults-", dir=memory) as path:
        yield path


@pytest.mark.parametrize("first", [True, False], ids=["first-run", "second-run"])
def test_whatever_call_fails_or_kills_nothing_is_lost_or_torn(folder, first, capsys):
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        calls = pool.apply(calls_of_a_job, [folder, first])
        assert len(calls) > 100
        faults = [Fault(*call, what) for call in calls for what in WHAT]
        try_each(faults, pool, partial(attempt, folder, first), capsys)


def test_whatever_call_of_a_thread_fails_or_kills_nothing_is_lost_or_torn(folder, capsys):
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        calls = pool.apply(calls_in_threads, [folder])
        assert {"linkat", "write"} <= {call for call, _ in calls}
        faults = [Fault(*call, what) for call in calls for what in WHAT]
        # In another thread the open of that number may be of a sidecar, which is a reject then.
        faults = [fault for fault in faults if fault.call != "openat" or fault.what == "SIGKILL"]
        try_each(faults, pool, partial(attempt, folder, True, threads=True), capsys)


def try_each(faults, pool, tried, capsys):
    """Let each call kill the job and fail in each way, and say how many were tried."""
    began = time.monotonic()
    found = pool.imap_unordered(tried, faults, 8)
    violations = [violation for violations in found for violation in violations]
    with capsys.disabled():
        print(f"\n{len(faults)} points tried in {time.monotonic() - began:.0f} s:", end=" ")
        print(f"calls that fail with {', '.join(WHAT)}; violations: {len(violations)}")
    assert not violations, "\n".join(violations)


def world_in(folder, first):
    """The world of this process."""
    return make_world(f"{folder}/{os.getpid()}", first=first)


def calls_of_a_job(folder, first):
    """Run the job once to see which calls it makes, and once more to see that they are the same."""
    world = world_in(folder, first)
    seen = []
    for _ in range(3):  # what is loaded at the first use is loaded after the first
        world.reset()
        outcome = run_job(world.root)
        assert outcome.code == 0, outcome.said
        assert list(world.faults_after()) == []
        seen.append(list(touching(outcome.lines, world.root)))
    assert seen[1] == seen[2]
    return seen[2]


def calls_in_threads(folder):
    """Run the job with its files written in threads: each number that a call has in any thread."""
    world = world_in(folder, first=True)
    world.reset()
    outcome = run_job(world.root, threads=True)
    assert outcome.code == 0, outcome.said
    assert list(world.faults_after()) == []
    main = outcome.lines[0].split()[0]
    lines = [outcome.lines[0], *(line for line in outcome.lines if not line.startswith(main))]
    return sorted(set(touching(lines, world.root, threads=True)))


def attempt(folder, first, fault, threads=False):
    """Let one thing happen to a job, look at what it leaves, and run it again.

    In threads it happens to each that comes so far, and which these are is not the same each time.
    """
    world = world_in(folder, first)
    world.reset()
    outcome = run_job(world.root, fault, threads=threads)
    faults = list(world.faults_amid(outcome.code))
    happened = any("INJECTED" in line or "killed by SIGKILL" in line for line in outcome.lines)
    if not happened and not threads:
        faults.append("nothing happened to it")
    if outcome.code > 0 and (outcome.code != 1 or outcome.said.count("\n") != 1):
        faults.append(f"it exits with {outcome.code} and says {outcome.said!r}")
    faults += resume(world)
    return [f"{fault}: {one}" for one in faults]


def resume(world):
    """Run the job once more, to which nothing happens."""
    job = os.fork()
    if not job:
        code = 1
        try:
            prepare(world.root)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(job, 0)[1]:
        yield "the next run fails"
    yield from world.faults_after()
