"""What a job returns: a summary, for people and for programs."""

import html
from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Final, Protocol, Self, runtime_checkable

from rich.table import Table

from cutline.errors import CutlineError
from cutline.record import texts

WHERE: Final = ("out", "page", "table", "data")
"""What a summary calls the path of what it is about; the first that it has is what was made."""

MOST: Final = 3
"""Reasons in a short line."""


class Summary(Protocol):
    """What a job returns; its repr is what people read, also in a notebook."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""

    @property
    def shortfall(self) -> str:
        """What was not done or is not good, in one sentence; empty if all is well."""
        return ""

    @property
    def sequel(self) -> str:
        """What to do next if all is well, in one sentence; empty if that is for others to say."""
        return ""

    def check(self) -> Self:
        """Return the summary, if all is well.

        Raises
        ------
        CutlineError
            Something was not done or is not good; the message is the shortfall.
        """
        if self.shortfall:
            raise CutlineError(self.shortfall)
        return self

    def __repr__(self) -> str:
        return "\n".join(readable(self))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        body = self.as_json()
        return f"<b>{html.escape(body.pop('job'))}</b>{_html_table(body)}"


@runtime_checkable
class Tabled(Protocol):
    """A summary that is shown as a table."""

    def as_table(self, *, in_short: bool = False) -> Table:
        """Return the table; in short, of what is not as it should be."""


@runtime_checkable
class Stepped(Protocol):
    """A summary of several steps, each of which has its own."""

    def steps(self) -> list[Summary]:
        """Return the summaries of the steps."""


@runtime_checkable
class Worded(Protocol):
    """A summary that has a sentence of its own."""

    def in_words(self) -> str:
        """Return the sentence."""


def readable(summary: Summary) -> list[str]:
    """Write a summary in a few aligned lines."""
    body = summary.as_json()
    return [body.pop("job"), *_block(body)]


def in_a_line(summary: Summary) -> str:
    """Write a summary in one short line: what it made, what is there more than 0 times, and where.

    Of its checks, only those that found something are named.
    """
    body = summary.as_json()
    job = body.pop("job")
    if isinstance(summary, Worded):
        return f"{job}: {texts.clean(summary.in_words())}"
    if "checks" in body:
        checks = body.pop("checks")
        body = {name: found["count"] for name, found in checks.items() if found["count"]} | body
        body["checks_ok"] = sum(not found["count"] for found in checks.values())
    where = [body.pop(name) for name in WHERE if name in body]
    told = {name: value for name, value in body.items() if value or value is False}
    worded = [f"{name.replace('_', ' ')} {_worded(told[name], MOST)}" for name in told]
    return f"{job}: " + "; ".join([*worded, *map(texts.clean, where[:1])])


def findings_of(summary: Summary) -> list[str]:
    """Write each check of a summary that fails in a line, with its examples."""
    checks = summary.as_json().get("checks", {})
    failing = {name: found for name, found in checks.items() if not found["ok"]}
    return [f"{name.replace('_', ' ')} {_worded(found)}" for name, found in failing.items()]


def in_short(summary: Summary) -> list[str]:
    """Write a summary in one short line a step."""
    steps = summary.steps() if isinstance(summary, Stepped) else [summary]
    return [in_a_line(step) for step in steps]


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


def _html_table(body: dict[str, Any]) -> str:
    rows = []
    for name, value in body.items():
        if isinstance(value, dict) and not (_is_counts(value) or _is_check(value)):
            shown = _html_table({key: inner for key, inner in value.items() if key != "job"})
        else:
            shown = html.escape(_worded(value))
        told = html.escape(name.replace("_", " "))
        rows.append(f"<tr><th style='text-align: left'>{told}</th>")
        rows.append(f"<td style='text-align: left'>{shown}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _is_counts(body: dict[str, Any]) -> bool:
    return all(type(value) is int for value in body.values())


def _is_check(body: dict[str, Any]) -> bool:
    """Return whether an object is what a check of `verify` found."""
    return body.keys() == {"ok", "count", "examples"}


def _worded(value: object, most: int | None = None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and _is_check(value):
        examples = "; ".join(texts.clean(str(example)) for example in value["examples"])
        verdict = "" if value["ok"] else ", not ok"
        return f"{value['count']:,}{verdict}" + (f": {examples}" if examples else "")
    if isinstance(value, dict):
        ranked = sorted(value.items(), key=itemgetter(1), reverse=True)
        each = ", ".join(f"{name} {count:,}" for name, count in ranked[:most])
        others = sum(count for _, count in ranked[most:]) if most else 0
        each += f", others {others:,}" if others else ""
        return f"{sum(value.values()):,}" + (f": {each}" if each else "")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else texts.clean(str(value))
