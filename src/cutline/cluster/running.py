"""Runs bags: results as they come, from a cluster or from this process."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import dask
import dask.bag as db
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import key_split
from distributed import CancelledError, Client, Future, KilledWorker, as_completed
from distributed.client import ClosedClientError
from distributed.comm import CommClosedError

from cutline.cluster import worker_checks
from cutline.cluster.flattening import in_one_sentence
from cutline.cluster.worker_terms import Terms
from cutline.cluster.worker_watch import looked_after
from cutline.errors import CutlineError
from cutline.process import private_api
from cutline.progress import Load, Watcher, events, show_captions_page

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
    """Build a bag of one step: what a stage makes of some things.

    Parameters
    ----------
    things
        What to work on.
    work
        Called with the things of one partition and with `more`.
    stage
        The name of the tasks, wherever Dask shows them.
    each
        How many things one task has.
    """
    bag: db.Bag = db.from_sequence(things, partition_size=each).map_partitions(
        work, *more, token=stage
    )
    return bag


def results(
    bag: db.Bag, client: Client | None, watcher: Watcher, load: Load | None = None
) -> Iterator[Any]:
    """Compute a bag, and yield the elements of each partition as it is done, in any order.

    Parameters
    ----------
    bag
        What to compute; one partition is one task.
    client
        The cluster; without one, Dask's scheduler of this process.
    watcher
        Told of each partition that is done, and of what happens to workers.
    load
        How much there is to do; without it, so many tasks.

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
    """Compute a bag while the block runs, and yield its `results`.

    The watcher follows them once the block asks for them. What is not done by the end of the block
    is cancelled.
    """
    checks = worker_checks.current() if client is not None else None
    tasks = tasks_of(bag, checks.terms if checks else None)
    stage = events.Stage(key_split(bag.name), len(tasks), load or Load(len(tasks)))
    if client is None:
        yield _followed(_computed(tasks), stage, watcher)
        return
    with _told_if_gone(client):
        show_captions_page(client, watcher.say)
        identity, futures = events.submit(tasks, client, stage)
        try:
            yield _followed(_completed(tasks, futures, client, watcher), stage, watcher)
        finally:
            done = sum(future.status == "finished" for future in futures)
            client.cancel(futures)
            events.end(client, identity, done)


def things_a_task(
    count: int, client: Client | None, *, tasks_a_thread: int = TASKS_A_THREAD
) -> int:
    """Return how many of `count` quick things to put into one task.

    Each task costs a worker 3 ms of waiting for it, and the scheduler 5 ms of CPU.
    """
    if client is None:
        return 1
    with _told_if_gone(client):
        threads = sum(client.nthreads().values())
    return math.ceil(count / (tasks_a_thread * threads)) if threads else 1


def tasks_of(bag: db.Bag, terms: Terms | None = None) -> list[Delayed]:
    """Fuse a bag to one task a partition, under the name of its last step.

    With terms, each task first checks that its worker meets them.
    """
    keys = bag.__dask_keys__()
    (optimized,) = dask.optimize(bag)
    graph = dict(optimized.__dask_graph__())
    fused = private_api.under_own_keys(graph, keys, partial(_run, terms))
    layer = HighLevelGraph.from_collections(bag.name, fused, dependencies=())
    return [Delayed(key, layer, layer=bag.name) for key in keys]


def _run(terms: Terms | None, task: Callable[[], Any]) -> Any:  # noqa: ANN401 - of any task
    if terms is not None:
        in_one_sentence(terms.check)
    return in_one_sentence(task)


def _followed(
    partitions: Iterator[list[Any]], stage: events.Stage, watcher: Watcher
) -> Iterator[Any]:
    """Yield the elements of partitions, and tell of each when all of its elements are taken."""
    with watcher.stage(stage.name, stage.load) as advance:
        for elements in partitions:
            yield from elements
            advance(stage.load.of(elements))


def _computed(tasks: list[Delayed]) -> Iterator[Any]:
    yield from dask.compute(*tasks)


def _completed(
    tasks: list[Delayed], futures: list[Future[Any]], client: Client, watcher: Watcher
) -> Iterator[Any]:
    """Yield the result of each task as it is done; the first that fails stops the others.

    A task that kills workers gives no answer and stops nothing: the others are done first. One that
    failed on a worker that is not fit is done again by another; its future is added to the others.

    Raises
    ------
    DeadlyTaskError
        Some tasks killed each worker that tried them.
    """
    deadly: list[int] = []
    places = {future.key: place for place, future in enumerate(futures)}
    checks = worker_checks.current()
    arriving = as_completed(futures, loop=client.loop)
    with looked_after(client, watcher, futures):
        for future in arriving:
            # Asked for here: `with_results` never ends if a scheduler dies at a bad moment.
            try:
                result = future.result()
            except KilledWorker:
                deadly.append(places[future.key])
            except CancelledError:  # the scheduler is gone, and cannot be asked about workers
                raise
            except Exception as error:
                place = places[future.key]
                if not (checks and checks.excuses(error, place)):
                    raise
                again = client.compute(_again(tasks[place], len(futures)))
                places[again.key] = place
                futures.append(again)
                arriving.add(again)
            else:
                yield result
    if deadly:
        raise DeadlyTaskError(sorted(deadly))


def _again(task: Delayed, number: int) -> Delayed:
    """Return a task under another name: Dask's own retry may miss a task that is done at once."""
    name, place = task.key
    key = (f"{name}-{number}", place)
    layer = HighLevelGraph.from_collections(key[0], {key: task.dask[task.key]}, dependencies=())
    return Delayed(key, layer, layer=key[0])


@contextmanager
def _told_if_gone(client: Client) -> Iterator[None]:
    """Raise CutlineError if the scheduler is gone, whichever call finds that out."""
    address = client.scheduler.address if client.scheduler else ""
    try:
        yield
    except (CancelledError, ClosedClientError, OSError) as error:
        if isinstance(error, OSError) and not _is_of_dask(error):
            raise
        raise CutlineError(
            f"The Dask scheduler at {address} is gone or has dropped the job: see to it, and run"
            " this again, which goes on from what is done."
        ) from error


def _is_of_dask(error: OSError) -> bool:
    """Return whether Dask could not connect; its errors have no number, and those of files have."""
    return isinstance(error, CommClosedError) or (type(error) is OSError and error.errno is None)
