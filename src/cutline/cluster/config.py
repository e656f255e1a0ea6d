"""Which cluster to work on, as a `cluster.yaml` names it."""

import difflib
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import msgspec
import yaml
from distributed import Client

from cutline.argument_checks import checked
from cutline.cluster.address import Address
from cutline.cluster.local_cluster import Local
from cutline.errors import UsageError


class Cluster(Protocol):
    """A kind of cluster: a frozen `msgspec` struct whose fields are the keys of its file."""

    @property
    def has_dashboard(self) -> bool:
        """Whether the cluster shows a dashboard."""

    def open(self) -> AbstractContextManager[Client]:
        """Start the cluster or join it, and end at the end what was started."""


KINDS: Final[dict[str, type[Any]]] = {
    "local": Local,
    "address": Address,
}
"""The kinds that a `cluster.yaml` can name. A new one is a module and a line here."""


@checked
def read_cluster(path: str) -> Cluster:
    """Read a `cluster.yaml`.

    Raises
    ------
    UsageError
        It is not there, is not YAML, or has a key or a value that is wrong.
    """
    try:
        with open(path, encoding="utf-8") as file:
            body = yaml.safe_load(file)
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
        cluster: Cluster = msgspec.convert(body, KINDS[body["kind"]])
    except msgspec.ValidationError as error:
        raise UsageError(f"The cluster file {path} is wrong: {error}.") from error
    return cluster


def _wrong(body: object) -> str:
    """Return what is wrong with the keys of a cluster file, or an empty string."""
    if not isinstance(body, dict):
        return "it holds no keys; start from the cluster.yaml of the project"
    if "kind" not in body:
        return f"it has no kind, which must be {' or '.join(KINDS)}"
    kind = KINDS.get(str(body["kind"]))
    if kind is None:
        return f"kind is {str(body['kind'])!r}, and must be {' or '.join(KINDS)}"
    known = ["kind", *kind.__struct_fields__]
    for key in body:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0) or known
            return f"it has no key {key!r}; the nearest is {near[0]!r}"
    return ""
