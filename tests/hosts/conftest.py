"""What the tests on many hosts share: `make test-cluster`, and `make test-cluster-long`."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

import cutline
from datasets_at_home import at_home, make_datasets
from hosts import TOOLS, hosts_on_a_switch
from nodes import dask_on_hosts
from tools import require, require_namespaces

HERE = Path(__file__).parent
collect_ignore = ["slow_folder.py"]  # a program; it needs FUSE


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("cluster_long") is None:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def work():
    """Yield a folder that every user can look into, which pytest's own are not; it is in memory."""
    require(*TOOLS)
    require_namespaces()
    # Who is told to end takes down what is up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = tempfile.mkdtemp(prefix="cutline-hosts-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "hosts", folder], check=True)
    try:
        yield Path(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        os.rmdir(folder)


@pytest.fixture(scope="session")
def datasets(work):
    """Yield the datasets, and what was made of them on this machine alone."""
    return make_datasets(work / "home")


@pytest.fixture(scope="session")
def many(work):
    """Yield 2,000 sidecars, and the table of them that one machine makes."""
    folder, table = work / "many", work / "many.parquet"
    cutline.make_demo(folder, cutline.DemoOptions(2000, images=False))
    with at_home():
        cutline.compile_table(folder / "data", table, cutline.CompileOptions(partition_size=2))
    return folder / "data", table.read_bytes()


@pytest.fixture(scope="session")
def hosts(work):
    """Yield six hosts; a test leaves them as they were."""
    with hosts_on_a_switch(("scheduler", "good", "odd", "third", "fourth", "client"), work) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(hosts, work, request):
    """Yield a scheduler and a worker on the host `good`, which sees what the client sees."""
    folder = work / f"dask.{request.module.__name__}"
    folder.mkdir()
    with dask_on_hosts(hosts, folder, ["good"]) as running:
        yield running


@pytest.fixture
def loose(datasets, place):
    """Yield a copy of the loose dataset, and where its table goes."""
    return datasets.copy_loose(place)


@pytest.fixture
def place(work):
    """Yield an empty folder that all hosts share."""
    folder = work / "place"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
