"""Many questions at once where an answer takes long: order, memory, and what becomes of faults."""

import os
import threading
from time import sleep

import pytest

from cutline import in_flight
from cutline.sources.local_folder import Folder
from sidecars import numbered, record, write_sidecars

SLOW = 0.001


@pytest.fixture(autouse=True)
def nothing_was_slow_lately(monkeypatch):
    monkeypatch.setattr(in_flight._Lately, "slow", False)


@pytest.fixture
def slow_reads(monkeypatch):
    """Files are opened as on shared storage; returns by how many threads at the same time."""
    real, at_once, most = os.open, set(), []

    def opened(path, *arguments, **more):
        at_once.add(threading.get_ident())
        most.append(len(at_once))
        sleep(SLOW)
        at_once.discard(threading.get_ident())
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", opened)
    return most


def test_answers_come_in_order_however_long_each_takes():
    def work(n):
        sleep(SLOW * (n % 7))
        return n

    assert [*in_flight.in_order(work, range(300))] == [*range(300)]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, unless somebody adds to it."""
    now = [0.0]
    monkeypatch.setattr(in_flight, "perf_counter", lambda: now[0])
    return now


def test_what_answers_at_once_is_asked_by_this_thread_alone(clock):
    asked_by = {*in_flight.in_order(lambda _: threading.get_ident(), range(5000))}
    assert asked_by == {threading.get_ident()}


def test_one_answer_that_takes_long_starts_no_threads(clock):
    def work(n):
        clock[0] += n == 1
        return threading.get_ident()

    assert {*in_flight.in_order(work, range(100))} == {threading.get_ident()}


def test_threads_are_started_where_answers_take_long_later_on(clock):
    def work(n):
        clock[0] += n > 1000
        sleep(SLOW * (n > 1000))
        return threading.get_ident()

    assert len({*in_flight.in_order(work, range(2500))}) > 2


def test_no_more_threads_ask_than_may():
    def work(_):
        sleep(SLOW)
        return threading.get_ident()

    assert len({*in_flight.in_order(work, range(200), most=5)}) == 1 + 5


def test_what_is_too_large_waits_for_its_turn():
    here = threading.get_ident()

    def work(n):
        sleep(SLOW)
        return n, threading.get_ident() == here

    def ahead(n):
        return in_flight.LATER if n % 10 == 0 else work(n)

    answers = [*in_flight.in_order(work, range(200), ahead)]
    assert [n for n, _ in answers] == [*range(200)]
    assert all(alone for n, alone in answers if n % 10 == 0)
    assert not any(alone for n, alone in answers[8:] if n % 10)


def test_an_error_comes_in_its_turn_and_leaves_no_thread_behind():
    before = threading.active_count()
    seen = []

    def work(n):
        sleep(SLOW)
        if n == 100:
            raise OSError(5, "EIO")
        return n

    with pytest.raises(OSError, match="EIO"):
        seen.extend(in_flight.in_order(work, range(1000)))
    assert threading.active_count() == before


def test_who_needs_no_more_answers_leaves_no_thread_behind():
    before = threading.active_count()
    answers = in_flight.in_order(lambda _: sleep(SLOW), range(1000))
    for _ in range(50):
        next(answers)
    answers.close()
    assert threading.active_count() == before


class Sent:
    """A question whose answer is there at once."""

    def __init__(self, n, on_their_way):
        self.n, self.on_their_way = n, on_their_way
        on_their_way.append(n)

    def result(self):
        self.on_their_way.remove(self.n)
        return self.n

    def cancel(self):
        self.on_their_way.remove(self.n)


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**24, 2**40])
def test_answers_that_wait_for_their_turn_take_no_more_memory_than_there_is(size):
    on_their_way, most = [], 0
    answers = in_flight.asked_ahead(lambda n: Sent(n, on_their_way), range(200), 64, lambda _: size)
    for place, n in enumerate(answers):
        most = max(most, len(on_their_way))
        assert n == place
    assert most == max(0, min(64, in_flight.HELD // size if size else 64, 200) - 1)


def test_questions_that_nobody_needs_are_forgotten():
    on_their_way = []
    answers = in_flight.asked_ahead(lambda n: Sent(n, on_their_way), range(200), 64)
    assert next(answers) == 0
    assert on_their_way
    answers.close()
    assert not on_their_way


def test_a_slow_folder_is_read_in_threads_with_the_same_sidecars_and_stamps(tmp_path, slow_reads):
    write_sidecars(tmp_path, numbered(150))
    write_sidecars(tmp_path, {"large.json": record(short_caption="x" * 2**20)})
    (tmp_path / "folder.json").mkdir()
    source = Folder(os.fspath(tmp_path))
    lines = source.list()
    found = [*source.read(lines)]
    assert max(slow_reads) > 4
    one_by_one = [one for n in range(len(lines)) for one in source.read(lines.slice(n, 1))]
    assert found == one_by_one
    assert [stamp for *_, stamp in found] == [*source.stamps(lines)]
