"""A Dask scheduler and workers on several hosts, started by hand as people do."""

import contextlib
import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hosts import kill
from processes import PATIENCE, SCRIPTS, until

QUIET = ("--no-dashboard", "--dashboard-address", ":0")


@dataclass
class Node:
    """A scheduler or a worker: its process, and the log that it writes."""

    name: str
    process: subprocess.Popen
    log: Path

    def says(self, words):
        """Wait until the log holds some words."""

        def seen():
            assert self.process.poll() is None, f"{self.name} has ended:\n{self.log.read_text()}"
            return words in self.log.read_text()

        until(seen, f"{words!r} of {self.name}")

    def kill(self):
        """Kill it with all that it has started: a worker and its nanny at once."""
        kill(self.process)

    def kill_worker(self):
        """Kill the worker alone; its nanny starts another."""
        for child in _children(self.process.pid):
            with open(f"/proc/{child}/cmdline") as file:
                if "spawn_main" in file.read():
                    os.kill(child, signal.SIGKILL)

    def stop(self):
        """Let it leave in peace; kill it if it does not."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.kill()


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


@dataclass
class DaskOnHosts:
    """A scheduler on one host, workers on others, and a client that runs cutline."""

    hosts: dict
    folder: Path
    protocol: str = "tcp"
    secrets: tuple = ()
    """Options of `dask scheduler` and `dask worker` that name certificates."""
    port: int = 8786
    nodes: list = field(default_factory=list)

    @property
    def address(self):
        return f"{self.protocol}://{self.hosts['scheduler'].address}:{self.port}"

    def start_scheduler(self, **options):
        host = self.hosts["scheduler"]
        node = self._start(
            *(host, "scheduler", SCRIPTS + "/dask", "scheduler", *QUIET),
            *("--protocol", self.protocol, "--host", host.address, "--port", self.port),
            *self.secrets,
            **options,
        )
        node.says("Scheduler at:")
        return node

    def start_worker(self, host, *mounts, name=None, wait=True, threads=1, user=None, **options):
        """Start a worker on the host of that name; it is called `worker-HOST` unless told."""
        name = name or f"worker-{host}"
        spill = self.folder / f"spill.{name}.{len(self.nodes)}"
        spill.mkdir()
        if user is not None:
            os.chown(spill, user, user)
        node = self._start(
            *(self.hosts[host], name, SCRIPTS + "/dask", "worker", self.address, *QUIET),
            *("--nworkers", "1", "--nthreads", threads, "--memory-limit", "1GiB"),
            *("--local-directory", spill),
            *("--name", name, *self.secrets),
            where={"mounts": mounts, "user": user},
            **options,
        )
        if wait:
            node.says("Registered to:")
        return node

    def _start(self, host, name, *command, **options):
        log = self.folder / f"{len(self.nodes)}.{name}.log"
        with open(log, "w") as file:
            process = host.start(*command, stdout=file, stderr=file, **options)
        self.nodes.append(Node(name, process, log))
        return self.nodes[-1]

    @contextmanager
    def worker(self, host, *mounts, **options):
        """Run a worker until the block ends."""
        node = self.start_worker(host, *mounts, **options)
        try:
            yield node
        finally:
            node.stop()

    def cutline(self, *command, timeout=PATIENCE, **options):
        """Run a command of cutline on the client's host, with this scheduler."""
        return self.hosts["client"].run(*self.line(*command), timeout=timeout, **options)

    def start_cutline(self, *command, **options):
        """Start a command of cutline as `cutline` runs it; its output is in files."""
        return self.hosts["client"].start(*self.line(*command), **options)

    def line(self, *command):
        return (f"{SCRIPTS}/cutline", *command, "--scheduler", self.address)


@contextmanager
def dask_on_hosts(hosts, folder, workers=(), **options):
    """Run a scheduler, and workers on the hosts named, until the block ends."""
    cluster = DaskOnHosts(hosts, Path(folder), **options)
    try:
        cluster.start_scheduler()
        for node in [cluster.start_worker(host, wait=False) for host in workers]:
            node.says("Registered to:")
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            node.kill()
