"""What `cutline verify` looks for, and what it found."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, NamedTuple, TypeAlias

from msgspec import Meta

from cutline.errors import UsageError, check_fields
from cutline.trainers import simpletuner

FAILURE, WARNING = "failure", "warning"

SAMPLE: Final = 1_000
"""Images whose headers are always read: a second, and a folder of web pages is noticed."""

EXAMPLES: Final = 5
"""Examples that a finding keeps."""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What to verify.

    Attributes
    ----------
    strategy
        Where the trainer takes captions from: ``textfile`` or ``parquet``; with the second,
        no caption file has to be there. With ``webshart`` the images are in shards.
    expect
        How many sidecars there should be; another number is told, and is no failure.
    sizes
        Compare all of the table's sizes with what the images' own headers say.
    headers
        Compare so many sizes, evenly spread over the table.  [default: 1,000]
    force_unlock
        Take over a lock whose owner cannot be asked, because it is on another host.
    """

    strategy: simpletuner.Strategy = "textfile"
    expect: int | None = None
    sizes: Annotated[bool, Meta(extra={"flag": "--check-sizes"})] = False
    headers: Annotated[int | None, Meta(ge=1)] = None
    force_unlock: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for values that are out of range."""
        check_fields(self)
        if self.headers is not None and self.headers < 1:
            raise UsageError("The sizes of at least one image are compared: raise --headers.")

    @property
    def compared(self) -> int | None:
        """How many sizes are compared at most; None for all."""
        return self.headers or (None if self.sizes else SAMPLE)

    def is_sampled(self, row: int, rows: int) -> bool:
        """Return whether a row of so many is compared: the same ones each time, evenly spread."""
        most = self.compared
        return most is None or row * most // rows != (row + 1) * most // rows


DEFAULTS: Final = VerifyOptions()


class Check(NamedTuple):
    """One thing to look for.

    A failure stops a training, leaves out samples without a word, or has it train on something else
    than the table says; a warning is worth a look and no more.
    """

    name: str
    level: str
    meaning: str


CHECKS: Final = (
    Check("schema", FAILURE, "columns that are missing or of another type"),
    Check("nulls", FAILURE, "rows with a cell that holds nothing"),
    Check("bad_sizes", FAILURE, "rows whose width or height is not positive"),
    Check("empty_captions", FAILURE, "rows whose caption is blank"),
    Check("unclean_captions", WARNING, "captions of several lines, or with blanks at an end"),
    Check("unsafe_filenames", FAILURE, "filenames that are absolute or lead out of DATA"),
    Check("duplicate_filenames", FAILURE, "rows whose sample an earlier row has"),
    Check("rows_without_image", FAILURE, "rows whose image is not there"),
    Check("misnamed_images", FAILURE, "images whose record has almost their name, but not quite"),
    Check("unlisted_images", FAILURE, "rows whose image the trainer passes over for its extension"),
    Check("empty_images", FAILURE, "rows whose image is a file with nothing in it"),
    Check("images_without_row", FAILURE, "orphans: images that the table does not name"),
    Check("images_left_out", WARNING, "orphans without a width, with a caption file: passed over"),
    Check(
        "images_without_caption_file", FAILURE, "images without a caption file: one stops the start"
    ),
    Check(
        "differing_caption_files", FAILURE, "caption files that say something else than the table"
    ),
    Check("edited_caption_files", WARNING, "caption files that somebody made or edited, and kept"),
    Check("empty_caption_files", FAILURE, "caption files with nothing in them"),
    Check("caption_files_without_image", WARNING, "caption files beside no image"),
    Check("sidecars_without_image", WARNING, "sidecars whose image is not there"),
    Check("sidecar_count", WARNING, "how many sidecars there are more or less than expected"),
    Check(
        "unlisted_folders", FAILURE, "folders that cannot be listed: neither checked nor compiled"
    ),
    Check("linked_folders", WARNING, "links to folders: neither entered here nor compiled"),
    Check("index_entries", FAILURE, "entries of webshart's index that are not as the shards are"),
    Check("stale_caches", FAILURE, "folders in which webshart keeps an older index"),
    Check("wrong_sizes", FAILURE, "rows whose size is not the image's own"),
    Check("broken_images", FAILURE, "rows whose image is none, such as a web page"),
    Check("unreadable_images", FAILURE, "images without a header that tells their size"),
)

CAPTION_FILE_CHECKS: Final = (
    "images_without_caption_file",
    "differing_caption_files",
    "edited_caption_files",
    "empty_caption_files",
    "caption_files_without_image",
)

INDEX_CHECKS: Final = ("index_entries", "stale_caches")

SHARD_CHECKS: Final = (
    *("schema", "nulls", "bad_sizes", "empty_captions", "unclean_captions", "unsafe_filenames"),
    *("duplicate_filenames", "rows_without_image", "sidecar_count", *INDEX_CHECKS),
    *("wrong_sizes", "unreadable_images"),
)
"""What is checked of a table whose images are in shards."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How often a check found something, and the first examples in alphabetical order."""

    count: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: "Finding") -> "Finding":
        return Finding(self.count + other.count, _first_of((*self.examples, *other.examples)))


Findings: TypeAlias = dict[str, Finding]


def found(examples: Iterable[str]) -> Finding:
    """Count what was found, and keep the first examples."""
    every = list(examples)
    return Finding(len(every), _first_of(every))


def _first_of(examples: Iterable[str]) -> tuple[str, ...]:
    # By the alphabet, whatever order tasks came in.
    return tuple(heapq.nsmallest(EXAMPLES, examples))


def merged(several: Iterable[Findings]) -> Findings:
    """Add up what tasks found."""
    total: Findings = {}
    for findings in several:
        for name, finding in findings.items():
            total[name] = total.get(name, Finding()) + finding
    return total


def looked_for(options: VerifyOptions) -> list[str]:
    """Return the names of the checks that are made, in order."""
    every = {check.name for check in CHECKS}
    skipped = every - {*SHARD_CHECKS} if options.strategy == "webshart" else {*INDEX_CHECKS}
    if options.strategy != "textfile":
        skipped.update(CAPTION_FILE_CHECKS)
    if options.expect is None:
        skipped.add("sidecar_count")
    return [check.name for check in CHECKS if check.name not in skipped]


def miscount(sidecars: int, expected: int) -> Finding:
    """Return by how much the number of sidecars is not the expected one."""
    if sidecars == expected:
        return Finding()
    return Finding(abs(sidecars - expected), (f"{sidecars:,} sidecars, not {expected:,}",))


def failures(findings: Findings) -> list[str]:
    """Return the names of the checks that must not find anything, and did."""
    return [
        check.name
        for check in CHECKS
        if check.level == FAILURE and findings.get(check.name, Finding()).count
    ]
