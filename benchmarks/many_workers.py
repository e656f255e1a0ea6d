"""What a cluster of many workers costs: its start, the checks of its workers, and a task.

    python many_workers.py [WORKERS [PROCESSES [TASKS]]]

The scheduler is a process of its own, and the workers are real ones of Dask, many in a process. A
task does nothing. Wall time means little where one machine is a thousand, so the CPU seconds of the
scheduler and of the client are printed beside it.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import dask
import dask.bag as db
import psutil
from distributed import Client, Worker

import cutline
from cutline import Address, connect
from cutline.cluster import running, worker_checks
from cutline.cluster.address import address_in
from cutline.progress import SILENT
from cutline.sources.opening import open_source
from cutline.store.table_files import TableFiles

TOGETHER = 20  # workers of a process that start at once
SIMULATED = {  # what each worker does all the time, which is too much for hundreds in a process
    "distributed.admin.tick.interval": "10s",
    "distributed.admin.tick.cycle": "60s",
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.profile.enabled": False,
}


async def hold(address: str, count: int) -> None:
    """Run workers in this process until it is killed."""
    dask.config.set(SIMULATED)
    workers = [
        Worker(address, nthreads=1, name=time.time_ns(), dashboard=False, memory_limit=0)
        for _ in range(count)
    ]
    for number in range(0, count, TOGETHER):
        await asyncio.gather(*workers[number : number + TOGETHER])
    print("ready", flush=True)
    await asyncio.Event().wait()


def nothing(things: Iterable[int]) -> list[int]:
    return list(things)


class Lap:
    """Seconds and CPU seconds since the last look."""

    def __init__(self, scheduler: int) -> None:
        self.processes = (psutil.Process(scheduler), psutil.Process())
        self.before = self._figures()

    def _figures(self) -> list[float]:
        cpu = [sum(process.cpu_times()[:2]) for process in self.processes]
        return [time.perf_counter(), *cpu]

    def tell(self, what: str, each: int) -> None:
        """Print what has been spent, and begin anew."""
        now = self._figures()
        wall, *cpu = (late - early for late, early in zip(now, self.before, strict=True))
        scheduler, client = cpu
        print(
            f"{what:<36} {wall:6.2f} s; CPU: scheduler {scheduler:5.2f}, client {client:5.2f} s;"
            f" {1000 * (scheduler + client) / each:.2f} ms each",
            flush=True,
        )
        self.before = self._figures()


def count_calls(client: Client) -> list[Any]:
    """Have a client note each call to its workers."""
    calls: list[Any] = []
    ask: Callable[..., Any] = client.run

    def run(function: Callable[..., Any], *arguments: object, **options: Any) -> Any:  # noqa: ANN401
        calls.append(function)
        return ask(function, *arguments, **options)

    client.run = run
    return calls


def measure(address: str, lap: Lap, tasks: int, folder: str) -> None:
    """Do what a compile does before its first row, and then tasks that do nothing."""
    source, files = open_source(f"{folder}/demo/data"), TableFiles.of(f"{folder}/t.parquet")
    with connect(Address(address, patience=600)) as client, files.locked(print) as own:
        count, calls = len(client.nthreads()), count_calls(client)
        lap.tell("a client joins", 1)
        written = worker_checks.writes(folder, own.workspace, own.store)
        with worker_checks.checked(client, SILENT, worker_checks.reads_source(source), written):
            lap.tell(f"checks of {count:,} workers, {len(calls)} call", count)
            bag = db.from_sequence(range(tasks), partition_size=1).map_partitions(nothing)
            assert sum(1 for _ in running.results(bag, client, SILENT)) == tasks
            lap.tell(f"{tasks:,} empty tasks", tasks)


def start(stack: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def main(count: int = 1000, processes: int = 4, tasks: int = 5000) -> None:
    """Start a scheduler and its workers, and measure."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        cutline.make_demo(f"{folder}/demo", cutline.DemoOptions(1000, images=False))
        file = f"{folder}/scheduler.json"
        here = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
        scheduler = start(stack, "-m", "dask", "scheduler", *here)
        address = address_in(file, 100)
        lap = Lap(scheduler.pid)
        holding = ("--hold", address, str(count // processes))
        for holder in [start(stack, __file__, *holding) for _ in range(processes)]:
            assert holder.stdout
            assert holder.stdout.readline() == b"ready\n"
        lap.tell(f"{count:,} workers join", count)
        measure(address, lap, tasks, folder)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--hold"]:
        asyncio.run(hold(sys.argv[2], int(sys.argv[3])))
    else:
        main(*map(int, sys.argv[1:]))
