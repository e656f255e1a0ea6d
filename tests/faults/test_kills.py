"""Random kills of the processes of a run, each followed by one more run.

`CUTLINE_KILLS` says how many kills of each cluster; the seed is printed, `CUTLINE_SEED` sets it.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psutil
import pytest
from distributed import Client

import cutline
from cutline import DemoOptions, make_demo

KILLS = int(os.environ.get("CUTLINE_KILLS", "20"))
SEED = int(os.environ.get("CUTLINE_SEED", str(random.randrange(10**6))))
SIDECARS = 8_000  # a hundred parts
OPTIONS = cutline.CompileOptions(partition_size=80, max_rejects=1)
NOTES = {"merged", "timings"}
OUTPUTS = ("x.parquet", "x.rejects.parquet", "x.parts", "x.cutline")


class Dataset:
    """The sidecars, and the outputs of an undisturbed run."""

    def __init__(self, root):
        self.root = root
        make_demo(root, DemoOptions(SIDECARS, images=False))
        self.resume()
        self.right = self.outputs()
        assert sum(name.startswith("part-") for name in self.right) == 100
        self.remove()

    def resume(self):
        return cutline.compile_table(f"{self.root}/data", f"{self.root}/x.parquet", OPTIONS)

    def outputs(self):
        """Every output's name and bytes, but for notes of inodes and of seconds."""
        found = {}
        for place in OUTPUTS:
            for folder, _, names in os.walk(f"{self.root}/{place}"):
                found |= {name: read(f"{folder}/{name}") for name in names if name not in NOTES}
            if os.path.isfile(f"{self.root}/{place}"):
                found[place] = read(f"{self.root}/{place}")
        return found

    def remove(self):
        for place in OUTPUTS:
            shutil.rmtree(f"{self.root}/{place}", ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.root}/{place}")

    def start(self, *options):
        """Start the command, and wait until it is at work."""
        command = [sys.executable, "-m", "cutline", "compile", f"{self.root}/data"]
        command += [f"{self.root}/x.parquet", "--partition-size=80", "--max-rejects=1", "--quiet"]
        job = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        while job.poll() is None and not os.path.exists(f"{self.root}/x.cutline/plan.parquet"):
            time.sleep(0.005)
        assert job.poll() is None, job.communicate()[1]
        return job


def read(path):
    with open(path, "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def dataset():
    """In memory, where there is some: a process that is killed is no power cut."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as here:
        yield Dataset(f"{here}/root")


class Local:
    """The cluster that the command starts: the client's process is scheduler and nanny, too."""

    victims = ("client", "worker")
    options = ("--workers=2", "--dashboard-address=127.0.0.1:0")

    def process(self, victim, client):
        workers = [
            leaf for server in psutil.Process(client.pid).children() for leaf in server.children()
        ]
        return psutil.Process(client.pid) if victim == "client" else random.choice(workers)

    def mend(self):
        pass

    def stop(self):
        pass


class Separate:
    """A cluster of separate processes, which outlives its jobs."""

    victims = ("client", "scheduler", "nanny", "worker")

    def __init__(self):
        self.processes = {}
        self.mend()

    @property
    def options(self):
        return ("--scheduler", self.address)

    def process(self, victim, client):
        if victim == "worker":
            children = psutil.Process(self.processes["nanny"].pid).children(recursive=True)
            return next(one for one in children if "resource_tracker" not in str(one.cmdline()))
        return psutil.Process((self.processes | {"client": client})[victim].pid)

    def mend(self):
        """Start what is not there, the scheduler and two nannies, and wait for a worker."""
        if "scheduler" not in self.processes or self.processes["scheduler"].poll() is not None:
            self.stop()
            self.start("scheduler", "scheduler", "--host=127.0.0.1", "--port=0")
            line = ""
            while "Scheduler at" not in line:
                line = self.processes["scheduler"].stderr.readline()
            self.address = line.split()[-1]
        for nanny in ("nanny", "other nanny"):
            if nanny not in self.processes or self.processes[nanny].poll() is not None:
                self.start(nanny, "worker", self.address, "--nthreads=1", "--no-dashboard")
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=120)  # a command waits for 15 s

    def start(self, name, *command):
        keep = subprocess.PIPE if name == "scheduler" else subprocess.DEVNULL
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "dask", *command], stderr=keep, text=True
        )

    def stop(self):
        for process in self.processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()
            process.wait()
        self.processes = {}


@pytest.mark.parametrize("kind", [Local, Separate])
def test_a_kill_at_any_time_costs_one_more_run_and_no_byte(dataset, kind, capsys):
    chance = random.Random(SEED)
    cluster = kind()
    began, landed = time.monotonic(), 0
    try:
        for number in range(KILLS):
            victim = cluster.victims[number % len(cluster.victims)]
            landed += kill(dataset, cluster, victim, chance.uniform(0, 0.8))
            cluster.mend()
    finally:
        cluster.stop()
        dataset.remove()
        with capsys.disabled():
            spent = time.monotonic() - began
            print(f"\n{kind.__name__}: {number + 1} kills, seed {SEED}, {spent:.0f} s;", end=" ")
            print(f"{landed} of them before the table was there")


def kill(dataset, cluster, victim, delay):
    """Kill one process of a run, run it again, compare; tell whether the table was not there."""
    dataset.remove()
    client = dataset.start(*cluster.options)
    time.sleep(delay)
    unfinished = not os.path.exists(f"{dataset.root}/x.parquet")
    with contextlib.suppress(psutil.NoSuchProcess, StopIteration, IndexError):
        cluster.process(victim, client).send_signal(signal.SIGKILL)
    said = client.communicate(timeout=60)[1]
    if victim in {"worker", "nanny"}:
        assert client.returncode == 0, said
    elif victim == "scheduler":
        assert client.returncode == 0 or said.count("\n") == 1, said
    assert client.returncode or os.path.exists(f"{dataset.root}/x.parquet")
    summary = dataset.resume()
    assert summary.sidecars == SIDECARS
    assert dataset.outputs() == dataset.right, f"{victim} killed after {delay:.3f} s"
    return unfinished
