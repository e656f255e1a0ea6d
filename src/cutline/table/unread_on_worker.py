"""Sidecars that a worker could not read and this process can: the fault of a host is no reject."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import pyarrow.compute as pc

from cutline.cluster import worker_checks
from cutline.errors import CutlineError
from cutline.plan import Receipt, plan_file
from cutline.record import Reject
from cutline.sources import line_format
from cutline.table import part_files
from cutline.table.part_files import CompileContext

ROUNDS: Final = 3
"""How often a part is made until its sidecars must be read."""


class Unread(NamedTuple):
    """A part with a sidecar that its worker could not read: which one, why, and what worker."""

    part: plan_file.Part
    source: str
    detail: str
    worker: str


def unread_of(
    context: CompileContext, parts: Sequence[plan_file.Part], made: dict[int, Receipt]
) -> list[Unread]:
    """Return the parts that miss sidecars which this process can read."""
    suspects = [part for part in parts if "unreadable" in made[part.index].rejects]
    looked = (_look(context, part, made[part.index]) for part in suspects)
    return [one for one in looked if one]


def _look(context: CompileContext, part: plan_file.Part, receipt: Receipt) -> Unread | None:
    rejects = part_files.read_rejects(context.files, receipt)
    rejects = rejects.filter(pc.equal(rejects["reason"], "unreadable"))
    lines = part.lines().take(rejects["position"])
    details = rejects["detail"].to_pylist()
    for (path, data, _), detail in zip(context.source.read(lines), details, strict=True):
        if not isinstance(data, Reject):
            worker = receipt.timing.worker if receipt.timing else ""
            return Unread(part, line_format.shown_source(part.shard, path), detail, worker)
    return None


def blame(unread: Sequence[Unread], context: CompileContext, rounds: int) -> None:
    """Send the workers away that could not read what this process can, for so many rounds.

    Raises
    ------
    CutlineError
        There are no others, or they could not read it either.
    """
    if not unread:
        return
    if rounds == ROUNDS:
        one = unread[0]
        raise CutlineError(
            f"{context.source}/{one.source} can be read here and not on the workers ({one.detail}):"
            " see to the folder there and run this again."
        )
    checks = worker_checks.current()
    if checks:
        checks.blame(
            {
                one.worker: f"cannot read {context.source}/{one.source} ({one.detail}), which this"
                " process can: mount the same folder there"
                for one in unread
            }
        )
