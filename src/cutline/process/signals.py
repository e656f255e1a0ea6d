"""Ctrl-C: the first stops a job in order, and the second at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, Final

STOPS: Final = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a job to stop."""

INTERRUPTED: Final = 130
"""The exit status of a job that the user stopped: 128 + SIGINT, as a shell counts."""

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
        handle_stops(end_at_once)
        raise KeyboardInterrupt

    with heard():
        before = handle_stops(stop)
        try:
            yield
        finally:
            if not stopping:
                restore(before)


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let a signal end this process without a traceback: nothing has begun that had to be ended."""
    before = handle_stops(end_at_once)
    try:
        yield
    finally:
        restore(before)


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
    handlers = handle_stops(lambda number, _: held.append(number)) if main else {}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        restore(handlers)
        for caught in held:
            signal.raise_signal(caught)


def handle_stops(handler: Callable[[int, Any], object]) -> dict[int, Any]:
    """Have the signals that ask to stop handled, and give the handlers before.

    One that is ignored stays so: a shell has it ignored in what a script starts in the background.
    """
    before = {number: signal.getsignal(number) for number in STOPS}
    heeded: dict[int, Any] = {
        number: was for number, was in before.items() if was != signal.SIG_IGN
    }
    for number in heeded:
        signal.signal(number, handler)
    return heeded


def restore(handlers: dict[int, Any]) -> None:
    """Have signals handled as they were before."""
    for number, handler in handlers.items():
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
