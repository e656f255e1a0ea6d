"""The kinds of a cluster.yaml on Slurm itself, and through an SSH server."""

import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from datasets_at_home import PARTITION, outcome, same
from processes import SCRIPTS, until
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
        "patience": 100,
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
def full(slurm):
    """Fill the nodes, so that whatever comes waits."""
    options = ("--parsable", "--nodes=2", "--exclusive", "--output=/dev/null", "--chdir=/")
    job = slurm.check("sbatch", *options, "--wrap", "sleep 1000").strip()
    until(lambda: slurm.check("squeue", "-h", "-o", "%t") == "R\n", "a job that runs")
    yield
    slurm.run("scancel", job)
    check_queue_is_empty(slurm)


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
    with open(log, "w") as file:
        command = compiling(data, table, *slurm_file(place, jobs=2))
        process = slurm.head.start(*command, env=slurm.environment, stderr=file, stdout=file)
    until(lambda: "2 jobs are PENDING (" in log.read_text(), "a line that says what waits")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, log.read_text()
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
    path = f"PATH={SCRIPTS}:{os.environ['PATH']}"
    job = ("sbatch", "--wait", "--cpus-per-task=2", "--time=3", f"--output={log}", SBATCH)
    slurm.run("env", path, *job, place, *PARTITION, where={"folder": str(place)})
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
        ran = hosts["client"].run(*compiling(data, table, "--cluster", path))
    assert ran.returncode == 0, ran.stderr
    assert same(outcome(table, data), datasets.of_loose.without_captions())
