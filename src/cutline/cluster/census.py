"""Which workers a job had: how many, on how many hosts, and who came and went meanwhile."""

from collections.abc import Callable
from typing import Any, Final

from distributed import Client

EVENTS: Final = "all"
"""The topic under which a scheduler logs workers that join and leave."""


def count_workers(client: Client) -> Callable[[], dict[str, Any]]:
    """Begin to count, and return what returns the counts.

    Returns
    -------
    A function without arguments. It returns how many ``workers`` there are when it is called and on
    how many ``hosts``, and how many were ``lost`` since and have joined ``late``; a worker whose
    cluster sent it home is not lost.
    """
    begin = max((stamp for stamp, _ in client.get_events(EVENTS)), default=0.0)

    def counts() -> dict[str, Any]:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        since = [event for stamp, event in client.get_events(EVENTS) if stamp > begin]
        return {
            "workers": len(workers),
            "hosts": len({worker["host"] for worker in workers.values()}),
            "lost": sum(
                event.get("action") == "remove-worker" and not event["expected"] for event in since
            ),
            "late": sum(event.get("action") == "add-worker" for event in since),
        }

    return counts
