"""Workers of a local cluster that have their imports behind them.

They are forked from a server process, which loads what they need on one core while the command
line is loaded on another. A job of 200,000 sidecars starts 0.4 s and ends 0.3 s earlier than with
workers that each load for themselves.
"""

import gc
import multiprocessing.forkserver
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cutline.process.signals import ctrl_c_held

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
    multiprocessing.forkserver.set_forkserver_preload(["cutline.process.preload"])
    with ctrl_c_held():
        multiprocessing.forkserver.ensure_running()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
