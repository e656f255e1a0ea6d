"""A dashboard that is loaded when somebody asks for it.

Dask loads its own, and with it bokeh, before a scheduler takes its first task. That is 0.2 s of the
0.8 in which a job starts, for pages that often nobody opens.
"""

import logging
from collections.abc import Callable
from typing import Final

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin
from tornado.httputil import (
    HTTPConnection,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
)

from cutline.prefork import uncollected

OF_ANOTHER_VERSION: Final = (ImportError, AttributeError, LookupError, TypeError)
"""What comes of a Dask or a bokeh that has changed inside."""


class Late(SchedulerPlugin, HTTPServerConnectionDelegate):
    """Waits, on a scheduler without a dashboard, for the first connection, and loads it then.

    Attributes
    ----------
    pages
        Each adds a page to the dashboard when that is there.
    """

    def __init__(self) -> None:
        self.pages: list[Callable[[], None]] = []

    async def start(self, scheduler: Scheduler) -> None:
        """Stand where connections come in."""
        self.scheduler = scheduler
        scheduler.http_server.request_callback = self

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Load the dashboard, and leave this connection and all others to it."""
        application, server = self.scheduler.http_application, self.scheduler.http_server
        server.request_callback = application
        try:
            with uncollected():
                from distributed.dashboard.scheduler import connect  # noqa: PLC0415 - bokeh

                connect(application, server, self.scheduler, prefix="/")
                for add in self.pages:
                    add()
        except OF_ANOTHER_VERSION as error:
            # To standard error, unless the caller has said where else.
            logging.getLogger(__name__).warning(
                "The dashboard is not whole, but the job runs: it cannot be shown (%s).", error
            )
        delegate: HTTPMessageDelegate = application.start_request(server_conn, request_conn)
        return delegate


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
