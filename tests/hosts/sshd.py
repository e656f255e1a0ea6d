"""A real SSH server on a host, with keys of its own: nothing of it is known elsewhere."""

import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hosts import Host, kill
from processes import until

CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {host_key}
AuthorizedKeysFile {key}.pub
PidFile none
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
AcceptEnv *
Subsystem sftp internal-sftp
"""


@dataclass(frozen=True)
class Server:
    """Where a server answers, and to whom."""

    host: Host
    address: str
    port: int
    key: Path

    @property
    def options(self):
        """Return the options of `ssh` and `sshfs` that find it and that ask nobody."""
        return (
            *("-o", f"Port={self.port}", "-o", f"IdentityFile={self.key}"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "BatchMode=yes"),
        )


@contextmanager
def ssh_server(host, folder, *, address=None, port=2222):
    """Run a server on a host: on its own address, or on another such as 127.0.0.1."""
    folder = Path(folder)
    address = address or host.address
    server = Server(host, address, port, folder / "key")
    for key in (server.key, folder / "host_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(command, check=True)
    words = {"port": port, "address": address, "key": server.key, "host_key": folder / "host_key"}
    (folder / "sshd_config").write_text(CONFIG.format(**words))
    # Where sshd lets those in that it does not trust yet; compiled into it.
    os.makedirs("/run/sshd", exist_ok=True)
    log = folder / "sshd.log"
    with open(log, "w") as file:
        process = host.start(
            "/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config", stderr=file
        )
    try:
        until(lambda: "Server listening" in log.read_text(), "the SSH server")
        yield server
    finally:
        kill(process)
