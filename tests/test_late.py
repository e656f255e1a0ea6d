from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from cutline import Local, board, late
from cutline.cluster import connect

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


def test_a_page_is_added_at_once_where_the_dashboard_is_there(job):
    page(job, "status")
    added = []
    late.when_loaded(job.cluster.scheduler, lambda: added.append("page"))
    assert added == ["page"]
