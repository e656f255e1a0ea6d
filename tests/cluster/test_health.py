import os
import signal

from distributed import Client, LocalCluster

from cutline.cluster import running
from cutline.cluster.health import Worker, changes, silences, silent_of
from jobs_at_work import Listener

FINE = Worker(paused=False, spills=False)
PAUSED = Worker(paused=True, spills=False)
SPILLS = Worker(paused=False, spills=True)


def said(before, now):
    return list(changes(before, now))


def test_nothing_is_said_while_all_is_well():
    assert said({"a": FINE}, {"a": FINE}) == []


def test_a_lost_worker_and_its_successor_are_told():
    assert said({"a": FINE, "b": FINE}, {"a": FINE, "c": FINE}) == [
        "1 worker is lost: what it was doing is done again by others.",
        "1 worker is new on the cluster.",
    ]


def test_pauses_are_told_once_and_so_is_their_end():
    (line,) = said({"a": FINE, "b": FINE}, {"a": PAUSED, "b": FINE})
    assert line.startswith("1 worker is paused")
    assert said({"a": PAUSED, "b": FINE}, {"a": PAUSED, "b": FINE}) == []
    assert said({"a": PAUSED, "b": FINE}, {"a": FINE, "b": FINE}) == ["1 worker is at work again."]


def test_a_cluster_that_stands_still_is_told_in_one_line_and_so_is_its_end():
    (line,) = said({"a": FINE, "b": FINE}, {"a": PAUSED, "b": PAUSED})
    assert "all of its workers, which are short of memory" in line
    (line,) = said({"a": FINE}, {})
    assert line == "The cluster has lost all of its workers: waiting for others."
    assert said({}, {"a": PAUSED})
    assert said({}, {"a": FINE}) == ["The cluster is at work again."]


def heard(at):
    return Worker(paused=False, spills=False, name="w", host="10.0.0.1", last_seen=at)


def test_a_worker_that_was_not_heard_of_between_two_looks_is_told_once_and_so_is_its_return():
    first, second = {"a": heard(1.0), "b": heard(1.0)}, {"a": heard(1.0), "b": heard(9.0)}
    silent = silent_of(first, second)
    (line,) = silences(frozenset(), silent, second)
    assert line.startswith("Worker w on 10.0.0.1 is silent: ")
    assert list(silences(silent, silent_of(second, second), second)) == [
        "Worker w on 10.0.0.1 is silent: its tasks wait for it, and others do them if it is lost."
    ]  # now b
    back = {"a": heard(11.0), "b": heard(11.0)}
    assert list(silences(silent, silent_of(second, back), back)) == [
        "Worker w on 10.0.0.1 is heard of again."
    ]
    assert list(silences(silent, frozenset(), {})) == []


def test_spilling_is_told_once():
    (line,) = said({"a": FINE, "b": FINE}, {"a": SPILLS, "b": SPILLS})
    assert line.startswith("2 workers are short of memory")
    assert said({"a": SPILLS}, {"a": SPILLS}) == []


def test_a_worker_that_is_killed_is_told_at_the_end_at_the_latest():
    listener = Listener()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        first, *_ = workers = client.run(os.getpid)
        with running._looked_after(client, listener):
            os.kill(workers[first], signal.SIGKILL)
            while first in client.scheduler_info()["workers"]:
                pass
    assert listener.said[0] == "1 worker is lost: what it was doing is done again by others."
