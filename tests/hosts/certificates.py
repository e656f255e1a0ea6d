"""Certificates that `openssl` makes: an authority, another that nobody knows, a node of each."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """The files of an authority and of a node that it has signed."""

    ca: Path
    cert: Path
    key: Path

    @property
    def options(self):
        """Return the options of `dask scheduler` and `dask worker`."""
        return (
            *("--tls-ca-file", self.ca),
            *("--tls-cert", self.cert),
            *("--tls-key", self.key),
        )

    @property
    def environment(self):
        """Return what Dask reads for a client."""
        return client_environment(self.ca, self.cert, self.key)


def client_environment(ca, cert, key):
    """Return the variables by which Dask learns a client's certificates."""
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    return {
        prefix + "CA_FILE": str(ca),
        prefix + "CLIENT__CERT": str(cert),
        prefix + "CLIENT__KEY": str(key),
    }


def make_certificates(folder, name):
    """Make an authority and a node of it below a folder."""
    ca, ca_key = folder / f"{name}.pem", folder / f"{name}.key"
    cert, key = folder / f"{name}.node.pem", folder / f"{name}.node.key"
    request = folder / f"{name}.node.csr"
    for command in (
        f"req -x509 -newkey rsa:2048 -nodes -keyout {ca_key} -out {ca} -days 30 -subj /CN={name}",
        f"req -newkey rsa:2048 -nodes -keyout {key} -out {request} -subj /CN=node",
        f"x509 -req -in {request} -CA {ca} -CAkey {ca_key} -CAcreateserial -out {cert} -days 30",
    ):
        subprocess.run(["openssl", *shlex.split(command)], check=True, capture_output=True)
    return Certificates(ca, cert, key)
