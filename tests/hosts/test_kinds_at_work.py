"""The kinds of a cluster.yaml on Slurm itself, and through an SSH server."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from datasets_at_home import PARTITION, SMALL_PARTS, outcome, same
from hosts import kill
from processes import PATIENCE, SCRIPTS, until
from slurm import TOOLS, slurm_on
from sshd import ssh_server
from tools import require

SBATCH = Path(__file__).parents[2] / "jobs" / "dalle3.sbatch"


@pytest.fixture(scope="module")
def slurm(hosts, work):
    require(*TOOLS)
    folder = work / "slurm.kinds"
    folder.mkdir()
    with slurm_on(hosts["client"], [hosts["third"], hosts["fourth"]], folder) as running:
        yield running


def slurm_file(place, **keys):
    """Write a cluster.yaml whose jobs have a node each."""
    body = {
        "kind": "slurm",
        "cores": 4,
        "processes": 1,
        "memory": "1GiB",
        "walltime": "00:10:00",
        "job_extra_directives": ["--exclusive"],
        "interface": "eth0",
        "python": sys.executable,
        "log_directory": str(place),
        "local_directory": str(place),
        "insecure": True,
        "dashboard_address": "none",
        "patience": 1000,
        **keys,
    }
    path = place / "cluster.yaml"
    path.write_text(yaml.safe_dump(body))
    return ("--cluster", path)


def compiling(data, table, *options):
    return (f"{SCRIPTS}/cutline", "compile", data, table, *PARTITION, *options)


def check_queue_is_empty(slurm):
    until(lambda: not slurm.check("squeue", "-h"), "an empty queue")


def test_two_jobs_that_run_and_one_that_waits_compile_what_one_machine_compiles(
    slurm, datasets, place
):
    data, table = datasets.copy_loose(place)
    ran = slurm.run(*compiling(data, table, *slurm_file(place, jobs=3)))
    assert ran.returncode == 0, ran.stderr
    assert same(outcome(table, data), datasets.of_loose.without_captions())
    assert "Waiting for workers: " in ran.stderr
    check_queue_is_empty(slurm)


def test_a_cluster_that_scales_from_nothing_compiles_what_one_machine_compiles(
    slurm, datasets, place
):
    data, table = datasets.copy_loose(place)
    ran = slurm.run(*compiling(data, table, *slurm_file(place, maximum=2)))
    assert ran.returncode == 0, ran.stderr
    assert same(outcome(table, data), datasets.of_loose.without_captions())
    check_queue_is_empty(slurm)


@pytest.fixture
def full(slurm, request):
    """Fill both nodes, or as many as are asked for, and yield the job that does."""
    nodes = getattr(request, "param", 2)
    options = ("--parsable", f"--nodes={nodes}", "--exclusive", "--output=/dev/null", "--chdir=/")
    job = slurm.check("sbatch", *options, "--wrap", "sleep 1000").strip()
    until(lambda: slurm.check("squeue", "-h", "-o", "%t") == "R\n", "a job that runs")
    yield job
    slurm.run("scancel", job)
    check_queue_is_empty(slurm)


@contextmanager
def started(slurm, log, *command):
    """Start a command on the head, and yield its process; what it tells is in `log`."""
    with open(log, "w") as file:
        process = slurm.head.start(*command, env=slurm.environment, stderr=file, stdout=file)
    try:
        yield process
    finally:
        # Asked to end first, so that it cancels its jobs.
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        kill(process)


def status_of(process, log, seconds=PATIENCE):
    """Wait for the end of a command, and return its status; what it has told is told if none."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired as expired:
        raise AssertionError(f"no end after {seconds} s:\n{log.read_text()}") from expired


def test_a_first_worker_that_comes_late_is_waited_for(slurm, full, datasets, place):
    data, table = datasets.copy_loose(place)
    log = place / "log"
    command = compiling(data, table, *slurm_file(place, jobs=1))
    with started(slurm, log, *command) as process:
        until(lambda: "1 job is PENDING (" in log.read_text(), "a line that says what waits")
        time.sleep(25)
        slurm.check("scancel", full)
        assert status_of(process, log) == 0, log.read_text()
    assert same(outcome(table, data), datasets.of_loose.without_captions())


@pytest.mark.parametrize("full", [1], indirect=True, ids=["one node is taken"])
def test_a_job_that_is_cancelled_in_mid_run_is_told_and_the_next_one_goes_on(
    slurm, full, many, place
):
    """All workers are lost; the job that waits is held, so that the run has to wait for it."""
    (data, rows), table, log = many, place / "t.parquet", place / "log"
    command = (f"{SCRIPTS}/cutline", "compile", data, table, *SMALL_PARTS)

    def ours(state):
        listed = slurm.check("squeue", "-h", "-t", state, "-o", "%i %j").splitlines()
        return [line.split()[0] for line in listed if " cutline-" in line]

    with started(slurm, log, *command, *slurm_file(place, jobs=2)) as process:
        parts = place / "t.parts"
        until(lambda: parts.exists() and len(list(parts.iterdir())) > 50, "the first parts")
        (at_work,), (waits,) = ours("R"), ours("PD")
        slurm.check("scontrol", "hold", waits)
        slurm.check("scancel", at_work)
        until(lambda: "1 job is PENDING (JobHeld" in log.read_text(), "what is waited for")
        slurm.check("scontrol", "release", waits)
        # One worker makes nearly all of the parts.
        assert status_of(process, log, 3 * PATIENCE) == 0, log.read_text()
    said = log.read_text()
    assert "No worker is left: waiting for others; what is done is kept." in said
    assert "The cluster is at work again." in said
    assert same(table.read_bytes(), rows)
    assert ours("R") == ours("PD") == []


