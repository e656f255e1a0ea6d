"""What a job gives back: how its summary is read, by people and by programs."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Protocol, runtime_checkable

from rich.table import Table

from cutline.record import texts


class Summary(Protocol):
    """What a job gives back; it is shown as people read it, also in a notebook."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Give the object that ``--json`` prints."""

    @property
    def shortfall(self) -> str:
        """What was not done, or will not do, in one sentence; empty if all is well."""
        return ""

    def __repr__(self) -> str:
        return "\n".join(readable(self))


@runtime_checkable
class Tabled(Protocol):
    """A summary that is read as a table."""

    def as_table(self) -> Table:
        """Lay it out."""


@runtime_checkable
class Stepped(Protocol):
    """A summary of several steps, each with one of its own."""

    def steps(self) -> list[Summary]:
        """Give those of the steps."""


def readable(summary: Summary) -> list[str]:
    """Write a summary in a few aligned lines."""
    body = summary.as_json()
    return [body.pop("job"), *block(body)]


def in_a_line(summary: Summary) -> str:
    """Write a summary in one line; of checks, how often those found something that did."""
    body = summary.as_json()
    if "checks" in body:
        counts = {name: found["count"] for name, found in body["checks"].items()}
        body["checks"] = {name: count for name, count in counts.items() if count}
    job = body.pop("job")
    return f"{job}: " + "; ".join(
        f"{name.replace('_', ' ')} {worded(value)}" for name, value in body.items()
    )


def block(body: dict[str, Any]) -> Iterator[str]:
    """Write named values in lines, aligned and indented; a step of a job is a block of its own."""
    width = max(map(len, body))
    for name, value in body.items():
        if isinstance(value, dict) and not (is_counts(value) or is_check(value)):
            yield f"  {name}"
            inner = {key: shown for key, shown in value.items() if key != "job"}
            yield from (f"  {line}" for line in block(inner))
        else:
            yield f"  {name.replace('_', ' '):<{width}}  {worded(value)}"


def is_counts(body: dict[str, Any]) -> bool:
    """Tell whether an object is counts by name."""
    return all(type(value) is int for value in body.values())


def is_check(body: dict[str, Any]) -> bool:
    """Tell whether an object is what a check of a verification found."""
    return body.keys() == {"ok", "count", "examples"}


def worded(value: object) -> str:
    """Write a value of a summary."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and is_check(value):
        examples = "; ".join(texts.clean(str(example)) for example in value["examples"])
        verdict = "" if value["ok"] else ", not ok"
        return f"{value['count']:,}{verdict}" + (f": {examples}" if examples else "")
    if isinstance(value, dict):
        ranked = sorted(value.items(), key=itemgetter(1), reverse=True)
        each = ", ".join(f"{name} {count:,}" for name, count in ranked)
        return f"{sum(value.values()):,}" + (f": {each}" if each else "")
    return f"{value:,}" if isinstance(value, int) else texts.clean(str(value))
