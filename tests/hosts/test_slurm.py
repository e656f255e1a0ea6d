"""Slurm itself, and what runs in its jobs."""

import sys

import pytest

from datasets_at_home import PARTITION, outcome, same
from processes import PATIENCE, SCRIPTS, until
from slurm import TOOLS, slurm_on
from tools import require


@pytest.fixture(scope="module")
def slurm(hosts, work):
    require(*TOOLS)
    folder = work / "slurm"
    folder.mkdir()
    with slurm_on(hosts["client"], [hosts["third"], hosts["fourth"]], folder) as running:
        yield running


def test_a_step_runs_on_two_nodes(slurm):
    names = slurm.check("srun", "--nodes=2", "--chdir=/", "hostname").split()
    assert sorted(names) == ["node-fourth", "node-third"]


def test_a_job_that_asks_for_what_runs_waits_and_can_be_cancelled(slurm):
    all_of_it = ("--parsable", "--nodes=2", "--exclusive", "--output=/dev/null", "--chdir=/")
    first, second = (
        slurm.check("sbatch", *all_of_it, "--wrap", "sleep 1000").strip() for _ in range(2)
    )

    def states():
        lines = slurm.check("squeue", "-h", "-o", "%i %t %r").splitlines()
        return {line.split()[0]: line.split()[1:] for line in lines}

    try:
        until(lambda: states()[first][0] == "R", "a job that runs")
        until(lambda: states()[second] == ["PD", "Resources"], "a job that waits")
    finally:
        slurm.check("scancel", first, second)
    until(lambda: not states(), "an empty queue")


JOBQUEUE = """
import sys
from dask_jobqueue import SLURMCluster
from distributed import Client
with SLURMCluster(
    cores=4, processes=1, memory="1GiB", job_extra_directives=["--exclusive"],
    interface="eth0", python=sys.executable, local_directory=sys.argv[1],
    log_directory=sys.argv[1], scheduler_options={"interface": "eth0", "dashboard_address": None},
) as cluster, Client(cluster) as client:
    cluster.scale(jobs=3)
    client.wait_for_workers(2, timeout=110)
    print(*sorted(client.run(__import__("socket").gethostname).values()))
"""


def test_dask_jobqueue_gets_a_worker_a_node_and_cancels_the_job_that_waits(slurm, place):
    ran = slurm.run(sys.executable, "-c", JOBQUEUE, place)
    assert ran.stdout == "node-fourth node-third\n", ran.stderr
    until(lambda: not slurm.check("squeue", "-h"), "an empty queue")


def test_a_job_of_one_node_compiles_what_one_machine_compiles(slurm, datasets, place):
    data, table = datasets.copy_loose(place)
    command = f"{SCRIPTS}/cutline compile {data} {table} {' '.join(PARTITION)} --workers 2"
    command += " --dashboard-address none"
    log = place / "job.log"
    job = ("sbatch", "--wait", "--cpus-per-task=2", f"--output={log}", "--wrap", command)
    slurm.check(*job, timeout=2 * PATIENCE)
    assert same(outcome(table, data), datasets.of_loose.without_captions()), log.read_text()


STEPS = """#!/bin/bash
cd {place}
{scripts}/dask scheduler --scheduler-file scheduler.json --no-dashboard --port 0 &
until [ -s scheduler.json ]; do sleep 0.1; done
srun {scripts}/dask worker --scheduler-file {place}/scheduler.json --nworkers 1 --nthreads 1 \
    --no-dashboard --memory-limit 1GiB --local-directory {place} &
{scripts}/python - <<'END'
from socket import gethostname
from distributed import Client
client = Client(scheduler_file="scheduler.json")
client.wait_for_workers(2, timeout=200)
print(*sorted(client.run(gethostname).values()))
END
{scripts}/cutline compile {place}/data {place}/out/t.parquet {options} \
    --scheduler $(grep -o 'tcp://[^"]*' scheduler.json | head -1)
kill $(jobs -p)
"""


def test_steps_of_two_nodes_compile_what_one_machine_compiles(slurm, datasets, place):
    """A scheduler file, a scheduler, and workers by srun, as people start Dask under Slurm."""
    data, table = datasets.copy_loose(place)
    script, log = place / "job.sh", place / "job.log"
    options = " ".join(PARTITION)
    script.write_text(STEPS.format(place=place, scripts=SCRIPTS, options=options))
    job = ("--nodes=2", "--ntasks-per-node=1", "--time=10", f"--output={log}")
    # Its steps are killed, so its status says nothing.
    slurm.run("sbatch", "--wait", *job, script, timeout=2 * PATIENCE)
    said = log.read_text()
    assert "node-fourth node-third" in said
    assert same(outcome(table, data), datasets.of_loose.without_captions()), said
