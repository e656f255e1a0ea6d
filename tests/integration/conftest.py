import pytest

from cutline.demo.making import make_demo
from cutline.demo.samples import DemoOptions
from processes import Cluster, Processes


@pytest.fixture(scope="module")
def processes():
    """Start processes that are ended with the module."""
    processes = Processes()
    yield processes
    processes.end()


@pytest.fixture
def cluster(tmp_path, processes):
    """A scheduler without workers."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    return Cluster(str(folder), processes)


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """The sidecars of a job of some seconds, and what it must count."""
    root = tmp_path_factory.mktemp("large")
    return root / "data", make_demo(root, DemoOptions(20_000, images=False))
