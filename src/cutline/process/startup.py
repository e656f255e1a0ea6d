"""What starts early, and what is not done while a process starts.

Workers of a local cluster are forked from a server process, which imports what they need on one
core while the command line is imported on another. A job of 200,000 sidecars starts 0.4 s and ends
0.3 s earlier than with workers that each import for themselves.
"""

import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from cutline.process import private_api
from cutline.process.signals import ctrl_c_held

_QUIET: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Keeps numpy from starting threads that nothing here uses, which takes 0.08 s."""

_PROFILED: Final = sys.version_info >= (3, 12)
"""Whether Dask's profiler may look at what processes do.

In Python 3.11 that waits for ever now and then, if a collection of garbage comes to it while
another thread is started: issue 106883 of CPython, and 8616 of distributed.
"""

ENVIRONMENT: Final = {
    "DASK_LOGGING": str(private_api.QUIET_WORKERS),
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": str(_PROFILED),
    # It looks at what a worker is doing each 10 ms, and that takes 5 % of its time.
    "DASK_DISTRIBUTED__WORKER__PROFILE__INTERVAL": "50ms",
    **_QUIET,
}
"""The environment of a worker of a local cluster."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch Python's garbage collector off for the block.

    Imports make half a million objects and hardly any garbage: looking for it takes 0.1 s of the
    0.6 that the command line is imported in.
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

    Must be called before `distributed` is imported, which then reads how to start workers.
    """
    os.environ.setdefault("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "forkserver")
    os.environ.update(_QUIET | os.environ)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cutline.process.preload"])
    with _environment(ENVIRONMENT), ctrl_c_held():
        private_api.start_fork_server()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
