"""A Dask scheduler and a worker as processes of their own, as on a cluster."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import cutline
from processes import PACKAGES, PATIENCE


@contextmanager
def running(module, *arguments, **options):
    """Run a module until the block ends."""
    command = [options.pop("python", sys.executable), "-m", module, *arguments]
    process = subprocess.Popen(
        [*options.pop("before", ()), *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def scheduler(folder, *arguments, **options):
    """Run a scheduler and a worker, and give what the scheduler says of itself."""
    file = Path(folder) / "scheduler.json"
    with (
        running(
            "distributed.cli.dask_scheduler",
            *("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"),
            *("--scheduler-file", str(file)),
            *arguments,
            cwd=folder,
            **options,
        ) as process,
        running(
            "distributed.cli.dask_worker",
            *("--scheduler-file", str(file), "--nworkers", "1", "--nthreads", "1"),
            *("--dashboard-address", "127.0.0.1:0", "--local-directory", str(folder)),
            cwd=folder,
        ),
    ):
        while not (file.exists() and file.read_text()):
            assert process.poll() is None
        yield json.loads(file.read_text())


def without(packages, folder):
    """Make an environment that has everything that this one has but for some packages.

    What comes back are options for `scheduler`: the interpreter below this environment, which has
    no packages, and a folder of links to all the others.
    """
    links = Path(folder) / "packages"
    links.mkdir()
    for entry in Path(PACKAGES).iterdir():
        if entry.suffix != ".pth" and entry.name.split("-")[0] not in packages:
            (links / entry.name).symlink_to(entry)
    path = [str(links)]
    if "cutline" not in packages:
        path.append(str(Path(cutline.__file__).parents[1]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    return {"python": sys._base_executable, "env": environment}


def wait_until(holds, seconds=60):
    """Wait for what others do in their own time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.05)
