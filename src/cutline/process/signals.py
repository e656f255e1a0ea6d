"""Ctrl-C and SIGTERM: the first stops a job in order, the second at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from cutline.process import private_api

Handlers: TypeAlias = dict[int, Any]

STOPS: Final = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a job to stop."""

INTERRUPTED: Final = 130
"""The exit status of a job that the user stopped: 128 + SIGINT, as a shell counts."""

_AGAIN: Final = 0.05
"""Seconds until an ignored KeyboardInterrupt is raised again."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM raise KeyboardInterrupt, and the second end the process.

    After the first one it stays so beyond the block: the process is about to end, and that may take
    a while.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        _handle_stops(_end_at_once)
        raise KeyboardInterrupt

    with _never_ignored():
        before = _handle_stops(stop)
        try:
            yield
        finally:
            if not stopping:
                _restore(before)


@contextmanager
def stopped_at_once() -> Iterator[None]:
    """Let a stop end this process without a traceback, because nothing has begun yet."""
    before = _handle_stops(_end_at_once)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def ctrl_c_held() -> Iterator[None]:
    """Hold a stop back until the end of the block, and keep processes started in it from all stops.

    A terminal sends Ctrl-C to every process, and this one has to stop the others. They inherit the
    blocked signals, and so does the thread that starts their successors.
    """
    private_api.start_resource_tracker()
    held: list[int] = []
    # Another thread may take the signal and have the handler called here, blocked or not.
    main = threading.current_thread() is threading.main_thread()
    handlers = _handle_stops(lambda number, _: held.append(number)) if main else {}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _restore(handlers)
        for caught in held:
            signal.raise_signal(caught)


def _handle_stops(handler: Callable[[int, Any], object]) -> Handlers:
    """Set the handler of the signals that ask to stop, and return those before.

    A signal that is ignored stays so: a shell ignores Ctrl-C in what a script runs in the
    background.
    """
    before: Handlers = {number: signal.getsignal(number) for number in STOPS}
    heeded = {number: was for number, was in before.items() if was != signal.SIG_IGN}
    _restore(dict.fromkeys(heeded, handler))
    return heeded


def _restore(handlers: Handlers) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def _never_ignored() -> Iterator[None]:
    """Raise KeyboardInterrupt again where Python ignores it.

    Python ignores what is raised in a `__del__` or in a callback of the garbage collector. Dask has
    one, and three of 30 signals at random moments came while it ran.
    """
    hook = sys.unraisablehook

    def ignored(what: "sys.UnraisableHookArgs") -> None:
        if what.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
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


def _end_at_once(*_: object) -> None:
    os._exit(INTERRUPTED)
