"""How long each part took, kept beside the plan and not in a part: its bytes do not change."""

from heapq import nlargest
from operator import attrgetter
from typing import Final

import msgspec

from cutline.plan.receipts import Receipt, Timing
from cutline.store import TableFiles

SHOWN: Final = 5
"""How many of the slowest parts are shown, and of the fastest."""


def keep(files: TableFiles, receipts: list[Receipt]) -> None:
    """Publish how long each part took; one that was used again keeps what it took.

    Of a part that a run made which did not get as far as this, nobody knows.
    """
    before = {(timing.index, timing.digest): timing for timing in read(files)}
    each = (one.timing or before.get((one.index, one.digest)) for one in receipts)
    with files.store.publish(files.timings) as file:
        file.write(msgspec.json.encode([timing for timing in each if timing]))


def read(files: TableFiles) -> list[Timing]:
    """Read how long the parts took, as far as that is known."""
    try:
        with files.store.open(files.timings) as file:
            return msgspec.json.decode(file.read(), type=list[Timing])
    except (FileNotFoundError, ValueError):  # damaged: it may not even be UTF-8
        return []


def slowest(timings: list[Timing]) -> list[Timing]:
    """Give the parts that took the longest."""
    return nlargest(SHOWN, timings, key=attrgetter("seconds"))


def fastest(timings: list[Timing]) -> list[Timing]:
    """Give the parts that did the most sidecars a second, none of the slowest among them.

    Not those of the fewest seconds: they are the ends of shards, which hold hardly anything.
    """
    slow = slowest(timings)
    return nlargest(SHOWN, (one for one in timings if one not in slow), key=attrgetter("rate"))
