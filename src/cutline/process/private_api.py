"""Everything that cutline uses of other packages and that is not their public API.

Each function is for one thing, and its docstring says what happens without it: never more than a
line that is missing or a second that is lost, because a job runs without any of them. Each has a
test of its own in `tests/process/test_private_api.py`, which fails by name when a new version has
changed what it needs. What is needed is imported where it is used: the command line starts before
Dask is loaded, and a client without bokeh has no dashboard to add a page to.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bokeh.document import Document
    from distributed import Client, Scheduler

CHANGED: Final = (ImportError, AttributeError, LookupError, TypeError)
"""What is raised where another version has changed inside."""

QUIET_WORKERS: Final = {
    # What fails on a worker comes back as an exception: no need to log it with a traceback, too,
    # nor that workers are stopped at their work.
    "distributed.worker": "critical",
    "distributed.worker.memory": "warning",
    # Warns that Dask's own profiles are deep when it draws a report.
    "distributed.sizeof": "error",
}
"""Loggers of a local worker and their levels. Without them Dask logs more than it has to."""

QUIET_CLIENT: Final = (
    "distributed.batched",
    "distributed.client",
    "distributed.deploy.ssh",  # every line of every process
    "distributed.utils_comm",
    "tornado.application",
)
"""Loggers that print tracebacks when a scheduler goes, or what others log. Without them they do."""


def start_resource_tracker() -> None:
    """Start the process in which `multiprocessing` keeps count of what has to be removed.

    For `ctrl_c_held`: starting it unblocks the signals that are blocked. Without it the first
    worker can be hit by a Ctrl-C in the terminal, and prints a traceback.
    """
    with suppress(*CHANGED):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()


def start_fork_server() -> None:
    """Start the server that processes are forked from, and do not wait for its imports.

    `multiprocessing` itself starts it with the first process. Without it the server loads what
    workers need after the command line has loaded what it needs, and not at the same time.
    """
    with suppress(*CHANGED):
        from multiprocessing import forkserver

        forkserver.ensure_running()


def is_importing_main() -> bool:
    """Return whether this process is a worker that is importing the script which started it.

    Without it each worker of a script that lacks ``if __name__ == "__main__":`` prints a traceback
    of its own, beside that of the script.
    """
    import multiprocessing

    return getattr(multiprocessing.current_process(), "_inheriting", False)


def under_own_keys(
    graph: Mapping[Any, Any], keys: Iterable[Any], run: Callable[[Callable[[], Any]], Any]
) -> dict[Any, Any]:
    """Return fused tasks under the keys that were asked for, each run by `run`.

    Dask names a fused task for all of its steps, and makes the key that was asked for an alias of
    it. A fused task can be called, as Dask does. Without this, the dashboard shows two bars for one
    stage, an error that cannot be pickled is a bare `Exception` on the client, and a worker that
    joins late is not checked.
    """
    try:
        tasks = {key: graph[graph[key].target].substitute({}, key=key) for key in keys}
        return {
            key: task if task.dependencies else (partial(run, task),) for key, task in tasks.items()
        }
    except CHANGED:
        return dict(graph)


async def identity_of(client: "Client") -> Mapping[str, Any] | None:
    """Ask a scheduler for its workers from the client's own loop; None if it cannot be asked.

    The public `Client.scheduler_info` blocks the loop that the answer has to come through. Without
    this nobody is told of workers that are lost.
    """
    with suppress(OSError, *CHANGED):  # that the scheduler is gone, the futures tell
        scheduler: Any = client.scheduler
        identity: Mapping[str, Any] = await scheduler.identity()
        return identity
    return None


def log_event_within(client: "Client", topic: str, message: object, seconds: float) -> None:
    """Log an event on the scheduler, if it answers in time.

    The public `Client.log_event` waits for as long as it takes, also for a scheduler that is gone.
    Without this a stage that was stopped stays "at work" on the Captions page.
    """
    with suppress(OSError, *CHANGED):
        if client.status == "running":
            scheduler: Any = client.scheduler
            client.sync(scheduler.log_event, topic=topic, msg=message, callback_timeout=seconds)


def span_of_task(outer: str) -> str | None:
    """Return the identity of the innermost span of the task at hand, if it is below `outer`.

    Without it the Captions page stays empty.
    """
    import dask

    with suppress(*CHANGED):
        marks = dask.get_annotations().get("span")
        if marks and outer in marks["name"]:
            identity: str = marks["ids"][-1]
            return identity
    return None


def wants_dashboard(dask_scheduler: "Scheduler") -> bool:
    """Return whether a scheduler has a dashboard, or a page in its place that says it lacks bokeh.

    Its parameter has the name by which `Client.run_on_scheduler` hands the scheduler on. Without it
    there is no Captions page.
    """
    import sys

    return "distributed.http.scheduler.missing_bokeh" in sys.modules or bool(
        _dashboards(dask_scheduler)
    )


def dashboard_listens(dask_scheduler: "Scheduler") -> tuple[str, str, int]:
    """Return the host name of a scheduler, and the address and port of its dashboard.

    The public `Client.dashboard_link` has the address of the scheduler, where the dashboard need
    not listen. Without this the address is taken to be all of the host's.
    """
    import socket

    address, port = "", int(dask_scheduler.services["dashboard"].port)
    with suppress(*CHANGED):
        server: Any = dask_scheduler.http_server
        address, port = str(server.address or ""), int(server.port)
    return socket.gethostname(), address, port


def add_page(
    scheduler: "Scheduler", name: str, title: str, draw: Callable[["Document"], None]
) -> None:
    """Add a page to a scheduler's dashboard and to the navigation of all its pages.

    Without it there is no Captions page.

    Parameters
    ----------
    name
        The page's address below the dashboard's, and its name in the navigation.
    draw
        Draws the page for one browser.

    Raises
    ------
    ImportError
        The scheduler could not load the dashboard that it was asked for.
    AttributeError, LookupError, TypeError
        Its Dask or its bokeh is not one that this can add a page to.
    """
    from distributed.dashboard.components.scheduler import BOKEH_THEME, env
    from distributed.dashboard.core import BokehApplication
    from distributed.dashboard.scheduler import template_variables
    from tornado.ioloop import IOLoop

    shown = _dashboards(scheduler)
    if not shown:
        raise ImportError("it shows no dashboard")

    def document(server: "Scheduler", extra: dict[str, Any], doc: "Document") -> None:  # noqa: ARG001
        draw(doc)
        doc.title = title
        doc.theme = BOKEH_THEME
        doc.template = env.get_template("simple.html")
        doc.template_variables.update(extra)

    variables = template_variables(scheduler)
    application = BokehApplication(
        {f"/{name}": document}, scheduler, prefix=shown[0].prefix, template_variables=variables
    )
    scheduler.http_application.add_application(application)
    application.initialize(IOLoop.current())
    application.start()
    # One list, which every page of the dashboard takes its navigation from.
    variables["pages"].insert(1, name)


def _dashboards(scheduler: "Scheduler") -> list[Any]:
    applications = scheduler.http_application.applications
    return [application for application in applications if hasattr(application, "app_paths")]
