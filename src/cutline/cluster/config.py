"""Which cluster to work on, as a `cluster.yaml` says it."""

import difflib
from typing import Annotated

import msgspec
import yaml
from dask.utils import parse_bytes

from cutline.errors import UsageError

Count = Annotated[int, msgspec.Meta(ge=1)]


class Local(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="local"):
    """A cluster on this machine that is started for the job and stopped after it.

    Attributes
    ----------
    workers
        Worker processes; without it one for each core that this process may use.
    threads_per_worker
        One is best: reading and judging records holds Python's lock.
    memory_limit
        Of each worker, as Dask writes it: ``4GiB``, or ``auto`` for its share of the machine.
    dashboard_address
        Where the dashboard listens, or ``none``.
    """

    workers: Count | None = None
    threads_per_worker: Count = 1
    memory_limit: str = "auto"
    dashboard_address: str = "127.0.0.1:8787"

    def __post_init__(self) -> None:
        """Refuse an amount of memory that Dask cannot read, and an address that cannot be one."""
        if self.memory_limit != "auto":
            parse_bytes(self.memory_limit)
        if self.dashboard_address != "none":
            _, _, port = self.dashboard_address.rpartition(":")
            if not (port.isascii() and port.isdigit() and int(port) < 2**16):
                raise UsageError(
                    f"The dashboard's address {self.dashboard_address} is not HOST:PORT: correct"
                    " it, or write none."
                )


class Address(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="address"
):
    """A scheduler that is running already."""

    address: str


Cluster = Local | Address


def read_cluster(path: str) -> Cluster:
    """Read a `cluster.yaml`.

    Raises
    ------
    UsageError
        It is not there, is not YAML, or has a key or a value that cannot be.
    """
    try:
        with open(path, encoding="utf-8") as file:
            body = yaml.safe_load(file)
        cluster: Cluster = msgspec.convert(body, Cluster)
    except OSError as error:
        raise UsageError(
            f"The cluster file {path} cannot be read ({error.strerror}): name a cluster.yaml."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"The cluster file {path} is not YAML: correct it, {reason}.") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"The cluster file {path} is wrong: {explain(body, error)}.") from error
    return cluster


def explain(body: object, error: msgspec.ValidationError) -> str:
    """Say what is wrong with a cluster file, and name the key that was likely meant."""
    if not isinstance(body, dict):
        return "it holds no keys; start from the cluster.yaml of the project"
    kinds = {"local": Local, "address": Address}
    if "kind" not in body:
        return f"it has no kind, which must be {' or '.join(kinds)}"
    kind = str(body["kind"])
    if kind not in kinds:
        return f"kind is {kind!r}, and must be {' or '.join(kinds)}"
    known = ["kind", *kinds[kind].__struct_fields__]
    for key in body:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0) or known
            return f"it has no key {key!r}; the nearest is {near[0]!r}"
    return str(error)


def has_dashboard(cluster: Cluster) -> bool:
    """Tell whether a cluster shows a dashboard."""
    return isinstance(cluster, Address) or cluster.dashboard_address != "none"
