"""What the hosts need that is not Python."""

import os
import shutil
import subprocess

import pytest

HOST = """
hostname node
mount -t tmpfs none /mnt
mount --bind /etc/passwd /proc/sys/kernel/random/boot_id
ip link set lo up
ip link add bridge type bridge
ip link add eth0 type veth peer name plug
ip link set plug master bridge up
"""
"""What a host is made of, tried out in namespaces that are gone right after it."""


def require(*tools):
    """Skip for whoever may not make hosts; fail where only the tools are missing."""
    if os.geteuid():
        pytest.skip("only root may make network namespaces and mounts")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found: `make cluster-tools` installs them")


def require_namespaces():
    """Skip where a container or a kernel lets nobody make a host."""
    namespaces = ("--net", "--uts", "--mount", "--propagation", "private")
    command = ["unshare", *namespaces, "--", "sh", "-ec", HOST]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no host can be made here: {tried.stderr.strip()}")


def require_fuse():
    """Skip where no FUSE file system can be mounted."""
    require("fusermount3")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"no FUSE file system can be mounted here: {error}")
