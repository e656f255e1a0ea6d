"""What other packages are inside, as far as cutline leans on it: one test a function."""

import logging
import multiprocessing
import socket
import subprocess
import sys
from multiprocessing import forkserver, resource_tracker
from urllib.request import urlopen

import dask
import dask.bag as db
import pytest
from bokeh.models import Div
from distributed import Client, LocalCluster, SSHCluster, span

from cutline.process import private_api


@pytest.fixture
def watched():
    """A client of a cluster in this process, with a dashboard."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_the_loggers_that_are_quietened_are_there(client):
    assert SSHCluster  # whose module has a logger, too
    found = {*logging.Logger.manager.loggerDict, *client.run(loggers).popitem()[1]}
    assert {*private_api.QUIET_CLIENT, *private_api.QUIET_WORKERS} <= found


def loggers():
    return list(logging.Logger.manager.loggerDict)


def test_a_resource_tracker_that_runs_unblocks_nothing_later():
    script = (
        "import signal; from multiprocessing import resource_tracker\n"
        "from cutline.process import private_api as p\n"
        "p.start_resource_tracker()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        "resource_tracker.ensure_running()\n"
        "print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    )
    assert python(script) == "True\n"
    assert callable(resource_tracker.ensure_running)


def test_the_fork_server_is_started_without_waiting_for_its_imports():
    script = (
        "import os; from pathlib import Path; from cutline.process import private_api as p\n"
        "children = Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children')\n"
        "before = len(children.read_text().split())\n"
        "p.start_fork_server()\n"
        "print(len(children.read_text().split()) - before > 0)"
    )
    assert python(script) == "True\n"
    assert callable(forkserver.ensure_running)


def test_a_process_that_imports_its_main_module_is_known(tmp_path):
    (tmp_path / "script.py").write_text(
        "import multiprocessing\n"
        "from cutline.process import private_api\n"
        "print(private_api.is_importing_main(), flush=True)\n"
        "if __name__ == '__main__':\n"
        "    other = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    other.start(); other.join()\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
    assert multiprocessing.parent_process() is None


def test_fused_tasks_are_put_under_the_keys_that_were_asked_for():
    bag = db.from_sequence([1, 2]).map(float).map(str)
    keys = bag.__dask_keys__()
    (optimized,) = dask.optimize(bag)
    graph = private_api.under_own_keys(dict(optimized.__dask_graph__()), keys, lambda task: task())
    assert [*graph] == keys
    assert dask.get(graph, keys) == dask.get(bag.__dask_graph__(), keys)


def test_fused_tasks_are_done_by_what_runs_them():
    bag = db.from_sequence([1, 2]).map(float).map(str)
    keys = bag.__dask_keys__()
    (optimized,) = dask.optimize(bag)
    graph = dict(optimized.__dask_graph__())
    run = private_api.under_own_keys(graph, keys, lambda task: [*task(), "run"])
    assert list(dask.get(run, keys)) == [["1.0", "run"], ["2.0", "run"]]


def test_fused_tasks_that_have_changed_stay_as_they_are():
    graph = {"a": (sum, [1, 2])}
    assert private_api.under_own_keys(graph, ["a"], sum) == graph


def test_a_scheduler_tells_its_workers_to_the_loop_of_a_client(watched):
    identity = watched.sync(private_api.identity_of, watched)
    assert [worker["status"] for worker in identity["workers"].values()] == ["running"]


def test_an_event_is_logged_in_time_or_not_at_all(watched):
    private_api.log_event_within(watched, "cutline-test", {"a": 1}, 10)
    assert [event for _, event in watched.get_events("cutline-test")] == [{"a": 1}]
    watched.close()
    private_api.log_event_within(watched, "cutline-test", {"a": 2}, 10)


def test_a_task_knows_the_span_that_it_was_sent_under(watched):
    with span("outer"), span("inner"):
        seen = watched.submit(private_api.span_of_task, "outer", pure=False)
        other = watched.submit(private_api.span_of_task, "another", pure=False)
    identity = seen.result()  # the scheduler makes the span as the task comes in
    spans = watched.run_on_scheduler(
        lambda dask_scheduler: {
            key: value.name for key, value in dask_scheduler.extensions["spans"].spans.items()
        }
    )
    assert spans[identity] == ("outer", "inner")
    assert other.result() is None
    assert private_api.span_of_task("outer") is None


@pytest.mark.parametrize("dashboard", [True, False])
def test_a_scheduler_with_a_dashboard_is_known(dashboard):
    with (
        LocalCluster(
            n_workers=0,
            processes=False,
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": dashboard},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert client.run_on_scheduler(private_api.wants_dashboard) is dashboard


def test_a_page_is_added_to_the_dashboard_and_to_its_navigation(watched):
    def draw(doc):
        doc.add_root(Div(text="Hello"))

    async def add(dask_scheduler):
        private_api.add_page(dask_scheduler, "our-page", "Ours", draw)

    watched.run_on_scheduler(add)
    port = watched.run_on_scheduler(lambda dask_scheduler: dask_scheduler.http_server.port)
    for page in ("our-page", "status"):
        with urlopen(f"http://127.0.0.1:{port}/{page}") as answer:
            assert "our-page" in answer.read().decode()


def python(script):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_dashboard_listens_where_its_scheduler_says(watched):
    host, address, port = watched.run_on_scheduler(private_api.dashboard_listens)
    assert (host, address) == (socket.gethostname(), "127.0.0.1")
    with urlopen(f"http://{address}:{port}/health") as answer:
        assert answer.read() == b"ok"
