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
        faults = [Fault(*call, what) for call in calls for what in WHAT]
        began = time.monotonic()
        tried = pool.imap_unordered(partial(attempt, folder, first), faults, 8)
        violations = [violation for found in tried for violation in found]
    with capsys.disabled():
        print(f"\n{len(faults)} points tried in {time.monotonic() - began:.0f} s:", end=" ")
        print(f"{len(calls)} calls, each with {', '.join(WHAT)}; violations: {len(violations)}")
    assert len(calls) > 100
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


def attempt(folder, first, fault):
    """Let one thing happen to a job, look at what it leaves, and run it again."""
    world = world_in(folder, first)
    world.reset()
    outcome = run_job(world.root, fault)
    faults = list(world.faults_amid(outcome.code))
    if not any("INJECTED" in line or "killed by SIGKILL" in line for line in outcome.lines):
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
