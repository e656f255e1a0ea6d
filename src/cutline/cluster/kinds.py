"""The kinds of clusters, and which one a `cluster.yaml` names."""

import difflib
import os
import re
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec
import yaml
from distributed import Client

from cutline.cluster.address import Address
from cutline.cluster.local_cluster import Local
from cutline.cluster.slurm import Slurm
from cutline.cluster.spec import Spec
from cutline.cluster.ssh import Ssh
from cutline.errors import UsageError, checked
from cutline.progress import SILENT, Watcher

__all__ = [
    "KINDS",
    "Address",
    "Cluster",
    "Local",
    "Slurm",
    "Spec",
    "Ssh",
    "has_dashboard",
    "name_of",
    "read_cluster",
]


class Cluster(Protocol):
    """A kind of cluster: a frozen `msgspec` struct whose fields are the keys of its file."""

    def open(self, watcher: Watcher = SILENT) -> AbstractContextManager[Client]:
        """Start the cluster or join it, and end at the end what was started."""


KINDS: Final[dict[str, type[Any]]] = {
    "local": Local,
    "address": Address,
    "slurm": Slurm,
    "ssh": Ssh,
    "spec": Spec,
}
"""The kinds that a `cluster.yaml` can name. A new one is a module and a line here."""


def has_dashboard(cluster: Cluster) -> bool:
    """Return whether a cluster shows a dashboard; one does unless it was told not to."""
    return getattr(cluster, "dashboard_address", "") != "none"


def name_of(cluster: Cluster) -> str:
    """Return the name of a cluster's kind."""
    return next(name for name, kind in KINDS.items() if isinstance(cluster, kind))


@checked
def read_cluster(path: str) -> Cluster:
    """Read a `cluster.yaml`, in which ``${NAME}`` is that variable of the environment.

    Raises
    ------
    UsageError
        It is not there, is not YAML, or has a key or a value that is wrong.
    """
    try:
        with open(path, encoding="utf-8") as file:
            body: Any = _expanded(yaml.safe_load(file), path)
    except OSError as error:
        raise UsageError(
            f"The cluster file {path} cannot be read ({error.strerror}): name a cluster.yaml."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"The cluster file {path} is not YAML: correct it, {reason}.") from error
    wrong = _wrong(body)
    if wrong:
        raise UsageError(f"The cluster file {path} is wrong: {wrong}.")
    try:
        cluster: Cluster = msgspec.convert(body, KINDS[body["kind"]], strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"The cluster file {path} is wrong: {_with_hint(error)}.") from error
    except UsageError as error:
        raise UsageError(f"The cluster file {path} is wrong: {error}") from error
    return cluster


def _with_hint(error: msgspec.ValidationError) -> str:
    # YAML reads 10:00:00 as 36,000.
    return f"{error}; put it in quotes" if "`str`, got `int`" in str(error) else str(error)


def _expanded(value: object, path: str) -> object:
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda found: _variable(found[1], path), value)
    if isinstance(value, list):
        return [_expanded(one, path) for one in value]
    if isinstance(value, dict):
        return {key: _expanded(one, path) for key, one in value.items()}
    return value


def _variable(name: str, path: str) -> str:
    if name not in os.environ:
        raise UsageError(f"The cluster file {path} names ${{{name}}}, which is not set: export it.")
    return os.environ[name]


def _wrong(body: object) -> str:
    """Return what is wrong with the keys of a cluster file, or an empty string."""
    if not isinstance(body, dict):
        return "it holds no keys; start from the cluster.yaml of the project"
    if "kind" not in body:
        return f"it has no kind, which must be {' or '.join(KINDS)}"
    kind = KINDS.get(str(body["kind"]))
    if kind is None:
        return f"kind is {str(body['kind'])!r}, and must be {' or '.join(KINDS)}"
    known = ["kind", *kind.__struct_encode_fields__]
    for key in body:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0) or known
            return f"it has no key {key!r}; the nearest is {near[0]!r}"
    return ""
