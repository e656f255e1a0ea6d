"""What a job returns: a summary, for people and for programs."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Protocol, runtime_checkable

from rich.table import Table

from cutline.record import texts


class Summary(Protocol):
    """What a job returns; its repr is what people read, also in a notebook."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""

    @property
    def shortfall(self) -> str:
        """What was not done or is not good, in one sentence; empty if all is well."""
        return ""

    def __repr__(self) -> str:
        return "\n".join(readable(self))


@runtime_checkable
class Tabled(Protocol):
    """A summary that is shown as a table."""

    def as_table(self) -> Table:
        """Return the table."""


@runtime_checkable
class Stepped(Protocol):
    """A summary of several steps, each of which has its own."""

    def steps(self) -> list[Summary]:
        """Return the summaries of the steps."""


def readable(summary: Summary) -> list[str]:
    """Write a summary in a few aligned lines."""
    body = summary.as_json()
    return [body.pop("job"), *_block(body)]


def in_a_line(summary: Summary) -> str:
    """Write a summary in one line; of its checks, only those that found something."""
    body = summary.as_json()
    if "checks" in body:
        counts = {name: found["count"] for name, found in body["checks"].items()}
        body["checks"] = {name: count for name, count in counts.items() if count}
    job = body.pop("job")
    return f"{job}: " + "; ".join(
        f"{name.replace('_', ' ')} {_worded(value)}" for name, value in body.items()
    )


def _block(body: dict[str, Any]) -> Iterator[str]:
    """Write named values in lines, aligned and indented; a step of a job is a block of its own."""
    width = max(map(len, body))
    for name, value in body.items():
        if isinstance(value, dict) and not (_is_counts(value) or _is_check(value)):
            yield f"  {name}"
            inner = {key: shown for key, shown in value.items() if key != "job"}
            yield from (f"  {line}" for line in _block(inner))
        else:
            yield f"  {name.replace('_', ' '):<{width}}  {_worded(value)}"


def _is_counts(body: dict[str, Any]) -> bool:
    return all(type(value) is int for value in body.values())


def _is_check(body: dict[str, Any]) -> bool:
    """Return whether an object is what a check of `verify` found."""
    return body.keys() == {"ok", "count", "examples"}


def _worded(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and _is_check(value):
        examples = "; ".join(texts.clean(str(example)) for example in value["examples"])
        verdict = "" if value["ok"] else ", not ok"
        return f"{value['count']:,}{verdict}" + (f": {examples}" if examples else "")
    if isinstance(value, dict):
        ranked = sorted(value.items(), key=itemgetter(1), reverse=True)
        each = ", ".join(f"{name} {count:,}" for name, count in ranked)
        return f"{sum(value.values()):,}" + (f": {each}" if each else "")
    return f"{value:,}" if isinstance(value, int) else texts.clean(str(value))
