"""What a verification came to: for people, and as JSON."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any, Final, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cutline.progress import Summary
from cutline.record import texts
from cutline.store import TableFiles, parquet
from cutline.verify import checks
from cutline.verify.checks import Check, Finding, Findings
from cutline.verify.orphan_reasons import BROKEN_IMAGE

STYLES: Final = {"ok": "green", "warning": "yellow", "FAILS": "bold red"}

SHOWN: Final = 3
"""Examples of a finding in the table."""

ANEW: Final = (
    "download the images again, or the shards that they are from, or move loose ones away with"
    " their sidecars"
)

BY_HAND: Final = {
    "misnamed_images": "give each image the name that its record has, or correct the record",
    "unlisted_folders": "make the folders readable or move them away",
    "rows_without_image": "put the images there or move their sidecars away",
    "unlisted_images": "rename the images to small letters, in their sidecars too",
    "empty_images": ANEW,
    "broken_images": ANEW,
    "wrong_sizes": "correct the sizes in the sidecars",
    "unreadable_images": ANEW,
}
"""What to do by hand about what fails, before the table is compiled again."""


UNUSABLE: Final = ("empty_images", "broken_images")
"""The checks of files that have a row and are no images."""

IN_SHARDS: Final = (
    "download the shards again, or unpack them by a run without --no-extract, and with"
    " --orphans move"
)
"""What to do by hand about images in shards, of which none can be moved."""


class Mend(NamedTuple):
    """What can be done about what fails, and the command that does it."""

    what: str
    command: str


@dataclass(frozen=True, slots=True, repr=False)
class VerifySummary(Summary):
    """What a trainer will find.

    Attributes
    ----------
    table, data
        What was verified.
    rows, images
        How many there are of each.
    findings
        What each check found, in the order of `CHECKS`.
    orphans
        How many images have no row, by reason.
    mover
        The command that moves images without row out of the way, if it is another than `verify`.
    moved_rows
        How many rows have lost their sample, which was moved away, by what its image was.
    headers
        Of how many images the headers were read at most; None for all.
    """

    table: str
    data: str
    rows: int
    images: int
    findings: Findings
    orphans: dict[str, int]
    seconds: float
    mover: str = ""
    moved_rows: dict[str, int] = field(default_factory=dict)
    headers: int | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found that must not be."""
        return not checks.failures(self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        failing = checks.failures(self.findings)
        results = {
            name: {"ok": name not in failing, "count": found.count, "examples": found.examples}
            for name, found in self.findings.items()
        }
        return {
            "job": "verify",
            "ok": self.ok,
            "checks": results,
            "orphans": self.orphans,
            "table": self.table,
            "data": self.data,
            "rows": self.rows,
            "images": self.images,
            "headers": self.headers_read,
            "seconds": self.seconds,
        }

    @property
    def shortfall(self) -> str:
        """What is wrong, and the command that mends it where there is one; empty if nothing is."""
        failing = [
            f"{name.replace('_', ' ')} {self.findings[name].count:,}"
            for name in checks.failures(self.findings)
        ]
        if not failing:
            return ""
        wrong = f"The trainer would stop, or train on less than there is: {', '.join(failing)}"
        if not self.rows:
            mend = "; the table has no row: see its ledger for why, and compile it again"
        elif self.is_elsewhere:
            mend = (
                f"; most rows have no image in {self.data}: name the folder that they are of, or"
                " give the images the names that their sidecars have for them"
            )
        else:
            told = [f"{self.mend.what} with `{self.mend.command}`"] if self.mend else []
            told += self._by_hand if self._mend_by_command else []
            mend = "".join(f"; {one}" for one in told)
        return f"{wrong}{mend}."

    @property
    def is_elsewhere(self) -> bool:
        """Whether DATA seems to be another table's: no row is there, or most have no image.

        To move images without row away would empty it.
        """
        gone = self.findings.get("rows_without_image", Finding()).count
        return self.images > 0 and (2 * gone > self.rows or not self.rows)

    @property
    def headers_read(self) -> int:
        """Of how many rows the header of the image was looked at."""
        return self.rows if self.headers is None else min(self.headers, self.rows)

    @property
    def has_moved_broken(self) -> bool:
        """Whether images were moved that a sample of headers has shown to be none."""
        return BROKEN_IMAGE[0] in self.moved_rows

    @property
    def needs_download(self) -> bool:
        """Whether most rows have no image that can be used: they have to come anew.

        No row is counted twice. Of broken images a sample may have been looked at.
        """
        gone, empty, broken = (
            self.findings.get(name, Finding()).count for name in ("rows_without_image", *UNUSABLE)
        )
        lacking = (gone + empty) * self.headers_read + broken * self.rows
        return 2 * lacking > self.rows * self.headers_read

    @property
    def is_older(self) -> bool:
        """Whether there are sidecars that are newer than the table, which cutline has made."""
        new = self.orphans.get("not_compiled", 0)
        return new > 0 and parquet.is_there(TableFiles.of(self.table).ledger)

    @property
    def orphan_folder(self) -> str | None:
        """A new folder to move orphans to, if that is what mends most of what fails."""
        failing = checks.failures(self.findings)
        movable = {"images_without_row", *(() if self.needs_download else UNUSABLE)}
        if self.is_elsewhere or self.is_older or movable.isdisjoint(failing):
            return None
        above = os.path.dirname(os.path.realpath(self.data))  # and not where a link to it is
        return _new_folder(os.path.join(above, "orphans"))

    @property
    def mend(self) -> Mend | None:
        """What mends most of what fails, if anything does."""
        if self.is_elsewhere:
            return None
        named = "; ".join(self._by_hand)
        by_hand = Mend(f"{named}, and compile the table again,", self._again) if named else None
        return self._mend_by_command or by_hand

    @property
    def _again(self) -> str:
        return shlex.join(["cutline", "compile", self.data, self.table])

    @property
    def _mend_by_command(self) -> Mend | None:
        failing = checks.failures(self.findings)
        if "images_without_row" in failing and self.is_older:
            what = "compile the table again as it was made, for there are newer sidecars,"
            return Mend(what, self._again)
        if folder := self.orphan_folder:
            move = ["cutline", "verify", self.table, self.data, "--orphans", f"move={folder}"]
            if self.findings.keys().isdisjoint(checks.CAPTION_FILE_CHECKS):
                move += ["--strategy", "parquet"]
            return Mend(_to_move(failing), self.mover or shlex.join(move))
        if "index_entries" in failing:
            export = ["cutline", "export", self.table, self.data, "--format", "webshart"]
            return Mend("write the index", shlex.join(export))
        if caches := self.findings.get("stale_caches", Finding()).examples:
            return Mend("remove what webshart keeps", shlex.join(["rm", "-r", *caches]))
        if not set(checks.CAPTION_FILE_CHECKS).isdisjoint(failing):
            write = ["cutline", "captions", self.table, self.data]
            return Mend("write the caption files", shlex.join(write))
        return None

    @property
    def _by_hand(self) -> list[str]:
        moved = UNUSABLE if self.orphan_folder else ()
        failing = {*checks.failures(self.findings)} - {*moved}
        found = {name: what for name, what in BY_HAND.items() if name in failing}
        if not self.findings.keys().isdisjoint(checks.INDEX_CHECKS):
            of_images = {"rows_without_image", "unreadable_images"}
            found |= dict.fromkeys(found.keys() & of_images, IN_SHARDS)
        return list(dict.fromkeys(found.values()))

    def as_table(self, *, in_short: bool = False) -> Table:
        """Build the table of the checks for a terminal; in short, of those that found something."""
        table = Table("check", "", "count", "for example", box=None, header_style="dim")
        table.show_header, table.pad_edge = not in_short, not in_short
        results = list(self.results())
        found = [result for result in results if result[1].count]
        for check, finding in found if in_short else results:
            verdict = _verdict_of(check, finding)
            name = Text(check.name.replace("_", " "), style="" if finding.count else "dim")
            shown = [texts.cell(example) for example in finding.examples[:SHOWN]]
            about = [] if in_short else [Text(check.meaning, style="dim"), *shown]
            table.add_row(
                name,
                Text(verdict, style=STYLES[verdict]),
                Text(f"{finding.count:,}", justify="right"),
                *shown[:1] if in_short else [Group(*about) if finding.count else ""],
            )
        if in_short:
            table.add_row(Text(f"{len(results) - len(found)} checks ok", style="dim"))
        return table

    def results(self) -> Iterator[tuple[Check, Finding]]:
        """Yield each check that was made, and what it found."""
        for check in checks.CHECKS:
            if check.name in self.findings:
                yield check, self.findings[check.name]


def _to_move(failing: list[str]) -> str:
    unusable = " and ".join(name.replace("_", " ") for name in UNUSABLE if name in failing)
    if not unusable:
        return "move images without row out of the way"
    others = "images without row and " if "images_without_row" in failing else ""
    moved = f"{others}{unusable}, with their sidecars,"
    return f"download {unusable} again, or move {moved} out of the way"


def _new_folder(path: str) -> str:
    # With a number if something is there: orphans that were moved may come again.
    numbered = (f"{path}-{number}" for number in count(2))
    return next(one for one in chain([path], numbered) if not os.path.lexists(one))


def _verdict_of(check: Check, finding: Finding) -> str:
    if not finding.count:
        return "ok"
    return "FAILS" if check.level == checks.FAILURE else "warning"
