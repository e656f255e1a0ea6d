"""Runs that are stopped, killed or started twice, as processes and with real signals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sidecars import numbered, write_sidecars

pytestmark = pytest.mark.commands

OPTIONS = ["--partition-size=1", "--workers=1", "--dashboard-address=none"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """As many parts as sidecars, which takes a while."""
    return write_sidecars(tmp_path_factory.mktemp("many") / "data", numbered(300))


def start(source, table, *options):
    """Start a compile in a process group of its own, as a terminal does."""
    command = [sys.executable, "-m", "cutline", "compile", source, str(table), *OPTIONS, *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_parts(job, folder, count=3):
    """Wait until a run is in its middle."""
    while len(os.listdir(folder) if os.path.isdir(folder) else ()) < count:
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.01)


def finish(source, table):
    with start(source, table, "--json") as job:
        out, said = job.communicate()
    assert job.returncode == 0, said
    assert pq.read_metadata(table).num_rows == 300
    return json.loads(out), said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_ctrl_c_stops_in_order_and_says_how_to_go_on(source, tmp_path, number):
    table = tmp_path / "x.parquet"
    with start(source, table, "--quiet") as job:
        wait_for_parts(job, tmp_path / "x.parts")
        os.killpg(job.pid, number)  # to every process, as a terminal does
        said = job.communicate()[1]
    assert job.returncode == 130
    command = f"compile {source} {table} {' '.join(OPTIONS)} --quiet"
    assert said.startswith("cutline: Stopped; what is done is kept, go on with `")
    assert said.endswith(f" {command}`.\n")
    assert said.count("\n") == 1
    assert not table.exists()
    assert sorted(os.listdir(tmp_path / "x.cutline")) == ["plan.parquet", "rejects"]
    done = len(os.listdir(tmp_path / "x.parts"))
    assert finish(source, table)[0]["reused_parts"] == done


def test_the_second_ctrl_c_ends_at_once(source, tmp_path):
    table = tmp_path / "x.parquet"
    with start(source, table, "--quiet") as job:
        wait_for_parts(job, tmp_path / "x.parts")
        os.killpg(job.pid, signal.SIGINT)
        os.killpg(job.pid, signal.SIGTERM)
        job.communicate()
    assert job.returncode == 130
    finish(source, table)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_still_loading_stops_without_a_traceback(source, tmp_path, number):
    with start(source, tmp_path / "x.parquet") as job:
        children = f"/proc/{job.pid}/task/{job.pid}/children"
        while not Path(children).read_text():  # the server that workers will be forked from
            time.sleep(0.001)
        os.killpg(job.pid, number)
        said = job.communicate()[1]
    assert job.returncode == 130
    assert "Traceback" not in said
    assert os.listdir(tmp_path) == []


def test_a_ctrl_c_that_a_script_in_the_background_ignores_stops_nothing(source, tmp_path):
    table = tmp_path / "x.parquet"
    command = [sys.executable, "-m", "cutline", "compile", source, str(table), *OPTIONS]
    with subprocess.Popen(["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]) as job:
        while not (tmp_path / "x.parts").exists():
            assert job.poll() is None
            time.sleep(0.01)
        job.send_signal(signal.SIGINT)
    assert job.returncode == 0
    assert pq.read_metadata(table).num_rows == 300


def test_a_run_that_was_killed_leaves_a_lock_that_the_next_one_takes_over(source, tmp_path):
    table = tmp_path / "x.parquet"
    with start(source, table, "--quiet") as job:
        wait_for_parts(job, tmp_path / "x.parts")
        job.kill()
        job.communicate()
    assert os.path.exists(tmp_path / "x.cutline" / "lock")
    summary, said = finish(source, table)
    assert summary["reused_parts"] >= 3
    assert f"Took the lock over from process {job.pid} on " in said
    own = ["merged", "plan.parquet", "rejects", "timings"]
    assert sorted(os.listdir(tmp_path / "x.cutline")) == own


@pytest.mark.parametrize("dead", [False, True], ids=["free", "of-a-dead-run"])
def test_of_two_runs_that_start_together_one_works_and_the_other_names_it(source, tmp_path, dead):
    table = tmp_path / "x.parquet"
    if dead:
        with start(source, table, "--quiet") as job:
            wait_for_parts(job, tmp_path / "x.parts", 1)
            job.kill()
            job.communicate()
    jobs = [start(source, table, "--quiet") for _ in range(2)]
    began = time.monotonic()
    while all(job.poll() is None for job in jobs):
        time.sleep(0.01)
    waited = time.monotonic() - began
    refused, worker = sorted(jobs, key=lambda job: job.poll() is None)
    said = refused.communicate()[1]
    assert refused.returncode == 1
    assert said.startswith("cutline: Another run ")
    assert f"process {worker.pid} on " in said or "has just begun" in said
    assert said.count("\n") == 1
    assert worker.wait() == 0, worker.communicate()[1]
    worker.communicate()
    assert waited < 5 or os.getloadavg()[0] > os.cpu_count()  # which it is on an idle machine
    assert pq.read_metadata(table).num_rows == 300


def test_of_two_runs_on_the_captions_of_a_folder_one_works(source, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    command = [sys.executable, "-m", "cutline", "captions", source, str(data), *OPTIONS, "--quiet"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        while not (data / ".cutline" / "lock").exists():
            assert first.poll() is None
            time.sleep(0.01)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (second.returncode, f"process {first.pid} on " in second.stderr) == (1, True)
        first.kill()
        first.communicate()
    assert subprocess.run(command, check=False).returncode == 0
    written = sorted(name for name in os.listdir(data) if name != ".cutline")
    assert written == [f"{number:03}.txt" for number in range(300)]


DEAF = """
import os, signal, sys, time
from cutline.process import stoppable

