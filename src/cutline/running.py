"""Bags run: results as they come, on a cluster or in this process."""

from collections.abc import Iterator
from typing import Any

import dask
import dask.bag as db
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import key_split
from distributed import Client, as_completed

from cutline import board, events
from cutline.watch import Load, Watcher


def results(
    bag: db.Bag, client: Client | None, watcher: Watcher, load: Load | None = None
) -> Iterator[Any]:
    """Compute a bag, and give the elements of each partition as it is done, in any order.

    Parameters
    ----------
    bag
        What to compute; one partition is one task.
    client
        The cluster; without one, Dask's scheduler of this process.
    watcher
        Told of each partition that is done.
    load
        What there is to do, if that can be said better than by tasks.
    """
    tasks = tasks_of(bag)
    stage = events.Stage(key_split(bag.name), len(tasks), load)
    with watcher.stage(stage.name, stage.tasks, load) as advance:
        for elements in completed(tasks, client, watcher, stage):
            yield from elements
            advance(1, load.of(elements) if load else 0)


def tasks_of(bag: db.Bag) -> list[Delayed]:
    """Fuse a bag to one task a partition, under the name of its last step.

    Dask names a fused task for all its steps, and puts an alias of it under the last one's name:
    two bars on the dashboard for one stage.
    """
    keys = bag.__dask_keys__()
    graph = dict(bag.__dask_optimize__(bag.__dask_graph__(), keys))
    fused: dict[Any, Any] = {key: graph[graph[key].target].substitute({}, key=key) for key in keys}
    layer = HighLevelGraph.from_collections(bag.name, fused, dependencies=())
    return [Delayed(key, layer, layer=bag.name) for key in keys]


def completed(
    tasks: list[Delayed], client: Client | None, watcher: Watcher, stage: events.Stage
) -> Iterator[Any]:
    """Give the result of each task as it is done."""
    if client is None:
        yield from dask.compute(*tasks)
        return
    board.show(client, watcher.say)
    identity, futures = events.submit(tasks, client, stage)
    try:
        for _, result in as_completed(futures, loop=client.loop, with_results=True):
            yield result
    finally:
        client.cancel(futures)
        events.end(client, identity)
