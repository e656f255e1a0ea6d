"""What several modules of the tests share: a cluster of processes, and small datasets."""

import signal

import pytest
from distributed import Client, LocalCluster
from hypothesis import settings

from cutline import DemoOptions, make_demo

# No deadline: the machine may be busy. What fails once must fail again.
settings.register_profile("cutline", deadline=None, derandomize=True)
settings.load_profile("cutline")

# A shell that starts the tests in the background has it ignored, and so have the jobs they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def client():
    """A cluster of two worker processes, which every test may use."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def address(client):
    """Where the scheduler of that cluster is."""
    return client.scheduler.address


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory):
    """A dataset with every reject reason, sidecars only: its folder, and what a run must count.

    It is shared: write somewhere else.
    """
    folder = tmp_path_factory.mktemp("demo")
    return folder, make_demo(folder, DemoOptions(600, images=False))
