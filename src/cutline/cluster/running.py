"""Bags run: results as they come, on a cluster or in this process."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import dask
import dask.bag as db
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import key_split
from distributed import CancelledError, Client, Future, KilledWorker, as_completed
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError
from tornado.ioloop import PeriodicCallback

from cutline.cluster import health
from cutline.errors import CutlineError
from cutline.progress import Load, Watcher, events, show

LOOK_EVERY: Final = 10
"""Seconds between two looks at the workers of a cluster."""

TASKS_A_THREAD: Final = 4
"""The most tasks of quick things for each thread of a cluster: a slow one holds up little."""


class DeadlyTaskError(CutlineError):
    """Some tasks killed each worker that tried them, and all the others are done.

    Attributes
    ----------
    partitions
        Which partitions of the bag they are.
    """

    def __init__(self, partitions: list[int]) -> None:
        super().__init__(
            f"{len(partitions)} tasks killed each worker that tried them, and all others are done:"
            " give the workers more memory and run this again."
        )
        self.partitions = partitions


def bag_of(
    things: Sequence[Any],
    work: Callable[..., Iterable[Any]],
    *more: object,
    stage: str,
    each: int = 1,
) -> db.Bag:
    """Wire a bag of one step: some things, and what a stage makes of them.

    Parameters
    ----------
    things
        What there is to work on.
    work
        Takes those of a partition, and `more`.
    stage
        The name of the tasks, wherever Dask shows them.
    each
        How many things are one task.
    """
    bag: db.Bag = db.from_sequence(things, partition_size=each).map_partitions(
        work, *more, token=stage
    )
    return bag


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
        Told of each partition that is done, and of what happens to workers.
    load
        What there is to do, if that can be said better than by tasks.

    Raises
    ------
    CutlineError
        The cluster cannot go on.
    """
    with sent(bag, client, watcher, load) as elements:
        yield from elements


@contextmanager
def sent(
    bag: db.Bag, client: Client | None, watcher: Watcher, load: Load | None = None
) -> Iterator[Iterator[Any]]:
    """Have a bag computed while the block runs, which is given its `results`.

    The watcher follows them from when the block asks for them. What is not done by its end is not
    done at all.
    """
    tasks = tasks_of(bag)
    stage = events.Stage(key_split(bag.name), len(tasks), load or Load(len(tasks)))
    if client is None:
        yield followed(computed(tasks), stage, watcher)
        return
    with told_if_gone(client):
        show(client, watcher.say)
        identity, futures = events.submit(tasks, client, stage)
        try:
            yield followed(completed(futures, client, watcher), stage, watcher)
        finally:
            done = sum(future.status == "finished" for future in futures)
            client.cancel(futures)
            events.end(client, identity, done)


def things_a_task(
    count: int, client: Client | None, *, tasks_a_thread: int = TASKS_A_THREAD
) -> int:
    """Say how many of many quick things are one task.

    Beside them, a task costs a worker 3 ms of waiting for it and the scheduler 5 ms of CPU.
    """
    if client is None:
        return 1
    with told_if_gone(client):
        threads = sum(client.nthreads().values())
    return math.ceil(count / (tasks_a_thread * threads)) if threads else 1


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


def followed(
    partitions: Iterator[list[Any]], stage: events.Stage, watcher: Watcher
) -> Iterator[Any]:
    """Give the elements of partitions, and tell of each when all of its elements are taken."""
    with watcher.stage(stage.name, stage.load) as advance:
        for elements in partitions:
            yield from elements
            advance(stage.load.of(elements))


def computed(tasks: list[Delayed]) -> Iterator[Any]:
    """Compute tasks by Dask's scheduler of this process, when the first result is asked for."""
    yield from dask.compute(*tasks)


def completed(futures: list[Future[Any]], client: Client, watcher: Watcher) -> Iterator[Any]:
    """Give the result of each task as it is done; the first that fails stops the others.

    But a task that kills workers, which is no answer, stops nothing.

    Raises
    ------
    DeadlyTaskError
        Some tasks killed each worker that tried them.
    """
    deadly: list[int] = []
    places = {future.key: place for place, future in enumerate(futures)}
    with looked_after(client, watcher):
        for future in as_completed(futures, loop=client.loop):
            # Asked for here: `with_results` never ends if a scheduler dies at a bad moment.
            try:
                result = future.result()
            except KilledWorker:
                deadly.append(places[future.key])
            else:
                yield result
    if deadly:
        raise DeadlyTaskError(sorted(deadly))


@contextmanager
def told_if_gone(client: Client) -> Iterator[None]:
    """Say in one sentence that there is no scheduler any more, whichever call finds that out."""
    address = client.scheduler.address if client.scheduler else ""
    try:
        yield
    except (CancelledError, ClosedClientError, CommClosedError) as error:
        raise CutlineError(
            f"The Dask scheduler at {address} is gone or has dropped the job: see to it, and run"
            " this again, which goes on from what is done."
        ) from error


@contextmanager
def looked_after(client: Client, watcher: Watcher) -> Iterator[None]:
    """Tell the user of a cluster what happens to its workers."""
    scheduler, loop = client.scheduler, client.loop
    assert scheduler is not None and loop is not None  # noqa: PT018 - it is connected
    before = health.workers_of(client.scheduler_info())
    if idle := health.why_idle(before):
        watcher.say(idle)

    async def look() -> None:
        nonlocal before
        with suppress(OSError):  # the scheduler is gone: the futures tell that
            now = health.workers_of(await scheduler.identity())
            for line in health.changes(before, now):
                watcher.say(line)
            before = now

    looking = PeriodicCallback(look, 1000 * LOOK_EVERY)
    loop.add_callback(looking.start)
    try:
        yield
        client.sync(look)
    finally:
        loop.add_callback(looking.stop)
