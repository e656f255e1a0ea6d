"""What the tasks of a job tell: figures for Dask's own pages, for Prometheus and for our page.

A task tells of itself once, as it ends. No job depends on it: its counts come from receipts, and a
task that ran twice has told twice.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, wraps
from importlib.util import find_spec
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar
from uuid import uuid4

import msgspec
from dask.delayed import Delayed
from distributed import Client, Future, Scheduler, get_worker, span
from distributed.metrics import context_meter

from cutline.process import private_api
from cutline.progress.summaries import Summary, in_short
from cutline.progress.watcher import Load
from cutline.record import texts

TOPIC: Final = "cutline"
"""Where the events are on the scheduler: `client.get_events("cutline")` gives them."""

SPAN: Final = "cutline"
"""The outer span of every stage."""

PATIENCE: Final = 2
"""Seconds that a scheduler has to take note that a stage has ended."""

EXAMPLE: Final = 200
"""The most characters of an example of a reject."""

SEEN: Final = 1.5
"""Seconds in which a browser that has the Captions page draws how a job has ended."""

PLUGIN: Final = "cutline-captions-page"
"""The name of the scheduler plugin that keeps the board."""

MICROSECONDS: Final = {
    "index-shards": 20,
    "extract-files": 1300,
    "compile-rows": 9,
    "merge": 1,
    "write-caption-files": 35,
    "verify-rows": 4,
    "verify-files": 4,
    "report-rows": 2,
}
"""What each stage took for a sample on two cores, from docs/performance.md: how long a stage that
has not begun will take, in relation to those that have."""

How: TypeAlias = Literal["done", "failed", "stopped"]
"""How a job ended."""

S = TypeVar("S", bound=Summary)
P = ParamSpec("P")

_ANNOUNCED: Final[ContextVar[bool]] = ContextVar("announced", default=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """Tasks of one name that are sent to the cluster together, and how much they do in all."""

    name: str
    tasks: int
    load: Load


class JobBegun(msgspec.Struct, frozen=True, tag_field="event", tag="job begun"):
    """A job has begun: its identity, its name, and the stages that it has as a rule, in order."""

    job: str
    name: str
    client: str
    stages: tuple[str, ...]


class JobEnded(msgspec.Struct, frozen=True, tag_field="event", tag="job ended"):
    """A job has ended: how, in a sentence why if anything is wrong, and its summary in lines."""

    job: str
    how: How
    why: str = ""
    summary: tuple[str, ...] = ()


class Begun(msgspec.Struct, frozen=True, tag_field="event", tag="begun"):
    """A stage has begun: the identity of its span, its name, and how much it has to do."""

    stage: str
    name: str
    client: str
    tasks: int
    amount: int
    unit: str


class Ended(msgspec.Struct, frozen=True, tag_field="event", tag="ended"):
    """A stage has ended, after some of its tasks or all."""

    stage: str
    tasks: int


class Done(msgspec.Struct, frozen=True, tag_field="event", tag="done"):
    """What one task came to.

    Attributes
    ----------
    amount
        How much it has done, in the unit of the stage.
    made
        What it made, by kind.
    rejects, examples
        What it rejected, by reason: how many, and one of them as text.
    seconds
        How long it took.
    task
        A short name for what it worked on; by default its number in the stage.
    stage, worker
        Where it ran; filled in on the way.
    """

    amount: int
    made: dict[str, int]
    rejects: dict[str, int]
    seconds: float
    examples: dict[str, str] = {}
    task: str = ""
    stage: str = ""
    worker: str = ""


Event: TypeAlias = JobBegun | JobEnded | Begun | Done | Ended


def read_event(message: object) -> Event | None:
    """Read an event from the scheduler; None if it is of another version."""
    try:
        event: Event = msgspec.convert(message, Event)
    except msgspec.ValidationError:
        return None
    return event


# On the client.


def announced(name: str, *stages: str) -> Callable[[Callable[P, S]], Callable[P, S]]:
    """Have a function announce itself as a job to the scheduler of its `client`, and how it ends.

    What one job calls is a part of it, and announces nothing.

    Parameters
    ----------
    stages
        The names of the stages that it has as a rule, in order.
    """

    def decorate(function: Callable[P, S]) -> Callable[P, S]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> S:
            client = kwargs.get("client")
            if not isinstance(client, Client) or _ANNOUNCED.get():
                return function(*args, **kwargs)
            begun = JobBegun(uuid4().hex, name, client.id, stages)
            with _of_job(client, begun) as end:
                end(summary := function(*args, **kwargs))
            return summary

        return call

    return decorate


@contextmanager
def _of_job(client: Client, begun: JobBegun) -> Iterator[Callable[[Summary], None]]:
    def end(how: How, why: str, lines: tuple[str, ...] = ()) -> None:
        _log(client, JobEnded(begun.job, how, texts.clean(why), lines))
        private_api.ask_scheduler_within(client, _seen, 2 * SEEN)

    _log(client, begun)
    token = _ANNOUNCED.set(True)
    try:
        yield lambda summary: end("done", summary.shortfall, tuple(in_short(summary)))
    except KeyboardInterrupt:
        end("stopped", "What is done is kept; the same command goes on.")
        raise
    except Exception as error:
        end("failed", str(error) or type(error).__name__)
        raise
    finally:
        _ANNOUNCED.reset(token)


async def _seen(dask_scheduler: Scheduler) -> None:
    # The scheduler of a local cluster ends with the job, and a browser would not see its last word.
    plugin: Any = dask_scheduler.plugins.get(PLUGIN)
    if plugin and plugin.board.viewers:
        await asyncio.sleep(SEEN)


def submit(tasks: list[Delayed], client: Client, stage: Stage) -> tuple[str, list[Future[Any]]]:
    """Send the tasks of a stage to the cluster under a span of their own, and announce them.

    The span is open only while they are sent, which is when it marks them: what a caller does
    between two results must not be marked.

    Returns
    -------
    The identity of the span, and the future of each task.
    """
    load = stage.load
    with span(SPAN, stage.name) as identity:
        begun = Begun(identity, stage.name, client.id, stage.tasks, load.amount, load.unit)
        client.log_event(TOPIC, msgspec.to_builtins(begun))
        return identity, client.compute(tasks)


@contextmanager
def of_client(client: Client | None, stage: Stage) -> Iterator[Callable[[Done], None]]:
    """Announce a stage that the client works on itself, as one task, and end it with the block.

    The value of the context is called with what it came to; without a cluster nobody listens.
    """
    if client is None:
        yield lambda _: None
        return
    identity = uuid4().hex
    load = stage.load
    _log(client, Begun(identity, stage.name, client.id, stage.tasks, load.amount, load.unit))
    try:
        yield lambda done: _log(client, msgspec.structs.replace(done, stage=identity))
    finally:
        end(client, identity, 0)


def end(client: Client, stage: str, tasks: int) -> None:
    """Tell the scheduler, if it still answers, that nobody waits for a stage any more.

    Parameters
    ----------
    tasks
        How many of its tasks are done.
    """
    _log(client, Ended(stage, tasks))


def _log(client: Client, event: Event) -> None:
    private_api.log_event_within(client, TOPIC, msgspec.to_builtins(event), PATIENCE)


# On a worker.


def tell(done: Done) -> None:
    """Tell what the current task came to; without a cluster nobody listens."""
    for label, figure in done.made.items():
        context_meter.digest_metric(label, figure, "count")
    for reason, figure in done.rejects.items():
        context_meter.digest_metric(f"rejected: {reason}", figure, "count")
    stage = private_api.span_of_task(SPAN)
    if stage is not None:
        worker = get_worker()
        key = worker.get_current_task()  # the number of a task in its stage is its last element
        task = done.task or f"task {key[-1] if isinstance(key, tuple) else key}"
        known = msgspec.structs.replace(done, task=task, stage=stage)
        worker.log_event(TOPIC, msgspec.to_builtins(known))


def count(done: Done) -> None:
    """Count what the current task made and rejected for Prometheus, if that is installed."""
    with _MAKING:
        known = _counters()
    for kind, amount in done.made.items():
        if kind in known:
            known[kind].inc(amount)
    for reason, amount in done.rejects.items():
        if "rejects" in known:
            known["rejects"].labels(reason).inc(amount)


_MAKING: Final = threading.Lock()
"""Held to make the counters: Prometheus refuses a second thread that makes them, too."""


@cache
def _counters() -> dict[str, Any]:
    """Make the counters of this process, which Prometheus finds at the worker's ``/metrics``."""
    if find_spec("prometheus_client") is None:
        return {}
    from prometheus_client import Counter  # noqa: PLC0415 - an extra

    files = Counter("cutline_caption_files", "Caption files written.")
    return {
        "rows": Counter("cutline_rows", "Rows written to parts."),
        "rejects": Counter("cutline_rejects", "Samples that gave no row or file.", ["reason"]),
        "written": files,
        "replaced": files,
    }


def example(*words: str | None) -> str:
    """Join words into an example of at most `EXAMPLE` characters that can be sent as UTF-8."""
    text = ": ".join(word for word in words if word)
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= EXAMPLE else text[: EXAMPLE - 1] + "…"
