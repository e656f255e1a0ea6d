"""Bags on clusters that lose workers, stand still or die; the clusters are of processes."""

import json
import logging
import os
import re
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dask
import dask.bag as db
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

import cutline
import jobs_at_work
from cutline import Address
from cutline.cluster import connecting, running, waiting, worker_events, worker_watch
from cutline.cluster.waiting import Waiting
from cutline.errors import CutlineError
from cutline.plan.planning import make_plan
from cutline.progress.watcher import SILENT, Silent
from cutline.sources.local_folder import Folder
from cutline.store.table_files import TableFiles
from cutline.store.trouble import StorageError
from cutline.table import compiling, rows
from cutline.table.part_files import CompileContext
from jobs_at_work import Listener, wait_at
from oracle import compile_folder
from processes import until
from schedulers import scheduler
from sidecars import numbered, write_sidecars
from trees import tree

pytestmark = pytest.mark.commands

OPTIONS = cutline.CompileOptions(partition_size=5)


def bag_of(numbers, work, *arguments):
    return db.from_sequence(numbers, partition_size=1).map_partitions(work, *arguments)


def double(numbers):
    return [2 * number for number in numbers]


def die_at_three(numbers, folder):
    (number,) = numbers
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    with open(f"{folder}/{number}", "w"):
        return [number]


def die_once(numbers, folder):
    (number,) = numbers
    if number == 3 and not os.path.exists(f"{folder}/died"):
        with open(f"{folder}/died", "w"):
            os.kill(os.getpid(), signal.SIGKILL)
    return [number]


def refuse_as_second(numbers, folder, gate):
    """Be done as the first task that begins, refuse as the second, and wait at a gate otherwise."""
    (number,) = numbers
    with suppress(FileExistsError), open(f"{folder}/done", "x"):
        return [number]
    with suppress(FileExistsError), open(f"{folder}/refused", "x"):
        raise OSError(28, "No space left on device", f"{folder}/x")
    wait_at([], gate)
    with open(f"{folder}/{number}", "w"):
        return [number]


