"""TLS: certificates of a cluster file or of Dask's configuration, and what is wrong with them."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

import dask
import msgspec
from distributed import Security

from cutline.errors import UsageError, said

ANSWER: Final = 2
"""Seconds that a server has to say its first byte, before it is asked otherwise."""


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files of a cluster that speaks TLS, in PEM, at the same path on every host.

    Attributes
    ----------
    ca
        The certificate of the authority that has signed all the others.
    cert
        The certificate of this side, and of scheduler and workers that are started.
    key
        Its key, unless that is in `cert`, too.
    """

    ca: str
    cert: str
    key: str | None = None

    def config(self) -> dict[str, object]:
        """Return it as Dask's configuration has it."""
        mine = {"cert": self.cert, "key": self.key}
        sides = {f"distributed.comm.tls.{side}": mine for side in ("client", "scheduler", "worker")}
        return {
            "distributed.comm.require-encryption": True,
            "distributed.comm.tls.ca-file": self.ca,
            **sides,
        }


@contextmanager
def configured(tls: Tls | None) -> Iterator[Security]:
    """Have Dask use some certificates in the block, or those that it is configured with.

    Raises
    ------
    UsageError
        A file is not there, or they do not belong together.
    """
    with dask.config.set(tls.config() if tls else {}):
        security = Security()
        _check_files(security)
        yield security


def _check_files(security: Security) -> None:
    files = security.get_tls_config_for_role("client")
    for name in ("ca_file", "cert", "key"):
        path = files[name]
        if path and "\n" not in path and not os.access(path, os.R_OK):
            raise UsageError(
                f"The TLS file {path} is not there or cannot be read: correct tls in the cluster"
                " file, or distributed.comm.tls in Dask's configuration."
            )
    try:
        security.get_connection_args("client")
    except OSError as error:  # ssl's are among them
        raise UsageError(
            f"The TLS files {files['ca_file']}, {files['cert']} and {files['key']} cannot be used"
            f" ({said(error)}): name PEM files that belong together."
        ) from error


def check_address(address: str, security: Security) -> None:
    """Refuse an address that cannot be reached with these certificates, with the reason.

    Whoever does not answer at all, or cannot be at such an address, is left to who connects.

    Raises
    ------
    UsageError
        Scheduler and client do not agree about TLS.
    """
    if "://" not in address:
        address = f"{dask.config.get('distributed.comm.default-scheme')}://{address}"
    with suppress(ValueError):
        parts = urlsplit(address)
        if parts.scheme == "tcp":
            _check_plain(address, (parts.hostname or "", parts.port or 0), security)
        elif parts.scheme == "tls":
            _check_secret(address, (parts.hostname or "", parts.port or 0), security)


def _check_plain(address: str, where: tuple[str, int], security: Security) -> None:
    if security.require_encryption:
        raise UsageError(
            f"Dask is configured with require-encryption, and {address} is not encrypted: write"
            " tls://, or set distributed.comm.require-encryption to false."
        )
    with suppress(OSError):
        if _speaks_tls(where):
            raise UsageError(
                f"The scheduler at {address} speaks TLS alone: write tls:// and name its"
                " certificates, as tls in a cluster file or in Dask's configuration."
            )


def _speaks_tls(where: tuple[str, int]) -> bool:
    """Return whether a server answers to TLS, and does not speak first as one of TCP does."""
    with socket.create_connection(where, ANSWER) as connection, suppress(TimeoutError):
        connection.recv(1)
        return False
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with (
        suppress(TimeoutError),
        socket.create_connection(where, ANSWER) as connection,
        anybody.wrap_socket(connection),
    ):
        return True
    return False


def _check_secret(address: str, where: tuple[str, int], security: Security) -> None:
    context: ssl.SSLContext | None = security.get_connection_args("client")["ssl_context"]
    if context is None:
        raise UsageError(
            f"The scheduler at {address} needs a certificate of this client: name ca, cert and key"
            " below tls in a cluster file, or configure Dask's distributed.comm.tls."
        )
    files = security.get_tls_config_for_role("client")
    try:
        with socket.create_connection(where, ANSWER) as connection:
            _shake_hands(context, connection, address, files["ca_file"])
    except ssl.SSLError as error:
        raise UsageError(
            f"The scheduler at {address} refuses the certificate {files['cert']} of this client"
            f" ({said(error)}): name one that its authority has signed."
        ) from error
    except OSError:
        return  # who connects says that nobody answers


def _shake_hands(context: ssl.SSLContext, connection: socket.socket, address: str, ca: str) -> None:
    try:
        secret = context.wrap_socket(connection)
    except ssl.SSLCertVerificationError as error:
        raise UsageError(
            f"The certificate of the scheduler at {address} is not signed by {ca}"
            f" ({error.verify_message}): name its own authority as ca."
        ) from error
    except ssl.SSLError as error:
        if error.reason == "WRONG_VERSION_NUMBER":
            raise UsageError(
                f"The scheduler at {address} speaks no TLS: write tcp://, or start it with"
                " certificates."
            ) from error
        raise
    with secret:
        # In TLS 1.3 a server looks at a client's certificate after the handshake.
        secret.recv(1)
