"""What cannot be pickled never leaves a worker."""

import pickle

import pytest

from cutline.cluster import running
from cutline.cluster.flattening import flattened
from cutline.cluster.worker_terms import UnfitError
from cutline.errors import CutlineError, UsageError
from cutline.progress import SILENT
from cutline.store.trouble import StorageError


class UnsendableError(Exception):
    """Holds what cannot be pickled, as errors of aiohttp hold their connection."""

    def __init__(self, text):
        super().__init__(text)
        self.connection = (each for each in ())


class UnloadableError(Exception):
    """Can be pickled, and not loaded, as those of botocore."""

    def __init__(self, text, response):
        super().__init__(f"{text}: {response}")


def fail(_, cause, error):
    if error is None:
        raise made(cause)
    raise error from made(cause)


def made(cause):
    return UnsendableError("refused") if cause == "unsendable" else UnloadableError("refused", 503)


def fail_late(things, cause, error):
    return [*failing(things, cause, error)]


def failing(things, cause, error):
    yield from things
    fail(things, cause, error)


@pytest.mark.parametrize("cause", ["unsendable", "unloadable"])
@pytest.mark.parametrize("work", [fail, fail_late])
@pytest.mark.parametrize("cluster", [True, False])
def test_an_error_whose_cause_cannot_be_pickled_is_caught_as_what_it_is(
    request, cause, work, cluster
):
    client = request.getfixturevalue("client") if cluster else None
    for error in (UsageError("Name another."), StorageError("It is full", 28)):
        bag = running.bag_of([1], work, cause, error, stage="fail")
        with pytest.raises(type(error)) as caught:
            list(running.results(bag, client, SILENT))
        assert str(caught.value) == str(error)
    bag = running.bag_of([1], work, cause, None, stage="fail")
    with pytest.raises(CutlineError, match=r"^A task failed on its worker \(Un.*: refused"):
        list(running.results(bag, client, SILENT))


def test_a_worker_that_is_not_fit_is_told_as_itself_whatever_its_cause_was():
    error = UnfitError(0, "tcp://127.0.0.1:1", "node lacks msgspec")
    error.__cause__ = UnsendableError("refused")
    assert flattened(error) is error
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert pickle.loads(pickle.dumps(error)).worker == error.worker


def test_an_error_that_can_be_sent_stays_as_it_is():
    error = OSError(28, "No space left on device")
    error.__cause__ = ValueError("x")
    assert flattened(error) is error
    assert isinstance(error.__cause__, ValueError)
