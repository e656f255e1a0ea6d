import os
import signal

from distributed import Client, LocalCluster

from cutline.cluster.worker_events import (
    Worker,
    changes,
    heard_of,
    silences,
    silent_of,
    workers_of,
)
from cutline.cluster.worker_watch import looked_after
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
    assert line == "No worker is left: waiting for others; what is done is kept."
    assert said({}, {"a": PAUSED})
    assert said({}, {"a": FINE}) == ["The cluster is at work again."]


def heard(at):
    return Worker(paused=False, spills=False, name="w", host="10.0.0.1", last_seen=at)


def test_a_worker_is_silent_after_nine_seconds_without_a_word_and_not_before():
    looks = [(0, 1.0), (3, 2.0), (6, 2.0), (9, 2.0), (12, 2.0), (15, 14.0)]
    told, known, silent = [], {}, frozenset()
    for clock, last_seen in looks:
        now = {"a": heard(last_seen), "b": heard(clock + 1.0)}
        known = heard_of(known, now, clock)
        still = silent_of(known, clock)
        told += [(clock, line) for line in silences(silent, still, now)]
        silent = still
    assert [clock for clock, _ in told] == [12, 15]
    assert told[0][1].startswith("Worker w on 10.0.0.1 is silent: its tasks wait for it, and")
    assert told[1][1] == "Worker w on 10.0.0.1 is heard of again."


def test_a_silent_worker_that_is_lost_is_not_heard_of_again():
    assert heard_of({"a": (1.0, 0.0)}, {}, 9.0) == {}
    assert list(silences(frozenset("a"), frozenset(), {})) == []


def test_a_host_is_told_by_its_name_where_that_is_known():
    worker = {"status": "running", "metrics": {}, "name": "w", "last_seen": 0.0}
    scheduler = {"workers": {f"tcp://{host}:1": worker | {"host": host} for host in "ab"}}
    found = workers_of(scheduler, {"a": "node-a"})
    assert [worker.host for worker in found.values()] == ["node-a", "b"]


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
        with looked_after(client, listener, []):
            os.kill(workers[first], signal.SIGKILL)
            while first in client.scheduler_info()["workers"]:
                pass
    assert listener.said[0] == "1 worker is lost: what it was doing is done again by others."