@pytest.mark.cluster_long  # a minute passes in which a job may come
def test_a_run_whose_jobs_are_all_cancelled_ends_in_a_sentence(slurm, many, place):
    (data, _), table, log = many, place / "t.parquet", place / "log"
    command = (f"{SCRIPTS}/cutline", "compile", data, table, *SMALL_PARTS)
    with started(slurm, log, *command, *slurm_file(place, jobs=1)) as process:
        parts = place / "t.parts"
        until(lambda: parts.exists() and len(list(parts.iterdir())) > 50, "the first parts")
        slurm.check("scancel", "--user=root")
        assert status_of(process, log, 2 * PATIENCE) == 1, log.read_text()
    last = log.read_text().splitlines()[-1]
    lost = (
        r"cutline: All workers are lost, and no other has come in \d+ s \(Slurm has no job of this"
    )
    assert re.match(lost, last), last


def test_a_queue_that_outlasts_patience_is_told_and_its_jobs_are_cancelled(
    slurm, full, datasets, place
):
    data, table = datasets.copy_loose(place)
    ran = slurm.run(*compiling(data, table, *slurm_file(place, jobs=1, patience=8)))
    assert ran.returncode == 1
    assert "cutline: No worker has come in 8 s (1 job is PENDING (" in ran.stderr
    until(lambda: len(slurm.check("squeue", "-h").splitlines()) == 1, "no job of ours")


def test_ctrl_c_ends_the_jobs_that_are_queued(slurm, full, datasets, place):
    data, table = datasets.copy_loose(place)
    log = place / "log"
    command = compiling(data, table, *slurm_file(place, jobs=2))
    with started(slurm, log, *command) as process:
        # Slurm may have one reason for both or one for each.
        until(lambda: "PENDING (" in log.read_text(), "a line that says what waits")
        until(lambda: len(slurm.check("squeue", "-h").splitlines()) == 3, "both jobs")
        process.send_signal(signal.SIGINT)
        assert status_of(process, log) == 130, log.read_text()
    assert "cutline: Stopped; " in log.read_text()
    until(lambda: len(slurm.check("squeue", "-h").splitlines()) == 1, "no job of ours")


def test_what_slurm_refuses_is_told_at_once(slurm, datasets, place):
    data, table = datasets.copy_loose(place)
    ran = slurm.run(*compiling(data, table, *slurm_file(place, jobs=1, queue="nowhere")))
    assert ran.returncode == 2
    assert "cutline: Slurm refuses such a job (" in ran.stderr
    assert "invalid partition" in ran.stderr


def test_the_sbatch_file_on_two_nodes_makes_what_one_machine_makes(slurm, datasets, place):
    datasets.copy_root(place)
    log = place / "job.log"
    path, where = f"PATH={SCRIPTS}:{os.environ['PATH']}", {"folder": str(place)}
    job = ("sbatch", "--wait", "--cpus-per-task=2", "--time=10", f"--output={log}", SBATCH)
    slurm.run("env", path, *job, place, *PARTITION, where=where, timeout=3 * PATIENCE)
    said = log.read_text()
    assert outcome(place / "place.parquet", place / "data") == datasets.of_root, said
    assert "ssh -N -L 8787:127.0.0.1:8787 node-" in said
    assert not list(place.glob(".cutline-scheduler.*"))
    check_queue_is_empty(slurm)


def test_hosts_reached_by_ssh_compile_what_one_machine_compiles(hosts, datasets, place):
    require("sshd", "ssh-keygen")
    data, table = datasets.copy_loose(place)
    body = {
        "kind": "ssh",
        "hosts": ["127.0.0.1"] * 3,
        "connect_options": {
            "port": 2222,
            "known_hosts": None,
            "username": "root",
            "client_keys": [str(place / "key")],
            "env": {"PYTHONPATH": "${PYTHONPATH}"},
        },
        "remote_python": sys.executable,
        "dashboard_address": "127.0.0.1:0",
    }
    path = place / "cluster.yaml"
    path.write_text(yaml.safe_dump(body))
    with ssh_server(hosts["client"], place, address="127.0.0.1"):
        environment = {"PYTHONPATH": ""} | os.environ
        ran = hosts["client"].run(*compiling(data, table, "--cluster", path), env=environment)
    assert ran.returncode == 0, ran.stderr
    assert same(outcome(table, data), datasets.of_loose.without_captions())
