"""What the tasks of a job tell: figures for Dask's own pages, for Prometheus, and for ours.

A task tells of itself once, as it ends. Nothing here is needed for the job, whose counts come from
receipts: a task that ran twice has told twice.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Final, TypeAlias

import dask
import msgspec
from dask.delayed import Delayed
from dask.typing import Key
from distributed import Client, Future, get_worker, span
from distributed.metrics import context_meter

from cutline.progress.watcher import Load

TOPIC: Final = "cutline"
"""Where the events are on the scheduler: `client.get_events("cutline")` gives them."""

SPAN: Final = "cutline"
"""The outer span of every stage."""

PATIENCE: Final = 2
"""Seconds that the scheduler has to hear that a stage has ended."""

EXAMPLE: Final = 200
"""The most characters of an example of a reject."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What is sent to the cluster at once: tasks of one name, and what they do in all."""

    name: str
    tasks: int
    load: Load


class Begun(msgspec.Struct, frozen=True, tag_field="event", tag="begun"):
    """A stage has begun: its span's identity and its name, and how much it has to do."""

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
        How much of what the stage counts it has done.
    made
        What it made, by kind.
    rejects, examples
        What it rejected, by reason: how many, and one of them in words.
    seconds
        How long it took.
    task
        What it worked on, in a word or two; without it, its number in the stage.
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


Event: TypeAlias = Begun | Done | Ended


def read_event(message: object) -> Event | None:
    """Take an event from the scheduler, if it is one of this version."""
    try:
        event: Event = msgspec.convert(message, Event)
    except msgspec.ValidationError:
        return None
    return event


# On the client.


def submit(tasks: list[Delayed], client: Client, stage: Stage) -> tuple[str, list[Future[Any]]]:
    """Send the tasks of a stage to the cluster under a span of their own, and announce them.

    The span is open while they are sent and no longer: that is what marks them, and what a caller
    does between two results is not to be marked.
    """
    load = stage.load
    with span(SPAN, stage.name) as identity:
        begun = Begun(identity, stage.name, client.id, stage.tasks, load.amount, load.unit)
        client.log_event(TOPIC, msgspec.to_builtins(begun))
        return identity, client.compute(tasks)


def end(client: Client, stage: str, tasks: int) -> None:
    """Tell that nobody waits for a stage any more, if the scheduler still hears.

    Parameters
    ----------
    tasks
        How many of its tasks are done.
    """
    scheduler = client.scheduler
    if scheduler is None or client.status != "running":
        return
    message = msgspec.to_builtins(Ended(stage, tasks))
    with suppress(OSError):  # this is no time to raise something else, or to wait
        client.sync(scheduler.log_event, topic=TOPIC, msg=message, callback_timeout=PATIENCE)


# On a worker.


def tell(done: Done) -> None:
    """Tell what the task at hand came to; outside of a cluster nobody listens."""
    for label, figure in done.made.items():
        context_meter.digest_metric(label, figure, "count")
    for reason, figure in done.rejects.items():
        context_meter.digest_metric(f"rejected: {reason}", figure, "count")
    marks = dask.get_annotations().get("span")
    if marks and SPAN in marks["name"]:
        worker = get_worker()
        task = done.task or f"task {place(worker.get_current_task())}"
        known = msgspec.structs.replace(done, task=task, stage=marks["ids"][-1])
        worker.log_event(TOPIC, msgspec.to_builtins(known))


def place(task: Key) -> Key:
    """Give the place of a task in its stage, which is the last word of its key."""
    return task[-1] if isinstance(task, tuple) else task


def count(done: Done) -> None:
    """Count what the task at hand made and rejected for Prometheus, if that is installed."""
    with MAKING:
        known = counters()
    for kind, amount in done.made.items():
        if kind in known:
            known[kind].inc(amount)
    for reason, amount in done.rejects.items():
        if "rejects" in known:
            known["rejects"].labels(reason).inc(amount)


MAKING: Final = threading.Lock()
"""Held to make the counters: Prometheus refuses those of a second thread that comes meanwhile."""


@cache
def counters() -> dict[str, Any]:
    """Make this process's Prometheus counters, which are on the worker's ``/metrics`` then."""
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
    """Cut an example to a length to look at, and to what can be sent."""
    text = ": ".join(word for word in words if word)
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= EXAMPLE else text[: EXAMPLE - 1] + "…"
