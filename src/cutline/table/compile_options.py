"""How to compile, as one frozen value that travels with the job."""

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal

import pyarrow as pa
from msgspec import Meta

from cutline.cluster import worker_checks
from cutline.errors import UsageError, as_typed, check_fields
from cutline.plan import planning, receipts
from cutline.record import Rules

Codec = Literal["zstd", "snappy", "gzip", "lz4", "brotli", "none"]
"""A codec that every common reader of parquet knows."""


CAPTION_LIST: Final = pa.list_(pa.field("element", pa.string()))
"""The column of several captions, as parquet itself names what is in a list."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """How to compile.

    Attributes
    ----------
    rules
        What of a record goes into its row.
    partition_size
        Sidecars a part; without it 10,000 on a disk, 500 behind a URL, and on shared storage as few
        as make 64 parts, but at least 500.
    max_rejects
        The share of sidecars that may be rejected, `no_width` not counted, before the job fails.
    compression
        The codec of the table and its ledger, as pyarrow names it.
    allow_damaged
        Accept what can be read of damaged shards.
    fresh
        Make every part anew.
    force_unlock
        Take over a lock whose owner cannot be asked, because it is on another host.
    selection
        Which sidecars to take.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = ("width", "height", "caption", "filename")
    """Columns that every table has, before those of `rules`."""

    rules: Rules = field(default_factory=Rules)
    partition_size: Annotated[int, Meta(ge=1)] | None = None
    max_rejects: Annotated[float, Meta(ge=0, le=1)] = 0.1
    compression: Codec = "zstd"
    allow_damaged: bool = False
    fresh: bool = False
    force_unlock: bool = False
    selection: planning.Selection = planning.ALL

    def __post_init__(self) -> None:
        """Check that the options can be met."""
        check_fields(self)
        planning.check_numbers(self.partition_size, self.max_rejects)
        names = [*self.COLUMNS, *(name for name, _ in self.rules.columns)]
        for name, count in Counter(names).items():
            if count > 1 or not name:
                raise UsageError(f"The table cannot have two columns {name!r}: rename --column.")

    @property
    def schema(self) -> pa.Schema:
        """The columns of the table."""
        captions = CAPTION_LIST if self.rules.every_caption else pa.string()
        types = [pa.int64(), pa.int64(), captions, pa.string()]
        extra = [(name, pa.string()) for name, _ in self.rules.columns]
        return pa.schema([*zip(self.COLUMNS, types, strict=True), *extra])

    @property
    def planning(self) -> planning.PlanOptions:
        """The options that decide the plan."""
        rules = self.rules
        return planning.PlanOptions(
            self.identity(),
            self.partition_size,
            self.fresh,
            rules.uses_images,
            rules.measure,
            self.selection,
        )

    @property
    def typed(self) -> str:
        """The options that decide what the rows are, as on the command line."""
        return shlex.join(as_typed(self.rules, self.selection))

    def identity(self) -> bytes:
        """Return all that changes the bytes of a part but its sidecars, written down."""
        made_by = [receipts.FORMAT, worker_checks.makers()]
        return json.dumps([*made_by, self.rules.identity()]).encode()


DEFAULTS: Final = CompileOptions()
