"""What happens to the workers of a cluster, in words: lost, joined, short of memory."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

SILENCE: Final = 8.5
"""Seconds without a word of a worker that make it silent; of a thousand each speaks every six."""

Heard: TypeAlias = tuple[float, float]
"""When a scheduler heard of a worker last, and since when, on our clock, that is the last time."""


class Worker(NamedTuple):
    """Whether a worker is short of memory, who it is, and when its scheduler heard of it last."""

    paused: bool
    spills: bool
    name: str = ""
    host: str = ""
    last_seen: float = 0


def workers_of(scheduler: Mapping[str, Any], hosts: Mapping[str, str]) -> dict[str, Worker]:
    """Read how each worker is, by its address, from a scheduler's identity.

    A scheduler knows a host by its address; its name is in `hosts`, if anybody has told it.
    """
    return {
        address: Worker(
            paused=worker["status"] == "paused",
            spills=worker["metrics"].get("spilled_bytes", {}).get("disk", 0) > 0,
            name=str(worker["name"]),
            host=hosts.get(worker["host"], worker["host"]),
            last_seen=worker["last_seen"],
        )
        for address, worker in scheduler["workers"].items()
    }


def heard_of(
    before: Mapping[str, Heard], now: Mapping[str, Worker], clock: float
) -> dict[str, Heard]:
    """Return what was heard of each worker at a look, from what was heard at the one before."""
    heard = {address: (worker.last_seen, clock) for address, worker in now.items()}
    same = {one: last for one, last in before.items() if one in now and last[0] == heard[one][0]}
    return heard | same


def silent_of(heard: Mapping[str, Heard], clock: float) -> frozenset[str]:
    """Return the workers that have been silent for too long."""
    return frozenset(address for address, (_, since) in heard.items() if clock - since > SILENCE)


def silences(
    before: frozenset[str], silent: frozenset[str], now: Mapping[str, Worker]
) -> Iterator[str]:
    """Yield a line about each worker that has fallen silent, or that is heard of again."""
    for address in sorted(silent - before):
        yield (
            f"Worker {now[address].name} on {now[address].host} is silent: its tasks wait for it,"
            " and others do them if it is lost."
        )
    for address in sorted((before - silent) & now.keys()):
        yield f"Worker {now[address].name} on {now[address].host} is heard of again."


def changes(before: Mapping[str, Worker], now: Mapping[str, Worker]) -> Iterator[str]:
    """Yield a line about each thing that has changed between two looks."""
    idle, was_idle = why_idle(now), why_idle(before)
    if idle or was_idle:
        if idle != was_idle:
            yield idle or "The cluster is at work again."
        return
    fine = Worker(paused=False, spills=False)
    gone = len(before.keys() - now.keys())
    if gone:
        their = "it was" if gone == 1 else "they were"
        yield f"{_workers(gone)} lost: what {their} doing is done again by others."
    joined = len(now.keys() - before.keys())
    if joined:
        yield f"{_workers(joined)} new on the cluster."
    paused = sum(now[name].paused and not before.get(name, fine).paused for name in now)
    if paused:
        yield f"{_workers(paused)} paused: short of memory, until other data has left it."
    resumed = sum(before[name].paused and not now[name].paused for name in now.keys() & before)
    if resumed:
        yield f"{_workers(resumed)} at work again."
    spilling = sum(now[name].spills and not before.get(name, fine).spills for name in now)
    if spilling:
        yield f"{_workers(spilling)} short of memory: data goes to disk, which is slower."


def why_idle(workers: Mapping[str, Worker]) -> str:
    """Return why a cluster stands still, or an empty string if it does not."""
    if not workers:
        return "No worker is left: waiting for others; what is done is kept."
    if all(worker.paused for worker in workers.values()):
        return "The cluster has paused all of its workers, which are short of memory: waiting."
    return ""


def _workers(count: int) -> str:
    return "1 worker is" if count == 1 else f"{count:,} workers are"
