"""The report as one HTML page: what the template ``report.html.j2`` shows."""

import os
from datetime import datetime
from importlib.metadata import version
from typing import Final, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cutline.plan import receipts
from cutline.record import texts
from cutline.report.facts import Facts
from cutline.report.plots import FAINT, INK, library, script_and_divs
from cutline.report.shapes import CLIP, CLIP_A_WORD, ENDS, T5_A_WORD, Shapes
from cutline.report.thumbnails import Gallery
from cutline.store import TableFiles
from cutline.table import head
from cutline.trainers import simpletuner
from cutline.verify import checks

LIMITS: Final = (
    ("CLIP", CLIP, CLIP_A_WORD),
    ("T5", 256, T5_A_WORD),
    ("T5", 512, T5_A_WORD),
)
"""Text encoders, how many tokens they take, and how many a word or sign has on average."""

LONGEST: Final = 400
"""Characters of a caption or a detail that are shown."""


def page(facts: Facts, galleries: list[Gallery], now: datetime) -> str:
    """Return the page of these facts and images, in HTML, with the time at which it is made.

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
            galleries=galleries,
            limits=[_limit(facts.shapes, *limit) for limit in LIMITS],
            buckets=facts.shapes.buckets.most_common(),
            files=[_relative(path) for path in (facts.table, TableFiles.of(facts.table).ledger)],
            when=f"{now:%-d %B %Y, %H:%M} UTC",
            script=script,
            library=library(),
            version=version("cutline"),
        )
    )


class Limit(NamedTuple):
    """How many captions are longer than a text encoder takes, as far as that can be estimated."""

    encoder: str
    tokens: int
    rows: int


def _limit(shapes: Shapes, encoder: str, tokens: int, a_word: float) -> Limit:
    over = sum(rows for words, rows in shapes.words.items() if words * a_word + ENDS > tokens)
    return Limit(encoder, tokens, over)


def _relative(path: str) -> tuple[str, str]:
    """Return the name of a file beside the report, and its address from there."""
    name = os.path.basename(path)
    return name, "./" + quote(name)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cutline", "report"),
        autoescape=True,
        finalize=_readable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"FAILURE": checks.FAILURE, "INK": INK, "FAINT": FAINT}
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
