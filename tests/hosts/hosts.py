"""Hosts on one machine: each has its own network, host name, boot id and mounts.

A host is a process that holds the namespaces open; a switch, which is another, joins them. Nothing
of them has a name on this machine, so test runs never meet. Everything ends with these processes,
and they end with the process that started them, however that ends: their standard input closes.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from processes import PATIENCE, until

TOOLS = ("hostname", "ip", "mount", "nsenter", "setpriv", "unshare")
NETWORK = "10.97.0"
TIED = ("setpriv", "--pdeathsig", "KILL", "--")
"""What a command is started by so that it does not outlive the tests."""


@contextmanager
def holding(*namespaces):
    """Run a process that holds new namespaces open, and yield its number."""
    with subprocess.Popen(
        ["unshare", *namespaces, "--", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()


@contextmanager
def hosts_on_a_switch(names, folder):
    """Yield hosts that reach each other, by name; `folder` is for what they need themselves."""
    with ExitStack() as stack:
        switch = stack.enter_context(holding("--net"))
        _in_network(switch, "ip link add bridge type bridge")
        _in_network(switch, "ip link set bridge up")
        yield {
            name: stack.enter_context(_host(switch, name, f"{NETWORK}.{number}", folder))
            for number, name in enumerate(names, 10)
        }


@contextmanager
def _host(switch, name, address, folder):
    with holding("--net", "--uts", "--mount", "--propagation", "private") as pid:
        host = Host(name, address, pid, switch)
        boot_id = os.path.join(folder, f"boot_id.{name}")
        with open(boot_id, "w") as file:
            file.write(f"{uuid.uuid4()}\n")
        for command in (
            f"hostname {host.hostname}",
            instead("/proc/sys/kernel/random/boot_id", boot_id),
            "ip link set lo up",
            f"ip link add {host.plug} type veth peer name plug netns {switch}",
            f"ip addr add {address}/24 dev {host.plug}",
        ):
            host.check(*shlex.split(command))
        host.plug_in()
        _in_network(switch, f"ip link set plug name {name}")
        host.rejoin()
        try:
            yield host
        finally:
            host.end()


def _in_network(pid, command):
    subprocess.run(
        ["nsenter", "--target", str(pid), "--net", "--", *shlex.split(command)], check=True
    )


@dataclass
class Host:
    """A host: where commands run as they would on a machine of its own."""

    name: str
    address: str
    pid: int
    switch: int
    plug: str = "eth0"
    started: list = field(default_factory=list)

    @property
    def hostname(self):
        return f"node-{self.name}"

    def line(self, command, *, mounts=(), user=None, folder="/"):
        """Return the words that run a command here; `mounts` are made for it alone."""
        words = ["nsenter", "--target", str(self.pid), "--net", "--uts", "--mount"]
        words += [f"--wdns={folder}", "--"]
        if mounts:
            words += ["unshare", "--mount", "--propagation", "private", "--"]
            # The folder is entered anew: something else may be mounted over it.
            enter = f"cd {shlex.quote(folder)}"
            words += ["sh", "-c", " && ".join([*mounts, enter, 'exec "$@"']), self.name]
        if user is not None:
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
            # Who may read everything: Python itself may be in a folder that is root's alone.
            words += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"]
        return [*TIED, *words, *map(str, command)]

    def start(self, *command, where=None, **options):
        """Start a command in a process group of its own; `where` are the keywords of `line`."""
        process = subprocess.Popen(
            self.line(command, **(where or {})),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            **options,
        )
        self.started.append(process)
        return process

    def run(self, *command, where=None, timeout=PATIENCE, **options):
        """Run a command to its end; its output is text. What takes too long is killed, and told."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        process = self.start(*command, where=where, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as expired:
            kill(process)
            out, err = process.communicate()
            raise AssertionError(
                f"no end after {timeout} s: {shlex.join(map(str, command))}\n{out}{err}"
            ) from expired
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def check(self, *command, **options):
        """Run a command that must succeed, and return what it printed."""
        result = self.run(*command, **options)
        assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result.stdout

    def unplug(self):
        """Take the link down, which this host notices."""
        self.check("ip", "link", "set", self.plug, "down")

    def plug_in(self):
        self.check("ip", "link", "set", self.plug, "up")
        # It leads nowhere, but a host without one does not know which of its addresses to tell.
        self.check("ip", "route", "replace", "default", "dev", self.plug)

    def cut(self):
        """Let every packet vanish behind the link, which nobody notices."""
        _in_network(self.switch, f"ip link set {self.name} nomaster")

    def rejoin(self):
        _in_network(self.switch, f"ip link set {self.name} master bridge up")

    @contextmanager
    def mounted(self, *command, at):
        """Mount what a command serves, which runs until then, for the whole host."""
        server = self.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def is_there():
            assert server.poll() is None, f"{command} has ended"
            return self.run("mountpoint", "-q", at).returncode == 0

        try:
            until(is_there, f"a mount on {at}")
            yield at
        finally:
            # Lazily: what still works in there must not keep the others' mounts from ending.
            self.run("umount", "--lazy", at)
            kill(server)

    def processes(self):
        """Return the numbers of all processes that run here, daemons too."""
        mine = _namespace(self.pid)
        return [
            pid
            for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if pid != self.pid and _namespace(pid) == mine
        ]

    def end(self):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.communicate()


def _namespace(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/uts")


def kill(process, number=signal.SIGKILL):
    """Kill a process and all of its group, as when its machine loses power."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait()


# What a command may see elsewhere than others do: shell commands for `mounts`.


def empty(folder):
    """Return the mount of an empty folder over another: a mount that somebody forgot."""
    return shlex.join(["mount", "-t", "tmpfs", "none", str(folder)])


def instead(folder, other):
    """Return the mount of another folder, or file, in the place of one."""
    return shlex.join(["mount", "--bind", str(other), str(folder)])


def read_only(folder):
    """Return the mount of a folder on itself, where nobody may write."""
    remount = shlex.join(["mount", "-o", "remount,bind,ro", str(folder)])
    return f"{instead(folder, folder)} && {remount}"


def without(folder, *, but=()):
    """Return the mounts that leave nothing in a folder but some of the folders in it."""
    commands = [instead("/mnt", folder), empty(folder)]
    for name in but:
        commands += [shlex.join(["mkdir", f"{folder}/{name}"])]
        commands += [instead(f"{folder}/{name}", f"/mnt/{name}")]
    return " && ".join(commands)


def moved(folder, to="/mnt"):
    """Return the mounts that show a folder under another path, and nothing under its own."""
    return f"{instead(to, folder)} && {empty(folder)}"
