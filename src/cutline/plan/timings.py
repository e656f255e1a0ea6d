"""How long each part took, kept beside the plan: the bytes of a part do not depend on it."""

from heapq import nlargest
from operator import attrgetter
from typing import Final

import msgspec

from cutline.plan.receipts import Receipt, Timing
from cutline.store import TableFiles

SHOWN: Final = 5
"""How many of the slowest and of the fastest parts are shown."""


def keep(files: TableFiles, receipts: list[Receipt]) -> None:
    """Publish how long each part took; a part that was used again keeps its timing.

    A part has none if the run that made it was stopped before it got here.
    """
    before = {(timing.index, timing.digest): timing for timing in read(files)}
    each = (one.timing or before.get((one.index, one.digest)) for one in receipts)
    with files.store.publish(files.timings) as file:
        file.write(msgspec.json.encode([timing for timing in each if timing]))


def read(files: TableFiles) -> list[Timing]:
    """Read the timings of the parts, as far as they are known."""
    try:
        with files.store.open(files.timings) as file:
            return msgspec.json.decode(file.read(), type=list[Timing])
    except (FileNotFoundError, ValueError):  # damaged: it may not even be UTF-8
        return []


def slowest(timings: list[Timing]) -> list[Timing]:
    """Return the parts that took the longest, the slowest first."""
    return nlargest(SHOWN, timings, key=attrgetter("seconds"))


def fastest(timings: list[Timing]) -> list[Timing]:
    """Return the parts that did the most sidecars a second, except the slowest.

    Those of the fewest seconds would be the ends of shards, which hold hardly anything.
    """
    slow = slowest(timings)
    return nlargest(SHOWN, (one for one in timings if one not in slow), key=attrgetter("rate"))
