"""Real processes: the commands of this environment, and clusters that were started by hand."""

import contextlib
import json
import os
import signal
import subprocess
import sysconfig
import time

SCRIPTS = sysconfig.get_path("scripts")
PACKAGES = sysconfig.get_path("purelib")
PATIENCE = int(os.environ.get("CUTLINE_PATIENCE", "120"))
"""Seconds after which something will not happen any more, on a busy machine."""


def until(seen, what):
    """Wait until something can be seen, and give it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = seen()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"{what} was not seen in {PATIENCE} s")


def line(command):
    """The words of a command whose first is a script of this environment."""
    script, *arguments = map(str, command)
    return [os.path.join(SCRIPTS, script), *arguments]


def run(*command, **options):
    """Run a command to its end."""
    options = {"capture_output": True, "text": True, "timeout": PATIENCE} | options
    return subprocess.run(line(command), check=False, **options)


class Processes:
    """Processes that are ended at the end, each with all that it has started."""

    def __init__(self):
        self.started = []

    def start(self, *command, **options):
        """Start a command in a process group of its own."""
        process = subprocess.Popen(line(command), start_new_session=True, **options)
        self.started.append(process)
        return process

    def end(self):
        for process in reversed(self.started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def members(group):
    """The processes of a group that run; one that has ended may wait for somebody to look."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
            state, _, its_group = file.read().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(pid))
    return found


class Cluster:
    """A scheduler and workers that somebody has started."""

    def __init__(self, folder, processes):
        self.folder = folder
        self.processes = processes
        self.file = os.path.join(folder, "scheduler.json")
        self.scheduler = self.start("scheduler", "--port", "0", "--scheduler-file", self.file)
        self.address = until(self.read_address, "the scheduler")

    def start(self, role, *options, python=(), environment=()):
        """Start a scheduler or a worker that listens on this machine alone."""
        here = ("--host", "127.0.0.1", "--no-dashboard", "--dashboard-address", "127.0.0.1:0")
        script = ("python", *python, "-m", "dask") if python else ("dask",)
        return self.processes.start(
            *(*script, role, *here, *options),
            cwd=self.folder,
            env={**os.environ, **dict(environment)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def read_address(self):
        with contextlib.suppress(OSError, ValueError), open(self.file) as file:
            return json.load(file)["address"]

    def add_worker(self, name, **how):
        """Start a worker; it is there some time later."""
        options = ("--name", name, "--nthreads", "1", "--no-nanny")
        return self.start(
            "worker",
            *options,
            "--local-directory",
            self.folder,
            "--scheduler-file",
            self.file,
            **how,
        )