class Deaf:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)

try:
    with stoppable():
        deaf = Deaf()
        del deaf
        for _ in range(600):
            time.sleep(0.1)
        print("never stopped")
except KeyboardInterrupt:
    print("stopped")
    if "again" in sys.argv:
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)
"""


@pytest.mark.parametrize(("again", "status"), [((), 0), (("again",), 130)])
def test_a_ctrl_c_that_python_ignores_is_heard_all_the_same(again, status):
    done = subprocess.run(
        [sys.executable, "-u", "-c", DEAF, *again], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("stopped\n", "", status)


@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2>&1 | true", "2>&- <&- >&-"])
def test_whoever_does_not_listen_stops_no_job(tmp_path, stream):
    source = write_sidecars(tmp_path / "data", numbered(5))
    command = f"{sys.executable} -m cutline compile {source} {tmp_path}/x.parquet {stream}"
    script = f"set -o pipefail; {command} --dashboard-address=none --workers=1"
    if "|" in stream:
        script = f"set -o pipefail; {command.replace('2>&1', '--workers=1 2>&1')}"
    # With PYTHONUNBUFFERED nothing is left for the end, at which Python may complain.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    assert subprocess.run(["bash", "-c", script], env=buffered, check=False).returncode == 0
    assert pq.read_metadata(tmp_path / "x.parquet").num_rows == 5


def test_a_reader_that_has_enough_is_no_error_and_a_full_disk_is_one_sentence(tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(5))
    command = f"{sys.executable} -m cutline compile {source} {tmp_path}/x.parquet --json --quiet"
    script = f"set -o pipefail; {command} --workers=1 --dashboard-address=none"
    for end, status, said in (
        ("| true", 0, ""),
        ("> /dev/full", 1, "cutline: The result cannot be written to standard output: "),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{script} {end}"], stderr=subprocess.PIPE, text=True, check=False
        )
        assert done.returncode == status
        assert done.stderr.startswith(said)
        assert len(done.stderr.splitlines()) == bool(said)


def test_a_folder_that_is_gone_is_one_sentence(tmp_path):
    script = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir ../gone && "
    script += f"{sys.executable} -P -m cutline compile /data /x.parquet"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "cutline: The folder that this is run in is gone: go to another one.\n"
