import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import distributed.dashboard.scheduler
import pytest

from cutline import Local, board, late
from cutline.cluster import connect
from processes import until

NAVIGATION = 'href="captions"'


@pytest.fixture
def job():
    """The client of a job whose dashboard nobody has asked for."""
    with connect(Local(workers=1, dashboard_address="127.0.0.1:0")) as client:
        board.show(client, print)
        assert client.run_on_scheduler(late_at)
        yield client


def late_at(dask_scheduler):
    return late.is_deferred(dask_scheduler)


def page(client, name):
    with urlopen(client.dashboard_link.replace("status", name), timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.parametrize(
    ("first", "holds"),
    [
        ("status", NAVIGATION),
        ("captions", NAVIGATION),
        ("", NAVIGATION),
        ("individual-plots.json", "individual-task-stream"),  # which JupyterLab's panel asks for
        ("health", "ok"),
    ],
)
def test_the_first_request_finds_the_dashboard_whatever_it_is_for(job, first, holds):
    assert holds in page(job, first)
    assert not job.run_on_scheduler(late_at)
    assert NAVIGATION in page(job, "status")


def test_requests_that_come_at_once_find_one_dashboard(job):
    with ThreadPoolExecutor(4) as browsers:
        pages = list(browsers.map(lambda _: page(job, "status"), range(4)))
    assert [text.count(NAVIGATION) for text in pages] == [1] * 4


def test_a_page_that_is_not_there_is_not_found(job):
    with pytest.raises(HTTPError, match="404"):
        page(job, "nonsense")
    assert NAVIGATION in page(job, "status")


def changed(*_, **__):
    raise AttributeError("Dask has changed")


def test_a_page_that_cannot_be_added_is_said_in_a_line_and_the_others_are_there(job, caplog):
    late.when_loaded(job.cluster.scheduler, changed)
    assert "TaskStream" in page(job, "individual-task-stream")
    assert caplog.messages == [
        "The dashboard is not whole, but the job runs: it cannot be shown (Dask has changed)."
    ]
    assert job.submit(sum, [1, 2]).result() == 3


def test_a_dashboard_that_cannot_be_loaded_is_said_in_a_line(job, caplog, monkeypatch):
    monkeypatch.setattr(distributed.dashboard.scheduler, "connect", changed)
    for _ in range(2):
        with pytest.raises(HTTPError, match="404"):
            page(job, "status")
    assert caplog.messages == [
        "The dashboard is not whole, but the job runs: it cannot be shown (Dask has changed)."
    ]
    assert job.submit(sum, [1, 2]).result() == 3


def test_the_dashboard_is_there_as_soon_as_anything_listens():
    """A tab that was left open asks again before the first worker is there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = []

    def ask():
        link = f"http://127.0.0.1:{port}/status"
        answers.append(until(lambda: answered(link), "an answer"))

    asking = threading.Thread(target=ask)
    asking.start()
    with connect(Local(workers=1, dashboard_address=f"127.0.0.1:{port}")):
        asking.join()
    assert answers == [200]


def answered(link):
    try:
        with urlopen(link, timeout=30) as answer:
            return answer.status
    except HTTPError as error:
        return error.code
    except URLError:  # nobody listens yet
        return None


def test_a_page_is_added_at_once_where_the_dashboard_is_there(job):
    page(job, "status")
    added = []
    late.when_loaded(job.cluster.scheduler, lambda: added.append("page"))
    assert added == ["page"]
