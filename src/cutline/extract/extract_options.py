"""How to extract, as one frozen value."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from cutline.errors import check_fields
from cutline.plan import planning


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """How to extract.

    Attributes
    ----------
    only
        What to extract: sidecars are members named ``*.json`` or ``*.JSON``, images are all others.
    overwrite
        Replace also files that somebody made or edited.
    partition_size
        Files a task.
    max_rejects
        The share of members that may become no file before the job ends with a shortfall.
    allow_damaged
        Be content with what can be read of damaged shards.
    force_unlock
        Take over a lock whose owner cannot be asked, because it is on another host.
    selection
        Of which sidecars to extract what belongs to them; with a part, nothing else is extracted.
    """

    only: Literal["images", "sidecars"] | None = None
    overwrite: bool = False
    partition_size: Annotated[int, Meta(ge=1, extra={"flag": None})] = 5_000
    max_rejects: Annotated[float, Meta(ge=0, le=1)] = 0.1
    allow_damaged: bool = False
    force_unlock: bool = False
    selection: planning.Selection = planning.ALL

    def __post_init__(self) -> None:
        """Raise UsageError for values that are out of range."""
        check_fields(self)
        planning.check_numbers(self.partition_size, self.max_rejects)