@pytest.fixture
def quick_to_give_up():
    """A cluster whose scheduler blames a task after two dead workers."""
    with (
        dask_settings(),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        yield client


def dask_settings():
    return dask.config.set({**connecting.CONFIG, "distributed.scheduler.allowed-failures": 1})


def test_results_come_from_this_process_and_from_a_cluster_alike(client):
    bag = bag_of(range(7), double)
    for where in (None, client):
        assert sorted(running.results(bag, where, Silent())) == [0, 2, 4, 6, 8, 10, 12]


def test_a_worker_that_is_lost_gives_its_tasks_to_others(client, tmp_path):
    bag = bag_of(range(20), die_once, str(tmp_path))
    assert sorted(running.results(bag, client, Silent())) == list(range(20))
    assert os.path.exists(tmp_path / "died")


def test_a_task_that_kills_workers_fails_after_all_others_are_done(quick_to_give_up, tmp_path):
    bag = bag_of(range(12), die_at_three, str(tmp_path))
    got = []
    with pytest.raises(running.DeadlyTaskError) as caught:
        got.extend(running.results(bag, quick_to_give_up, Silent()))
    assert caught.value.partitions == [3]
    assert sorted(map(int, os.listdir(tmp_path))) == [n for n in range(12) if n != 3]


@dataclass(frozen=True)
class Deadly(Folder):
    """A source with a sidecar whose reader dies, as of memory."""

    def read(self, lines):
        if b"012.json" in lines["path"].to_pylist():
            os.kill(os.getpid(), signal.SIGKILL)
        yield from Folder(self.root).read(lines)


def test_a_part_that_kills_workers_is_named_with_its_first_and_last_sidecar(
    quick_to_give_up, tmp_path, monkeypatch
):
    source = write_sidecars(tmp_path / "data", numbered(30))
    monkeypatch.setattr(compiling, "open_source", lambda _: Deadly(source))
    target = str(tmp_path / "x.parquet")
    with pytest.raises(CutlineError) as caught:
        cutline.compile_table(source, target, OPTIONS, client=quick_to_give_up)
    assert str(caught.value).startswith(
        "Part 2, from 010.json to 014.json, has killed each worker that tried, and all other parts"
        " are done and kept"
    )
    done = {f"part-{n:05}.parquet" for n in range(6) if n != 2}
    assert set(os.listdir(tmp_path / "x.parts")) == done
    monkeypatch.undo()
    again = cutline.compile_table(source, target, OPTIONS)
    assert (again.rows, again.reused_parts) == (30, 5)


@dataclass(frozen=True)
class DeadlyOnce(Folder):
    """A source that kills the first worker that has made two parts, and says which there were."""

    parts: str

    def read(self, lines):
        with open(f"{self.parts}.{os.getpid()}", "a") as file:
            file.write("one more")
            was_read = file.tell() // len("one more")
        seen = f"{self.parts}.seen"
        if was_read == 3 and not os.path.exists(seen):
            with open(seen, "w") as file:
                json.dump({entry.name: entry.inode() for entry in os.scandir(self.parts)}, file)
            os.kill(os.getpid(), signal.SIGKILL)
        yield from Folder(self.root).read(lines)


def test_a_worker_that_is_lost_does_not_take_along_the_parts_that_it_has_made(
    client, tmp_path, monkeypatch
):
    source = write_sidecars(tmp_path / "data", numbered(30))
    folder, workers = tmp_path / "x.parts", len(client.nthreads())
    monkeypatch.setattr(compiling, "open_source", lambda _: DeadlyOnce(source, str(folder)))
    summary = cutline.compile_table(source, tmp_path / "x.parquet", OPTIONS, client=client)
    assert (summary.rows, summary.parts, summary.reused_parts) == (30, 6, 0)
    seen = json.loads((tmp_path / "x.parts.seen").read_text())
    made = {entry.name: entry.inode() for entry in os.scandir(folder)}
    assert len(seen) >= 2
    assert seen.items() <= made.items()
    until(lambda: len(client.nthreads()) == workers, "another worker in its place")


def test_what_a_file_system_refuses_on_a_worker_stops_the_others_and_keeps_what_is_done(
    client, tmp_path
):
    done, gate = tmp_path / "done", tmp_path / "gate"
    done.mkdir()
    bag = bag_of(range(200), refuse_as_second, str(done), str(gate))
    with pytest.raises(OSError, match="No space left"):
        list(running.results(bag, client, Silent()))
    assert sorted(os.listdir(done)) == ["done", "refused"]
    gate.touch()  # for those that had begun and cannot be stopped
    for worker in client.nthreads():
        client.submit(int, workers=worker, pure=False).result(timeout=60)
    assert len(os.listdir(done)) <= 2 + len(client.nthreads())


@pytest.mark.parametrize("number", [1, 2])
def test_what_a_file_system_refuses_comes_from_a_worker_whole(client, number):
    error = StorageError("/x cannot be written: no", 28, 10**number)
    got = client.submit(lambda one: one, error, pure=False).result()
    assert str(got) == str(error)
    assert f"{10**number} bytes are needed" in str(got)


def test_a_cluster_without_workers_is_said_and_so_is_its_return(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_watch, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(worker_events, "SILENCE", 1000)  # the machine may be busy
    listener = Listener()
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        bag = bag_of(range(3), wait_at, str(tmp_path / "gate"))
        job = threading.Thread(target=lambda: list(running.results(bag, client, listener)))
        job.start()
        workers.scale(0)
        until(lambda: len(listener.said) == 1, "a line")
        workers.scale(1)
        until(lambda: len(listener.said) == 2, "a second line")
        (tmp_path / "gate").touch()
        job.join()
    assert listener.said == [
        "No worker is left: waiting for others; what is done is kept.",
        "The cluster is at work again.",
    ]


@pytest.mark.parametrize("hopeless", ["", "no job is there"])
def test_a_cluster_that_gets_no_other_worker_ends_the_job_in_a_sentence(
    tmp_path, monkeypatch, hopeless
):
    monkeypatch.setattr(worker_watch, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(worker_events, "SILENCE", 1000)  # the machine may be busy
    monkeypatch.setattr(worker_watch, "LEAST_PATIENCE", 0.2)
    monkeypatch.setattr(waiting, "HOPELESS_AFTER", 0.1)
    reasons = iter(["1 job is PENDING", *["no job is there"] * 1000])
    how = Waiting(1000 if hopeless else 0.2, lambda: next(reasons), "ask for less", hopeless)
    listener = Listener()
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        waiting.wait_for_workers(client, listener, how)
        bag = bag_of(range(3), wait_at, str(tmp_path / "gate"))
        threading.Timer(0.5, workers.scale, [0]).start()
        with pytest.raises(CutlineError) as caught:
            list(running.results(bag, client, listener))
    assert re.fullmatch(
        r"All workers are lost, and no other has come in \d+ s \(no job is there\): ask for less,"
        r" and run this again, which goes on from what is done\.",
        str(caught.value),
    )
    assert listener.said == [
        "No worker is left: waiting for others; what is done is kept.",
        "Waiting for workers: 1 job is PENDING.",
        "Waiting for workers: no job is there.",
    ]


def test_workers_are_looked_at_often():
    assert worker_watch.LOOK_EVERY <= 30


def test_a_scheduler_that_dies_ends_the_job_with_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(jobs_at_work.__file__))
    with (
        scheduler(tmp_path) as there,
        connecting.connect(Address(there["address"])) as client,
    ):
        bag = bag_of(range(3), wait_at, str(tmp_path / "gate"))
        running_bag = running.results(bag, client, Silent())
        at_work = client.run_on_scheduler(os.getpid)
        threading.Timer(0.5, os.kill, (at_work, signal.SIGKILL)).start()
        with pytest.raises(CutlineError, match=r"scheduler at tcp://127.* is gone"):
            next(running_bag)


class Said(logging.Handler):
    """Hold what is logged."""

    def __init__(self):
        super().__init__()
        self.said = []

    def emit(self, record):
        self.said.append(record.getMessage())


def test_what_is_sent_to_a_scheduler_that_died_is_lost_without_a_word(tmp_path):
    heard, dask_says = Said(), logging.getLogger("distributed")
    dask_says.addHandler(heard)
    try:
        with (
            scheduler(tmp_path) as there,
            suppress(KeyboardInterrupt),
            connecting.connect(Address(there["address"])) as client,
        ):
            sending = client.scheduler_comm

            def has_gone(connection=sending.comm.stream.socket):
                with suppress(OSError):
                    connection.send(b"anyone?")
                    return False
                return True

            async def send_to_the_dead(scheduler):
                # In the way of the loop, for else it may see the end before it sends.
                os.kill(scheduler, signal.SIGKILL)
                until(has_gone, "the end of the connection")
                sending.send({"op": "heartbeat-client"})

            client.sync(send_to_the_dead, client.run_on_scheduler(os.getpid))
            until(sending.stopped.is_set, "the end of what is sent")
            raise KeyboardInterrupt
    finally:
        dask_says.removeHandler(heard)
    assert heard.said == []


def make_twice(part, context):
    """Make one part in two threads at once, as Dask may on two workers."""
    threads = [
        threading.Thread(target=rows.write_part, args=(part, judged(part, context), context))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def parts_of(context):
    plan = make_plan(context.source, context.files, OPTIONS.planning, None, SILENT)
    return plan.parts


def judged(part, context):
    _, outcomes = rows.judge_sidecars(rows.read_sidecars(part, context), context.options.rules)
    return list(outcomes)


def test_a_part_that_two_workers_make_at_once_is_made_once(tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(30))
    files = TableFiles.of(tmp_path / "x.parquet")
    with files.locked(print) as own:
        context = CompileContext(Folder(source), own, OPTIONS)
        for part in parts_of(context):
            make_twice(part, context)
        assert [*Path(files.workspace.attempts).glob("*/*")] == []
        assert len(os.listdir(files.parts)) == 6
    summary = cutline.compile_table(source, files.table, OPTIONS)
    assert (summary.rows, summary.reused_parts) == (30, 6)


def test_a_worker_that_was_given_up_and_still_writes_changes_nothing(tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(30))
    files = TableFiles.of(tmp_path / "x.parquet")
    with files.locked(print) as own:
        late = CompileContext(Folder(source), own, OPTIONS)
        part = parts_of(late)[2]
        old = judged(part, late)
    write_sidecars(source, {"012.json": numbered(1)["000.json"] | {"image_name": "new.png"}})
    cutline.compile_table(source, files.table, OPTIONS)
    before = tree(tmp_path)
    with pytest.raises(CutlineError, match="This run is over"):
        rows.write_part(part, old, late)
    assert tree(tmp_path) == before
    expected, _ = compile_folder(source)
    assert [tuple(row.values()) for row in pq.read_table(files.table).to_pylist()] == expected


@pytest.mark.parametrize(
    ("error", "told", "said"),
    [
        (OSError("Timed out trying to connect to tcp://a:1"), CutlineError, "gone or has dropped"),
        (OSError(28, "No space left on device"), OSError, "No space left"),
    ],
)
def test_a_scheduler_out_of_reach_is_no_file_that_cannot_be_read(
    tmp_path, monkeypatch, error, told, said
):
    def cannot(*_):
        raise error

    monkeypatch.setattr(running, "show_captions_page", cannot)
    with scheduler(tmp_path) as info, Client(info["address"], set_as_default=False) as client:
        bag = db.from_sequence(["a"]).map(len)
        with pytest.raises(told, match=said):
            list(running.results(bag, client, SILENT))
