import re
import socket
import subprocess
import sys

import dask
import pytest
from distributed import LocalCluster
from distributed.client import _get_global_client

from cutline import Address, CutlineError, Local, Spec, UsageError, connect
from cutline.cluster import local_cluster
from jobs_at_work import Listener

# A cluster of this machine


@pytest.fixture(scope="module")
def started():
    """A cluster as a job has it."""
    with connect(Local(workers=2, dashboard_address="127.0.0.1:0")) as client:
        yield client


def test_a_local_cluster_has_the_workers_that_were_asked_for(started):
    assert list(started.nthreads().values()) == [1, 1]


def test_a_local_cluster_has_a_worker_for_each_core_that_this_process_may_use():
    script = """if __name__ == "__main__":
        import os
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from cutline import Local, connect
        with connect(Local(dashboard_address="none")) as client:
            print(list(client.nthreads().values()))
    """
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"[1]\n"


def test_a_cluster_that_adapts_from_nothing_gets_a_worker_for_the_work():
    kwargs = {"n_workers": 0, "threads_per_worker": 1, "host": "127.0.0.1"}
    grows = Spec(
        module="distributed",
        class_="LocalCluster",
        kwargs={**kwargs, "dashboard_address": "127.0.0.1:0"},
        adapt={"minimum": 0, "maximum": 1},
    )
    listener = Listener()
    with connect(grows, listener) as client:
        assert client.submit(pow, 2, 5).result(timeout=100) == 32
    assert listener.said == ["Waiting for workers: LocalCluster has none yet."]


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        (1, []),
        (2, ["2 threads of workers share 1 cores: fewer are as fast, and need less memory."]),
    ],
)
def test_more_workers_than_cores_are_warned_of(monkeypatch, workers, said):
    monkeypatch.setattr(local_cluster, "CPU_COUNT", 1)
    listener = Listener()
    with Local(workers, dashboard_address="none").open(listener):
        assert listener.said == said


def test_everything_of_a_local_cluster_listens_on_this_machine_alone(started):
    def servers(dask_scheduler):
        return dask_scheduler.address, dask_scheduler.http_server.address

    def worker_servers(dask_worker):
        return dask_worker.address, dask_worker.http_server.address

    found = [started.run_on_scheduler(servers), *started.run(worker_servers).values()]
    for address, http in found:
        assert address.startswith("tcp://127.0.0.1:")
        assert http == "127.0.0.1"


def test_a_local_cluster_has_a_dashboard(started):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status", started.dashboard_link)


def test_the_dashboards_port_is_left_to_others_where_there_is_none():
    def port(dask_scheduler):
        return dask_scheduler.http_server.port

    with connect(Local(workers=1, dashboard_address="none")) as client:
        assert client.run_on_scheduler(port) != 8787


def test_a_part_is_not_given_up_for_what_its_neighbours_do(started):
    assert started.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures) == 10


def test_a_client_of_a_job_is_not_the_default_of_the_process(started):
    assert _get_global_client() is not started


def test_what_dask_knew_before_is_as_it_was_after():
    before = dask.config.get("distributed.scheduler.allowed-failures")
    with connect(Local(workers=1, dashboard_address="none")):
        assert dask.config.get("distributed.scheduler.allowed-failures") == 10
    assert dask.config.get("distributed.scheduler.allowed-failures") == before


@pytest.fixture
def busy_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_of_the_dashboard_that_is_busy_gives_another_without_a_warning(busy_port, recwarn):
    wanted = Local(workers=1, dashboard_address=f"127.0.0.1:{busy_port}")
    with connect(wanted) as client:
        assert client.dashboard_link != f"http://127.0.0.1:{busy_port}/status"
    assert [one for one in recwarn if "in use" in str(one.message)] == []


@pytest.mark.parametrize("address", ["203.0.113.7:8787", "no host.invalid:8787"])
def test_a_dashboard_that_cannot_be_there_is_said_in_a_sentence(address):
    with (
        pytest.raises(CutlineError, match=r"does not start \(.*[^.]\): correct its options, "),
        connect(Local(workers=1, dashboard_address=address)),
    ):
        pass


def test_a_script_whose_workers_would_run_it_again_is_told_how_to_keep_them_from_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from cutline import Local, connect\nwith connect(Local(workers=1)): pass\n")
    done = subprocess.run([sys.executable, script], stderr=subprocess.PIPE, text=True, check=False)
    assert 'put its work below `if __name__ == "__main__":`.' in done.stderr.splitlines()[-1]
    assert len(re.findall("(?m)^Traceback", done.stderr)) <= 4  # of this process alone


# A scheduler that is running


@pytest.mark.parametrize(
    "address", ["", "nonsense", "tcp://127.0.0.1", "127.0.0.1:port", "carrier-pigeon://x:1"]
)
def test_an_address_that_cannot_be_one_is_refused(address):
    with (
        pytest.raises(UsageError, match=r"write it as tcp://HOST:PORT\.$"),
        connect(Address(address)),
    ):
        pass


def test_a_scheduler_that_is_not_there_is_said_in_a_sentence():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(CutlineError) as caught, connect(Address(address, patience=0.5)):
            pass
    assert str(caught.value) == (
        f"No Dask scheduler answers at {address}: start one, or correct the address."
    )
    assert not isinstance(caught.value, UsageError)


def test_something_else_at_the_address_is_said_in_a_sentence(busy_port):
    with (
        pytest.raises(CutlineError, match="No Dask scheduler answers"),
        connect(Address(f"tcp://127.0.0.1:{busy_port}", patience=0.5)),
    ):
        pass


def test_a_scheduler_without_workers_is_said_in_a_sentence():
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(CutlineError, match=r"has no workers\): start some with `dask worker`, or "),
        connect(Address(empty.scheduler_address, patience=0.5)),
    ):
        pass


def test_a_scheduler_with_workers_like_this_process_is_joined(client):
    with connect(client.scheduler.address) as joined:  # which is short for an Address
        assert joined.submit(sum, [1, 2]).result() == 3
        assert joined.nthreads() == client.nthreads()
    assert client.submit(sum, [1, 2]).result() == 3
