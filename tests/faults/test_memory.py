"""A worker that is paused for want of memory: really, by Dask's own monitor."""

import subprocess
import sys
import threading
import time

import dask
import dask.bag as db
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

from cutline.cluster import running
from jobs_at_work import Listener, wait_at
from oracle import compile_folder
from sidecars import numbered, write_sidecars

LIMIT = 600_000_000  # bytes of the worker, which takes about 150 MB itself
HELD = 400_000_000
PAUSED = "The cluster has paused all of its workers, which are short of memory: waiting."
PROMISED = 30  # seconds until that is said

MEMORY = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": 0.6,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.monitor-interval": "50ms",
}


@pytest.fixture
def client():
    """A client of a cluster of one worker."""
    with (
        dask.config.set(MEMORY),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            memory_limit=LIMIT,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def hold(dask_worker):
    """Hold memory that is no result of a task, so that nothing but the pause can be done."""
    dask_worker.held = b"x" * HELD


def give_back(dask_worker):
    del dask_worker.held


def status(client):
    (worker,) = client.run_on_scheduler(
        lambda dask_scheduler: [
            worker.status.name for worker in dask_scheduler.workers.values()
        ]
    )  # fmt: skip
    return worker


def wait_for(condition, seconds=PROMISED):
    """Wait until something is so, and give the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_command_on_a_paused_cluster_says_so_and_ends_right_when_memory_is_back(client, tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(30))
    client.run(hold)
    wait_for(lambda: status(client) == "paused")
    table, said = tmp_path / "x.parquet", tmp_path / "said"
    command = [sys.executable, "-m", "cutline", "compile", source, str(table)]
    command += ["--scheduler", client.scheduler.address, "--partition-size=5"]
    with said.open("w") as file, subprocess.Popen(command, stderr=file) as job:
        try:
            took = wait_for(lambda: PAUSED in said.read_text())
            print(f"said {took:.1f} s after the start of the command")
            assert job.poll() is None
            assert not table.exists()
            client.run(give_back)
            assert job.wait(timeout=60) == 0, said.read_text()
        finally:
            job.kill()
    rows, _ = compile_folder(source)
    assert [tuple(row.values()) for row in pq.read_table(table).to_pylist()] == rows
    assert said.read_text().count(PAUSED) == 1


def test_a_cluster_that_is_paused_in_the_middle_is_said_and_so_is_its_end(client, tmp_path):
    listener, got = Listener(), []
    bag = db.from_sequence(range(3), partition_size=1).map_partitions(wait_at, f"{tmp_path}/gate")
    job = threading.Thread(target=lambda: got.extend(running.results(bag, client, listener)))
    job.start()
    wait_for(lambda: any(client.processing().values()))
    client.run(hold)
    took = wait_for(lambda: listener.said)
    print(f"said {took:.1f} s after memory was short")
    client.run(give_back)
    wait_for(lambda: len(listener.said) == 2)
    (tmp_path / "gate").touch()
    job.join()
    assert listener.said == [PAUSED, "The cluster is at work again."]
    assert sorted(got) == [0, 1, 2]
