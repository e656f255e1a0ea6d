"""The report as one HTML page: what the template ``report.html.j2`` shows."""

import os
from importlib.metadata import version
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cutline.plan import receipts
from cutline.record import texts
from cutline.report.facts import Facts
from cutline.report.plots import library, script_and_divs
from cutline.store import TableFiles
from cutline.table import head
from cutline.trainers import simpletuner
from cutline.verify import checks

LONGEST: Final = 400
"""Characters of a caption or a detail that are shown."""


def page(facts: Facts) -> str:
    """Return the page of these facts, in HTML.

    It holds all that it shows. Whatever names, captions and the ledger may hold is text on it.
    """
    script, plots = script_and_divs(facts.shapes)
    results = list(facts.verified.results()) if facts.verified else []
    found = [result for result in results if result[1].count]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            facts=facts,
            name=os.path.basename(facts.table).removesuffix(".parquet"),
            failing=len(checks.failures(facts.verified.findings)) if facts.verified else 0,
            found=sorted(found, key=lambda result: result[0].level),
            fine=[check for check, finding in results if not finding.count],
            smallest=simpletuner.DEFAULTS.minimum_image_size,
            first_rows=head.values(facts.first),
            slowest=receipts.slowest(facts.measured),
            fastest=receipts.fastest(facts.measured),
            plots=plots,
            script=script,
            library=library(),
            version=version("cutline"),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cutline", "report"),
        autoescape=True,
        finalize=_readable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["FAILURE"] = checks.FAILURE
    environment.filters |= {
        "number": lambda number, digits=0: f"{number:,.{digits}f}",
        "part": lambda index: TableFiles.part_name(index).removesuffix(".parquet"),
        "share": lambda share, digits: f"{share:.{digits}%}",
        "words": lambda name: name.replace("_", " "),
    }
    return environment


def _readable(value: object) -> object:
    """Return the text of a value that may hold anything; what cannot be seen is written out.

    Jinja2 calls it for each value that it puts in, and escapes what is no `Markup`.
    """
    if isinstance(value, Markup):
        return value
    shown = "" if value is None else str(value)
    if len(shown) > LONGEST:
        shown = shown[:LONGEST] + " …"
    return texts.UNSEEN.sub(texts.escaped, shown).encode(errors="backslashreplace").decode()
