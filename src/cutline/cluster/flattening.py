"""What a task raises, as something that can be sent to the client."""

import pickle
from collections.abc import Callable, Iterator
from typing import TypeVar

from cutline.errors import CutlineError, said

T = TypeVar("T")


def in_one_sentence(task: Callable[[], T]) -> T:
    """Run a task; what it raises can be pickled, and so can all that this was raised from.

    Without it an error of aiohttp or botocore, even as the cause of another, makes Dask log a
    traceback and raise a bare `Exception` on the client.
    """
    try:
        return task()
    except Exception as error:  # noqa: BLE001 - it is raised below, out of reach of its causes
        raised = flattened(error)
    raise raised


def flattened(error: Exception) -> Exception:
    """Return the exception itself if it can be sent, or a `CutlineError` that says the same."""
    if all(map(_can_be_sent, _chain(error))):
        return error
    if isinstance(error, CutlineError):
        error.__cause__ = error.__context__ = None
        return error if _can_be_sent(error) else CutlineError(str(error))
    return CutlineError(
        f"A task failed on its worker ({type(error).__name__}: {said(error)}): run this again,"
        " which goes on from what is done."
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _can_be_sent(error: BaseException) -> bool:
    try:
        return type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301 - it is ours
    except Exception:  # noqa: BLE001 - whatever the class of anybody does
        return False
