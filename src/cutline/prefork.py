"""Workers of a local cluster that have their imports behind them.

The workers are forked from a server process that has loaded what they need, and that loads it on
one core while the command line and the dashboard are loaded on another. Against workers that each
load for themselves, a job of 200,000 sidecars starts 0.4 s and ends 0.3 s earlier.
"""

import gc
import multiprocessing.forkserver
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final

STOPS: Final = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a job to stop."""

INTERRUPTED: Final = 130
"""The exit status of a job that the user stopped: 128 + SIGINT, as a shell counts."""

QUIET: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Keeps numpy from starting threads, which would wait for work that nobody has: 0.08 s of it."""

ENVIRONMENT: Final = {
    # What fails on a worker comes back as an exception, and workers that are stopped at their work
    # complain of that: no need to log either, with tracebacks, on standard error.
    # And what Dask thinks of its own profiles, which are deep, when it draws a report.
    "DASK_LOGGING": str(
        {
            "distributed.worker": "critical",
            "distributed.worker.memory": "warning",
            "distributed.sizeof": "error",
        }
    ),
    # Dask's profiler looks at what a worker is doing each 10 ms, and that takes 5 % of its time.
    "DASK_DISTRIBUTED__WORKER__PROFILE__INTERVAL": "50ms",
    **QUIET,
}
"""The environment of a worker of a local cluster."""


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let a signal end this process without a traceback: nothing has begun that had to be ended."""
    before = {number: signal.getsignal(number) for number in STOPS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uncollected() -> Iterator[None]:
    """Import without looking for garbage.

    Imports make half a million objects, and hardly any garbage: to look for it at each step takes
    0.1 s of 0.6 for the command line, and 0.17 s of 0.4 for the dashboard.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def start_server() -> None:
    """Start the process that workers are forked from.

    To be called before `distributed` is imported, which is when that decides how to start workers.
    """
    os.environ.setdefault("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "forkserver")
    os.environ.update(QUIET | os.environ)
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    multiprocessing.forkserver.set_forkserver_preload(["cutline.worker"])
    with ctrl_c_held():
        multiprocessing.forkserver.ensure_running()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@contextmanager
def ctrl_c_held() -> Iterator[None]:
    """Hold a Ctrl-C until the end, and keep it for ever from the processes that are started here.

    A terminal sends it to all of them, and this one has to stop the others. They inherit what is
    blocked, and so does the thread that starts their successors.
    """
    resource_tracker.ensure_running()  # or the first process that is started unblocks it again
    held: list[int] = []
    # Another thread may take the signal and have the handler called here, blocked or not.
    main = threading.current_thread() is threading.main_thread()
    handlers = {
        number: signal.signal(number, lambda number, _: held.append(number))
        for number in STOPS
        if main
    }
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for caught in held:
            signal.raise_signal(caught)
