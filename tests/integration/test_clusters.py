"""Jobs on a scheduler and on workers that somebody else has started."""

import json
import os
import signal
import socket
import subprocess
from importlib.metadata import version

import dask
import pytest
from distributed import Client

from cutline import Address, CutlineError, compile_table, connect
from cutline.store.table_files import TableFiles
from processes import PACKAGES, PATIENCE, run, until
from sidecars import numbered, write_sidecars

pytestmark = pytest.mark.commands


@pytest.fixture
def table(demo_root, tmp_path):
    """The table of an earlier run."""
    with dask.config.set(scheduler="sync"):
        compile_table(str(demo_root[0] / "data"), str(tmp_path / "t.parquet"))
    return tmp_path / "t.parquet"


def wait_for_workers(cluster, count):
    """Wait until workers have joined, and give their addresses by name."""
    with Client(cluster.address, timeout=PATIENCE, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=PATIENCE)
        info = client.scheduler_info(n_workers=-1)["workers"]
        return {worker["name"]: address for address, worker in info.items()}


def test_a_job_uses_the_scheduler_that_runs_and_leaves_it_running(
    cluster, demo_root, table, tmp_path
):
    workers = [cluster.add_worker(name) for name in ("one", "two")]
    wait_for_workers(cluster, 2)
    data, expected = demo_root[0] / "data", demo_root[1]
    (tmp_path / "c.yaml").write_text(f"kind: address\naddress: {cluster.address}\n")
    for name, where in {
        "typed": ("--scheduler", cluster.address),
        "file": ("--cluster", tmp_path / "c.yaml"),
    }.items():
        made = tmp_path / f"{name}.parquet"
        size = ("--partition-size", "100")
        result = run("cutline", "compile", data, made, *where, *size, "--json", "--quiet")
        assert (result.returncode, result.stderr) == (0, "")
        assert json.loads(result.stdout)["rows"] == expected.rows
        assert made.read_bytes() == table.read_bytes()
    assert [worker.poll() for worker in workers] == [None, None]
    assert set(wait_for_workers(cluster, 2)) == {"one", "two"}


def test_a_cluster_file_of_this_machine_gives_the_same_table(demo_root, table, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "kind: local\nworkers: 2\nthreads_per_worker: 2\n"
        "memory_limit: 1GiB\ndashboard_address: none\n"
    )
    made = tmp_path / "made.parquet"
    result = run(
        *("cutline", "compile", demo_root[0] / "data", made, "--cluster", tmp_path / "c.yaml"),
        *("--partition-size", "50"),
    )
    assert result.returncode == 0
    assert "dashboard" not in result.stderr
    assert made.read_bytes() == table.read_bytes()


# Workers that would write something else


@pytest.fixture(scope="session")
def packages_without_cutline(tmp_path_factory):
    """Every package of this environment but one."""
    folder = tmp_path_factory.mktemp("packages")
    for name in os.listdir(PACKAGES):
        if "cutline" not in name:
            os.symlink(os.path.join(PACKAGES, name), folder / name)
    return str(folder)


@pytest.fixture
def packages_with(tmp_path):
    """A folder that says of a package that it has another version."""

    def make(package, version):
        folder = tmp_path / f"another {package}" / f"{package}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        return str(folder.parent)

    return make


def test_a_worker_that_lacks_cutline_is_refused_and_the_table_left_as_it_was(
    cluster, table, demo_root, packages_without_cutline
):
    cluster.add_worker("bare", python=["-S"], environment={"PYTHONPATH": packages_without_cutline})
    wait_for_workers(cluster, 1)
    before = table.read_bytes(), os.stat(table).st_mtime_ns
    data = demo_root[0] / "data"
    where = ("--scheduler", cluster.address, "--json", "--quiet")
    result = run("cutline", "compile", data, table, *where)
    assert (result.returncode, result.stdout) == (1, "")
    here = version("cutline")
    assert result.stderr == (
        f"cutline: The worker bare on {socket.gethostname()} lacks cutline, and this is {here}:"
        f" install cutline=={here} there.\n"
    )
    assert (table.read_bytes(), os.stat(table).st_mtime_ns) == before


@pytest.mark.parametrize("package", ["cutline", "pyarrow", "orjson", "fsspec"])
def test_a_worker_with_another_version_is_refused(cluster, packages_with, package, tmp_path):
    cluster.add_worker("odd", environment={"PYTHONPATH": packages_with(package, "0.0.7")})
    wait_for_workers(cluster, 1)
    write_sidecars(tmp_path / "data", numbered(3))
    with pytest.raises(CutlineError) as caught, connect(Address(cluster.address)) as client:
        compile_table(tmp_path / "data", tmp_path / "t.parquet", client=client)
    here = version(package)
    assert str(caught.value) == (
        f"The worker odd on {socket.gethostname()} has version 0.0.7 of {package}, and this is"
        f" {here}: install {package}=={here} there."
    )


# What happens to others


def test_a_job_that_is_stopped_leaves_the_cluster_to_others(cluster, processes, large, tmp_path):
    cluster.add_worker("one")
    wait_for_workers(cluster, 1)
    outputs = TableFiles.of(tmp_path / "t.parquet")
    typed = (
        *("compile", large[0], outputs.table, "--scheduler", cluster.address),
        *("--partition-size", "200", "--json", "--quiet"),
    )
    process = processes.start(
        "cutline", *typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: os.path.isdir(outputs.parts) and os.listdir(outputs.parts), "a part")
    os.kill(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout, len(stderr.splitlines())) == (130, "", 1)
    assert not os.path.exists(outputs.workspace.lock)

    write_sidecars(tmp_path / "another", numbered(3))
    where = ("--scheduler", cluster.address, "--quiet", "--json")
    another = run("cutline", "compile", tmp_path / "another", tmp_path / "a.parquet", *where)
    assert json.loads(another.stdout)["rows"] == 3
    result = run("cutline", *typed)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["rows"] == large[1].rows
