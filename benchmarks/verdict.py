"""Figures held against what was promised, and Markdown tables of them."""

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from measure import Runs

SHOWN_VERSIONS = ["cutline", "dask", "pyarrow", "orjson", "msgspec", "pandas"]


class Verdict(NamedTuple):
    """One measure, and whether it is where it should be; an empty target judges nothing."""

    measure: str
    figure: str
    target: str = ""
    met: str = ""


def at_least(measure: str, value: float, limit: float) -> Verdict:
    return Verdict(measure, f"{value:,.2f}", f"at least {limit:,.4g}", met(value >= limit))


def at_most(measure: str, value: float, limit: float) -> Verdict:
    return Verdict(measure, f"{value:,.2f}", f"at most {limit:,.4g}", met(value <= limit))


def noted(measure: str, value: float) -> Verdict:
    return Verdict(measure, f"{value:,.2f}")


def not_measured(measure: str, reason: str) -> Verdict:
    return Verdict(measure, f"not measured here: {reason}")


def met(kept: bool) -> str:  # noqa: FBT001 - the thing itself, not a switch
    return "yes" if kept else "NO"


def runs_table(runs: Sequence[Runs]) -> str:
    """Show contenders side by side; the first is what the others are held against."""
    first = runs[0].seconds
    return markdown(
        ["", "seconds", "from", "to", f"times as fast as {runs[0].name}", "CPU seconds", "peak MB"],
        [
            [
                each.name,
                f"{each.seconds:.2f}",
                f"{min(result.seconds for result in each.results):.2f}",
                f"{max(result.seconds for result in each.results):.2f}",
                f"{first / each.seconds:.2f}",
                f"{each.cpu_seconds:.2f}",
                f"{each.peak_bytes / 1e6:.0f}",
            ]
            for each in runs
        ],
    )


def verdicts_table(verdicts: Iterable[Verdict]) -> str:
    return markdown(["measure", "figure", "target", "met"], verdicts)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(kind: str) -> str:
    """State where the figures come from; `kind` is the file system that they were taken on."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    versions = [f"{name} {importlib.metadata.version(name)}" for name in SHOWN_VERSIONS]
    return (
        f"{cores} cores ({processor()}), {memory:.0f} GB, Linux {platform.release()}, data on "
        f"{kind}; Python {platform.python_version()}, {', '.join(versions)}."
    )


def processor() -> str:
    with open("/proc/cpuinfo") as file:
        named = re.search(r"model name\s*: (.*)", file.read())
    return named[1] if named else platform.machine()
