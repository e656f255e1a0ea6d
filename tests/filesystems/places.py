"""File systems that are made and mounted for a test, each in a folder of its own."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from processes import until

BIN = Path(sys.executable).parent

SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""


def needs(*tools):
    for tool in tools:
        if not (shutil.which(tool) or (BIN / tool).exists()):
            pytest.skip(f"{tool} is not installed")
    if os.geteuid():
        pytest.skip("only root can mount")


def run(*command):
    subprocess.run([os.fspath(word) for word in command], check=True, capture_output=True)


@contextmanager
def mounted(at, *command):
    """Mount at a folder of its own; unmount it at the end, also when it is busy for a moment."""
    at.mkdir(exist_ok=True)
    run(*command)
    try:
        until(lambda: os.path.ismount(at), "the file system")
        yield at
    finally:
        for _ in range(50):
            if not subprocess.run(["umount", at], capture_output=True, check=False).returncode:
                break
            time.sleep(0.2)


@contextmanager
def ext4(folder):
    needs("mkfs.ext4")
    image = folder / "ext4.image"
    with open(image, "wb") as file:
        file.truncate(200 << 20)
    run("mkfs.ext4", "-q", "-F", image)
    with mounted(folder / "ext4", "mount", "-o", "loop", image, folder / "ext4") as at:
        yield at


@contextmanager
def tmpfs(folder):
    needs("mount")
    with mounted(folder / "tmpfs", "mount", "-t", "tmpfs", "tmpfs", folder / "tmpfs") as at:
        yield at


@contextmanager
def vfat(folder):
    needs("mkfs.vfat")
    if "\tvfat\n" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no vfat")
    image = folder / "vfat.image"
    with open(image, "wb") as file:
        file.truncate(200 << 20)
    run("mkfs.vfat", image)
    with mounted(folder / "vfat", "mount", "-o", "loop", image, folder / "vfat") as at:
        yield at


@contextmanager
def juicefs(folder):
    needs("juicefs")
    volume, at = f"sqlite3://{folder}/juice.db", folder / "juicefs"
    program = shutil.which("juicefs") or BIN / "juicefs"
    run(program, "format", "--storage", "file", "--bucket", f"{folder}/juice/", volume, "test")
    options = ("--no-usage-report", "--cache-dir", folder / "cache", "--log", folder / "juice.log")
    with mounted(at, program, "mount", "-d", *options, volume, at):
        yield at


@contextmanager
def sshfs(folder):
    needs("sshfs", "sshd", "ssh-keygen")
    for key in ("key", "host_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key)
    port, at, served = 20_000 + os.getpid() % 10_000, folder / "sshfs", folder / "served"
    served.mkdir()
    (folder / "sshd_config").write_text(SSHD.format(port=port, folder=folder))
    os.makedirs("/run/sshd", exist_ok=True)
    log = folder / "sshd.log"
    with open(log, "w") as file:
        server = subprocess.Popen(
            [shutil.which("sshd"), "-D", "-e", "-f", folder / "sshd_config"], stderr=file
        )
    try:
        until(lambda: "Server listening" in log.read_text(), "the SSH server")
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
        ways = [word for option in options for word in ("-o", option)]
        key = ("-p", str(port), "-o", f"IdentityFile={folder}/key")
        with mounted(at, "sshfs", f"root@127.0.0.1:{served}", at, *key, *ways):
            yield at
    finally:
        server.terminate()
        server.wait()


REAL = {"ext4": ext4, "tmpfs": tmpfs, "vfat": vfat, "juicefs": juicefs, "sshfs": sshfs}
