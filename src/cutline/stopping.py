"""Ctrl-C: the first stops a job in order, and the second at once."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cutline.prefork import INTERRUPTED, STOPS

AGAIN: Final = 0.05
"""Seconds until a stop is asked for again that Python has ignored."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM raise KeyboardInterrupt, and the second end the process.

    From the first on that stays so: the process is about to end, and that may take a while.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for number in STOPS:
            signal.signal(number, end_at_once)
        raise KeyboardInterrupt

    with heard():
        before = [signal.signal(number, stop) for number in STOPS]
        try:
            yield
        finally:
            if not stopping:
                for number, handler in zip(STOPS, before, strict=True):
                    signal.signal(number, handler)


@contextmanager
def heard() -> Iterator[None]:
    """Raise KeyboardInterrupt again where Python ignores it.

    Nothing can be raised out of a `__del__` or a callback of the garbage collector, of which Dask
    has one, and of 30 signals at random moments three came while one ran.
    """
    hook = sys.unraisablehook

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        if what.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            hook(what)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    sys.unraisablehook = ignored
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        signal.signal(signal.SIGALRM, before)


def end_at_once(*_: object) -> None:
    """End this process."""
    os._exit(INTERRUPTED)
