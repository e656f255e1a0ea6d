"""A dashboard that is loaded when somebody asks for it.

Dask loads its own, and with it bokeh, before a scheduler takes its first task. That is 0.2 s of the
0.8 in which a job starts, for pages that often nobody opens.
"""

from collections.abc import Callable

from distributed import Scheduler
from tornado.httputil import (
    HTTPConnection,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
)

from cutline.prefork import uncollected


class Late(HTTPServerConnectionDelegate):
    """Takes the first request to a scheduler, whatever it is for, and loads the dashboard for it.

    Attributes
    ----------
    pages
        Each adds a page to the dashboard when that is there.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.pages: list[Callable[[], None]] = []

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Load the dashboard, and leave this request and all others to it."""
        application, server = self.scheduler.http_application, self.scheduler.http_server
        server.request_callback = application
        with uncollected():
            from distributed.dashboard.scheduler import connect  # noqa: PLC0415 - bokeh

            connect(application, server, self.scheduler, prefix="/")
            for add in self.pages:
                add()
        delegate: HTTPMessageDelegate = application.start_request(server_conn, request_conn)
        return delegate


def defer(scheduler: Scheduler) -> None:
    """Have the dashboard of a scheduler, which was started without one, loaded when asked for."""
    scheduler.http_server.request_callback = Late(scheduler)


def is_deferred(scheduler: Scheduler) -> bool:
    """Tell whether the dashboard of a scheduler is still to be loaded."""
    return isinstance(scheduler.http_server.request_callback, Late)


def when_loaded(scheduler: Scheduler, add: Callable[[], None]) -> None:
    """Add a page to the dashboard of a scheduler: now, or when that is loaded."""
    late = scheduler.http_server.request_callback
    if isinstance(late, Late):
        late.pages.append(add)
    else:
        add()
