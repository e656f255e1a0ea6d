"""Many questions at once where storage takes long to answer one.

A disk or memory answers in 10 us, and threads would only cost. Shared storage, an object store or a
disk that turns answers in 0.3 to 50 ms, nearly all of which is waiting: there many questions wait
together. Which of the two it is is measured, and the answers come in order either way.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import islice
from statistics import median
from time import perf_counter
from typing import Final, Generic, Protocol, TypeVar

SMALL: Final = 2**18
"""Bytes of a file that is read before it is its turn: of so many the memory is never short."""

HELD: Final = 2**25
"""Bytes that answers of known size may take before it is their turn."""

SLOW: Final = 0.00015
"""Seconds from which on an answer takes long."""

THREADS: Final = ((0.04, 64), (0.005, 32), (SLOW, 16))
"""Seconds that an answer takes, and how many threads ask from there on."""

_TIMED: Final = 8
_FEW: Final = 3
"""Answers that are timed at first, and how many are enough if all of them take long. The median
counts, so that one file that is not in the cache starts no threads."""

_UNTIMED: Final = 1000
"""Answers after which some are timed again: that some were in a cache says little of the others."""

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class _Lately:
    """Whether answers took long when this process asked last: then one is enough to see it."""

    slow = False


class Later(Enum):
    """The answer to what would take too much memory before it is its turn."""

    LATER = "later"


LATER: Final = Later.LATER


class Asked(Protocol[R_co]):
    """A question that is on its way."""

    def result(self) -> R_co:
        """Wait for the answer, and return it or raise what came instead."""

    def cancel(self) -> object:
        """Forget the question."""


def in_order(
    work: Callable[[T], R],
    things: Iterable[T],
    ahead: Callable[[T], R | Later] | None = None,
    *,
    most: int = 64,
) -> Generator[R, None, None]:
    """Yield what `work` makes of each thing, in order; in threads where it takes long.

    Once the generator is closed, no thread is at work.

    Parameters
    ----------
    work
        Must be ready for threads.
    things
        What to work on; they are taken as they are needed.
    ahead
        What to do in place of `work` before it is a thing's turn: it returns `LATER` for what would
        take too much memory, and then `work` does it once it is.
    most
        The most threads.
    """
    things = iter(things)
    while True:
        took: list[float] = []
        yield from _timed(work, things, took)
        if not took:
            return
        threads = _threads(median(took))
        _Lately.slow = threads > 0
        if threads:
            yield from _in_threads(work, things, ahead, min(threads, most))
            return
        yield from map(work, islice(things, _UNTIMED))


def asked_ahead(
    ask: Callable[[T], Asked[R]],
    things: Iterable[T],
    most: int,
    size: Callable[[T], int] = lambda _: 0,
) -> Iterator[R]:
    """Yield the answers to many questions, in order, while the next ones are on their way.

    Parameters
    ----------
    ask
        Sends a question.
    things
        What to ask about; they are taken as there is room for more.
    most
        The most questions that are on their way or have an answer whose turn has not come.
    size
        The bytes of an answer; of more than `HELD` only one question at a time is on its way.
    """
    waiting: deque[tuple[Asked[R], int]] = deque()
    held = 0
    try:
        for thing in things:
            taken = size(thing)
            while waiting and (len(waiting) == most or held + taken > HELD):
                held -= waiting[0][1]
                yield waiting.popleft()[0].result()
            waiting.append((ask(thing), taken))
            held += taken
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        for asked, _ in waiting:
            asked.cancel()


def _threads(seconds: float) -> int:
    return next((threads for least, threads in THREADS if seconds > least), 0)


def _timed(work: Callable[[T], R], things: Iterator[T], took: list[float]) -> Iterator[R]:
    for thing in things:
        began = perf_counter()
        answer = work(thing)
        took.append(perf_counter() - began)
        yield answer
        few = 1 if _Lately.slow else _FEW
        if len(took) == _TIMED or (len(took) == few and _threads(min(took))):
            return


def _in_threads(
    work: Callable[[T], R],
    things: Iterator[T],
    ahead: Callable[[T], R | Later] | None,
    threads: int,
) -> Iterator[R]:
    with ThreadPoolExecutor(threads, "cutline") as pool:

        def ask(thing: T) -> Asked[R]:
            if ahead is None:
                return pool.submit(work, thing)
            return _InTurn(pool.submit(ahead, thing), partial(work, thing))

        # Twice as many, so that no thread is idle while one answer holds up the others.
        yield from asked_ahead(ask, things, 2 * threads)


@dataclass(frozen=True, slots=True)
class _InTurn(Generic[R]):
    """A question of which the answer may be `LATER`: then it is asked again, in its turn."""

    asked: Asked[R | Later]
    again: Callable[[], R]

    def result(self) -> R:
        answer = self.asked.result()
        return self.again() if isinstance(answer, Later) else answer

    def cancel(self) -> object:
        return self.asked.cancel()
