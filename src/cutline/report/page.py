"""The report as one HTML page. Whatever is not ours is escaped where it is put in."""

import html
import os
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from typing import Final

from cutline.plan import ledger, receipts, timings
from cutline.record import texts
from cutline.report.facts import Facts
from cutline.report.plots import library, script_and_divs
from cutline.report.shapes import Shapes
from cutline.store import TableFiles
from cutline.table import head
from cutline.trainers import simpletuner
from cutline.verify import VerifySummary, checks

LONGEST: Final = 400
"""Characters of a caption or a detail that are shown."""


# The page may run what is in it, and ask for nothing.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
)


def page(facts: Facts) -> str:
    """Write the page."""
    script, divs = script_and_divs(facts.shapes)
    name = os.path.basename(facts.table).removesuffix(".parquet")
    sections = [
        header(name, facts),
        verified_section(facts.verified) if facts.verified else "",
        plots_section(divs, facts.shapes) if facts.rows else "",
        rejects_section(facts),
        damages_section(facts.damages) if facts.damages else "",
        rows_section(facts) if facts.rows else "",
        parts_section(facts.measured) if facts.measured else "",
        f"<footer>{text(facts.table)}, by cutline {version('cutline')}.</footer>",
    ]
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="icon" href="data:,">
<title>{text(name)}: a cutline report</title>
<style>{files("cutline.report").joinpath("page.css").read_text()}</style>
{library()}
</head>
<body><main>
{"".join(sections)}
</main>
{script}
</body>
</html>
"""


def text(value: object) -> str:
    """Make text for HTML of a value that may hold anything; what cannot be seen is written out."""
    shown = "" if value is None else str(value)
    if len(shown) > LONGEST:
        shown = shown[:LONGEST] + " …"
    readable = texts.UNSEEN.sub(texts.escaped, shown).encode(errors="backslashreplace").decode()
    return html.escape(readable)


def header(name: str, facts: Facts) -> str:
    """Say the most important numbers."""
    rejected = facts.sidecars - facts.rows
    cards = [("sidecars", facts.sidecars), ("rows", facts.rows), ("rejects", rejected)]
    if facts.verified:
        cards += [
            ("images", facts.verified.images),
            ("images without row", sum(facts.verified.orphans.values())),
        ]
    shown = "".join(f'<div class="card"><b>{n:,}</b><span>{what}</span></div>' for what, n in cards)
    return f'<h1>{text(name)}</h1>{verdict(facts.verified)}<div class="cards">{shown}</div>'


def verdict(verified: VerifySummary | None) -> str:
    """Say in a line whether a training can start."""
    if verified is None:
        return ""
    if verified.ok:
        return '<p class="verdict good">The trainer will find what it needs.</p>'
    failing = len(checks.failures(verified.findings))
    what = "1 check fails" if failing == 1 else f"{failing} checks fail"
    return f'<p class="verdict bad">Not yet ready to train: {what}.</p>'


def verified_section(verified: VerifySummary) -> str:
    """Show what the checks found."""
    results = list(verified.results())
    found = sorted(
        ((check, finding) for check, finding in results if finding.count),
        key=lambda result: result[0].level,
    )
    fine = [check.name.replace("_", " ") for check, finding in results if not finding.count]
    table = ""
    if found:
        lines = "".join(check_line(check, finding) for check, finding in found)
        table = f'<div class="box"><table class="stack"><tbody>{lines}</tbody></table></div>'
    mend = ""
    if verified.mend:
        what, command = verified.mend
        mend = f'<p class="fine">To {what.rstrip(",")}:</p><pre>{text(command)}</pre>'
    return (
        "<h2>What the trainer will find</h2>"
        f'<p class="lead">{verified.rows:,} rows and {verified.images:,} images were checked.</p>'
        f'{table}{mend}<p class="fine">Nothing was found of: {", ".join(fine)}.</p>'
    )


def check_line(check: checks.Check, finding: checks.Finding) -> str:
    """Show what a check found."""
    fails = check.level == checks.FAILURE
    tag = (
        '<span class="tag fails">fails</span>'
        if fails
        else '<span class="tag warning">warning</span>'
    )
    examples = "".join(f"<div>{text(example)}</div>" for example in finding.examples)
    return (
        f'<tr><td class="inline">{tag}</td><td class="number inline"><b>{finding.count:,}</b></td>'
        f'<td><div class="name">{check.name.replace("_", " ")}</div>'
        f'<div class="soft">{text(check.meaning)}</div></td><td class="mono">{examples}</td></tr>'
    )


def plots_section(divs: dict[str, str], shapes: Shapes) -> str:
    """Show the plots."""
    step = f", rounded to {shapes.step} pixels" if shapes.step > 1 else ""
    small = (
        f" {shapes.small:,} rows are below its {simpletuner.DEFAULTS.minimum_image_size:g}"
        " megapixels and left out."
        if shapes.small
        else ""
    )
    plots = [
        ("Sizes", f"A circle a size{step}; its area is the number of rows.", divs["sizes"]),
        ("Aspect ratios", f"As the trainer puts images into buckets.{small}", divs["buckets"]),
        ("Caption lengths", "In characters, ten to a bar.", divs["lengths"]),
    ]
    cards = "".join(
        f'<div class="card"><h3>{title}</h3><p>{about}</p>{div}</div>'
        for title, about, div in plots
    )
    return f'<h2>What the rows look like</h2><div class="plots">{cards}</div>'


def rejects_section(facts: Facts) -> str:
    """Show why sidecars gave no row."""
    if not facts.rejects:
        return ""
    most = facts.rejects[0].number
    lines = "".join(reject_line(reject, most) for reject in facts.rejects)
    share = 1 - facts.rows / facts.sidecars
    return (
        "<h2>Why sidecars gave no row</h2>"
        f'<p class="lead">{share:.2%} of {facts.sidecars:,} sidecars, with the first of each.</p>'
        '<div class="box"><table class="stack"><tbody>'
        f"{lines}</tbody></table></div>"
    )


def reject_line(reject: ledger.Rejects, most: int) -> str:
    """Show one reason."""
    return (
        f'<tr><td class="name inline">{text(reject.reason)}</td>'
        f'<td class="number inline">{reject.number:,}</td>'
        f'<td><div class="bar"><i style="width: {reject.number / most:.1%}"></i></div></td>'
        f'<td class="mono"><div>{text(reject.source)}</div>'
        f"<div>{text(reject.detail)}</div></td></tr>"
    )


def damages_section(damages: ledger.Rejects) -> str:
    """Show what is damaged in the shards."""
    return (
        '<h2>Damaged shards</h2><p class="lead">What was in these places is not known, and is not'
        ' counted.</p><div class="box"><table class="stack"><tbody>'
        f"{reject_line(damages, damages.number)}</tbody></table></div>"
    )


def rows_section(facts: Facts) -> str:
    """Show the first rows."""
    names = facts.first.column_names
    heads = "".join(f"<th>{text(name)}</th>" for name in names)
    lines = "".join("<tr>" + "".join(cells(row)) + "</tr>" for row in head.values(facts.first))
    return (
        f'<h2>The first rows</h2><div class="box" style="margin-top: 12px">'
        f'<table class="stack"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def parts_section(measured: list[receipts.Timing]) -> str:
    """Show which parts took long and which did not."""
    heads = "".join(f"<th>{name}</th>" for name in ("part", "first and last sidecar"))
    heads += "".join(
        f'<th class="number">{name}</th>' for name in ("sidecars", "seconds", "sidecars a second")
    )
    groups = [
        ("Took the longest", timings.slowest(measured)),
        ("Did the most sidecars a second", timings.fastest(measured)),
    ]
    bodies = "".join(
        f'<tbody><tr><th colspan="5">{title}</th></tr>{"".join(map(part_line, group))}</tbody>'
        for title, group in groups
        if group
    )
    return (
        "<h2>Slowest and fastest parts</h2>"
        f'<p class="lead">Of {len(measured):,} whose time is known.</p><div class="box">'
        f'<table class="stack parts"><thead><tr>{heads}</tr></thead>{bodies}</table></div>'
    )


def part_line(timing: receipts.Timing) -> str:
    """Show how long a part took."""
    name = TableFiles.part_name(timing.index).removesuffix(".parquet")
    return (
        f'<tr><td class="name inline">{name}</td>'
        f'<td class="mono"><div>{text(timing.first)}</div><div>{text(timing.last)}</div></td>'
        f'<td class="number inline" data-unit="sidecars">{timing.sidecars:,}</td>'
        f'<td class="number inline" data-unit="s">{timing.seconds:,.3f}</td>'
        f'<td class="number inline" data-unit="a second">{timing.rate:,.0f}</td></tr>'
    )


def cells(values: Iterable[object]) -> Iterable[str]:
    """Lay out the values of a row."""
    for value in values:
        if isinstance(value, int):
            yield f'<td class="number inline">{value}</td>'
        else:
            yield f"<td>{text(value)}</td>"
