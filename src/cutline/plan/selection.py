"""A part of a source: its first sidecars, or some that a hash of their paths chooses."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

import numpy as np
import pyarrow as pa
from msgspec import Meta

from cutline.errors import UsageError, check_fields
from cutline.record import naming


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sidecars of a source to take; all, if nothing is set.

    Attributes
    ----------
    limit
        Take only the first N sidecars, by their paths or as they come in sorted shards.
    sample
        Take only N sidecars, which a hash of their paths chooses: the same ones in any order of
        shards, and also once these are unpacked.
    seed
        Another number is another sample.
    """

    limit: Annotated[int | None, Meta(ge=1)] = None
    sample: Annotated[int | None, Meta(ge=1)] = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for values that are out of range, or contradict each other."""
        check_fields(self)
        for name, number in (("limit", self.limit), ("sample", self.sample)):
            if number is not None and number < 1:
                raise UsageError(f"A part of the sidecars has at least one: raise --{name}.")
        if self.limit is not None and self.sample is not None:
            raise UsageError("Both take a part of the sidecars: give --limit or --sample.")

    @property
    def is_all(self) -> bool:
        """Whether it takes every sidecar."""
        return self.limit is None and self.sample is None

    def of(self, sidecars: pa.Table) -> pa.Table:
        """Return the lines of the sidecars that are taken, in the order of a listing."""
        if self.limit is not None:
            return sidecars.slice(0, self.limit)
        if self.sample is None or self.sample >= len(sidecars):
            return sidecars
        hashes = np.array([self._hash(path) for path in sidecars["path"].to_pylist()], "S8")
        chosen = np.argsort(hashes, kind="stable")[: self.sample]
        return sidecars.take(pa.array(np.sort(chosen)))

    def members_of(self, members: pa.Table) -> pa.Table:
        """Return all members of the samples whose sidecars are taken."""
        taken = self.of(members.filter(members["sidecar"]))["path"].to_pylist()
        keys = set(map(naming.sample_key, taken))
        paths = members["path"].to_pylist()
        return members.filter(pa.array([naming.sample_key(path) in keys for path in paths]))

    def _hash(self, path: bytes) -> bytes:
        seed = str(self.seed).encode()
        return blake2b(naming.sample_key(path), key=seed[:64], digest_size=8).digest()
