"""File systems that several hosts share for real: JuiceFS, sshfs, and one that answers slowly."""

import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from processes import line
from tools import require

SLOWLY = Path(__file__).parent / "slow_folder.py"


@contextmanager
def juicefs(hosts, folder):
    """Mount one JuiceFS on each of the hosts, and yield where it is on all of them."""
    volume, at = f"sqlite3://{folder}/juice.db", folder / "juicefs"
    at.mkdir()
    store = ("--storage", "file", "--bucket", f"{folder}/juice/")
    subprocess.run(line(["juicefs", "format", *store, volume, "shared"]), check=True)
    with ExitStack() as stack:
        for host in hosts:
            of_its_own = f"{folder}/juice.{host.name}"
            options = ("--no-usage-report", "--cache-dir", of_its_own, "--log", f"{of_its_own}.log")
            command = line(["juicefs", "mount", *options, volume, at])
            stack.enter_context(host.mounted(*command, at=at))
        yield at


@contextmanager
def sshfs(hosts, server, folder):
    """Mount a folder of an SSH server's host on each of the hosts, and yield where it is."""
    require("sshfs")
    served, at = folder / "served", folder / "sshfs"
    served.mkdir()
    at.mkdir()
    with ExitStack() as stack:
        for host in hosts:
            command = ("sshfs", "-f", f"root@{server.address}:{served}", at, *server.options)
            stack.enter_context(host.mounted(*command, at=at))
        yield at


@contextmanager
def slow_folder(host, folder, at, milliseconds):
    """Show a folder under another path of a host, where every operation takes its time."""
    command = (sys.executable, SLOWLY, folder, at, milliseconds)
    with host.mounted(*command, at=at):
        yield at
