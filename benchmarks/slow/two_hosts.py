"""A command of cutline on two workers, each of them on a host of its own.

    python two_hosts.py HERE THERE COMMAND ...

HERE and THERE are two mounts of one folder. The second worker lives in a mount namespace where
THERE is what HERE names, so both know the folder by one name, as hosts do, and each has a kernel's
lock of its own. Only root can do that. The start of the cluster is in what is measured, as it is
for one host.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import sleep

WORKER = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def scheduler(file: str) -> list[str]:
    listen = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    return [sys.executable, "-m", "distributed.cli.dask_scheduler", *listen]


def elsewhere(here: str, there: str, command: list[str]) -> list[str]:
    swapped = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", swapped, "sh", there, here, *command]


def address_in(file: str) -> str:
    import json  # noqa: PLC0415

    while not (os.path.exists(file) and os.path.getsize(file)):
        sleep(0.02)
    with open(file) as opened:
        return str(json.load(opened)["address"])


def main(here: str, there: str, command: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = f"{folder}/scheduler.json"
        worker = [*WORKER, "--scheduler-file", file, "--local-directory", folder]
        stack.enter_context(running(scheduler(file)))
        address = address_in(file)
        stack.enter_context(running(worker))
        stack.enter_context(running(elsewhere(here, there, worker)))
        return subprocess.run([*command, "--scheduler", address], check=False).returncode


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
