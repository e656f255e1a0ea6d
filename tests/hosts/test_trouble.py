"""What goes wrong in mid-run: links, nodes, workers and schedulers. The table is the same after it.

A part is two sidecars here, so that there is a middle.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import cutline
from datasets_at_home import PARTITION, SMALL_PARTS, outcome, same
from hosts import kill
from nodes import DaskOnHosts, dask_on_hosts
from processes import PATIENCE, until

TOLD_WITHIN = 15 * PATIENCE / 60
"""Seconds: twice the 15 in which a silent worker is told, since the machine may be busy."""


@dataclass(repr=False)
class Run:
    """A compile that runs on the client's host while something happens."""

    cluster: DaskOnHosts
    many: tuple
    folder: Path

    def __post_init__(self):
        self.table = self.folder / "t.parquet"
        self.log = self.folder / "run.log"
        self.process = None

    @property
    def command(self):
        return ("compile", self.many[0], self.table, *SMALL_PARTS)

    def start(self):
        with open(self.log, "w") as file:
            self.process = self.cluster.start_cutline(*self.command, stdout=file, stderr=file)
        self.reach(50)

    def parts(self):
        folder = self.folder / "t.parts"
        return len(list(folder.iterdir())) if folder.exists() else 0

    def reach(self, parts):
        """Wait for the middle: some parts are made, and it has not ended."""
        until(lambda: self.parts() >= parts or self.process.poll() is not None, f"{parts} parts")
        assert self.process.poll() is None, f"it has ended too early:\n{self.log.read_text()}"

    def tells(self, *words, seconds=PATIENCE):
        """Wait for a line with these words."""
        begin = time.monotonic()

        def told():
            lines = self.log.read_text().splitlines()
            return any(all(word in line for word in words) for line in lines)

        try:
            until(told, f"a line with {words}")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.log.read_text()}") from None
        took = time.monotonic() - begin
        assert took < seconds, f"told after {took:.0f} s:\n{self.log.read_text()}"

    def end(self, seconds=3 * PATIENCE):
        """Wait for its end, and check that the table is the one of a quiet run."""
        status = self.process.wait(seconds)
        said = self.log.read_text()
        assert status == 0, said
        assert "Traceback" not in said, said
        self.check_table()

    def check_table(self):
        assert same(self.table.read_bytes(), self.many[1]), "the table is another"

    def repeat(self):
        """Run it once more, undisturbed."""
        result = self.cluster.cutline(*self.command)
        assert result.returncode == 0, result.stderr
        self.check_table()


@pytest.fixture
def run(hosts, many, place):
    """Yield a compile in the middle, on workers on the hosts `good` and `odd`."""
    folder = place / "dask"
    folder.mkdir()
    with dask_on_hosts(hosts, folder, ["good", "odd"]) as cluster:
        run = Run(cluster, many, place)
        try:
            run.start()
            yield run
        finally:
            kill(run.process)
            # Links are up again before the next test, whatever has become of this one.
            for host in (hosts["odd"], hosts["client"]):
                host.plug_in()
                host.rejoin()


def worker_on_odd(run):
    return next(node for node in run.cluster.nodes if node.name == "worker-odd")


def test_a_worker_that_is_killed_with_its_nanny_loses_nothing(run):
    worker_on_odd(run).kill()
    run.end()


def test_a_worker_that_its_nanny_starts_again_loses_nothing(run):
    worker_on_odd(run).kill_worker()
    run.end()


def test_a_worker_that_joins_in_mid_run_helps(run):
    run.cluster.start_worker("third")
    run.end()


def test_the_link_of_a_worker_may_be_down_for_a_while(run, hosts):
    hosts["odd"].unplug()
    time.sleep(8)
    hosts["odd"].plug_in()
    run.end()


def test_the_link_of_the_client_may_be_down_for_a_while(run, hosts):
    hosts["client"].unplug()
    time.sleep(8)
    hosts["client"].plug_in()
    run.end()


@pytest.mark.parametrize("away", ["cut", "unplug"])
def test_a_node_that_is_cut_off_for_good_is_told_and_loses_nothing(run, hosts, away):
    """Its packets vanish and it notices nothing, or its own link goes down and stays so."""
    getattr(hosts["odd"], away)()
    run.tells("worker-odd", "node-odd", "is silent", seconds=TOLD_WITHIN)
    run.end()
    assert "lost: what it was doing is done again by others" in run.log.read_text()


def test_a_scheduler_that_is_gone_is_told_and_the_next_run_ends_the_work(run):
    scheduler, good, odd = run.cluster.nodes
    scheduler.kill()
    run.tells("cutline:", "scheduler")
    assert run.process.wait(PATIENCE) == 1
    for node in (good, odd):
        node.kill()
    run.cluster.start_scheduler()
    run.cluster.start_worker("good")
    run.repeat()


# A worker with another cutline


def another_version(folder):
    """Make a cutline of another version and the same code, and return how to run it."""
    (folder / "cutline-0.0.1.dist-info").mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: cutline\nVersion: 0.0.1\n"
    (folder / "cutline-0.0.1.dist-info" / "METADATA").write_text(metadata)
    shutil.copytree(Path(cutline.__file__).parent, folder / "cutline")
    return {**os.environ, "PYTHONPATH": str(folder)}


def other_code(folder):
    """Make a cutline of the same version that cleans texts in another way."""
    shutil.copytree(Path(cutline.__file__).parent, folder / "cutline")
    (module,) = [
        path for path in folder.rglob("*.py") if "\ndef clean(text: str)" in path.read_text()
    ]
    other = "\n\n_clean = clean\n\n\ndef clean(text: str) -> str:\n    return _clean(text) + '!'\n"
    module.write_text(module.read_text() + other)
    return {**os.environ, "PYTHONPATH": str(folder)}


CUTLINES = pytest.mark.parametrize("make", [another_version, other_code])


@CUTLINES
def test_a_worker_with_another_cutline_makes_no_part(hosts, datasets, place, make):
    data, table = datasets.copy_loose(place)
    environment = make(place / "cutline")
    (place / "dask").mkdir()
    with dask_on_hosts(hosts, place / "dask", ["good"]) as cluster:
        cluster.start_worker("odd", env=environment)
        result = cluster.cutline("compile", data, table, *PARTITION)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert same(outcome(table, data), datasets.of_loose.without_captions())
    assert any("worker-odd" in line and "node-odd" in line for line in said.splitlines()), said


@CUTLINES
def test_a_late_worker_with_another_cutline_makes_no_part(run, place, make):
    run.cluster.start_worker("third", env=make(place / "cutline"))
    run.tells("worker-third", "node-third")
    run.end()
    run.repeat()


@CUTLINES
def test_a_worker_with_another_cutline_alone_makes_nothing(hosts, datasets, place, make):
    data, table = datasets.copy_loose(place)
    environment = make(place / "cutline")
    (place / "dask").mkdir()
    with dask_on_hosts(hosts, place / "dask") as cluster:
        cluster.start_worker("odd", env=environment)
        result = cluster.cutline("compile", data, table, *PARTITION)
    said = result.stderr
    assert result.returncode == 1, said
    assert any("worker-odd" in line and "node-odd" in line for line in said.splitlines()), said
    assert not table.exists()
