import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

import chromium
from cutline import CompileOptions, CutlineError, DemoOptions, compile_table, make_demo
from cutline.plan.receipts import read_receipt
from cutline.progress import show_captions_page
from cutline.progress.captions_page import BEAT, SILENCE
from cutline.progress.summaries import in_a_line
from cutline.store.table_store import LocalDisk
from schedulers import scheduler

RECORDS = 60_000
PARTS = 400  # far more than are done between a look at the events and the next
OPTIONS = CompileOptions(partition_size=RECORDS // PARTS)


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, DemoOptions(RECORDS, images=False))
    return str(folder / "data")


@pytest.fixture(params=["local cluster", "separate scheduler"])
def client(request, tmp_path):
    if request.param == "local cluster":
        with (
            LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
    else:
        with (
            scheduler(tmp_path) as there,
            Client(there["address"], set_as_default=False) as client,
        ):
            client.wait_for_workers(1, timeout=60)
            yield client


@pytest.fixture
def workers(client):
    """Ask for the process ids of the workers while they have nothing to do."""
    return list(client.run(os.getpid).values())


@contextmanager
def standing_still(workers):
    """Stop the workers of a cluster where they are."""
    for process in workers:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in workers:
            os.kill(process, signal.SIGCONT)


def wait_for_tasks(client, count, job):
    """Wait until some tasks of a job have told of themselves."""
    while not job.done():
        told = [event for _, event in client.get_events("cutline") if event["event"] == "done"]
        if len(told) >= count:
            return
        time.sleep(0.02)
    job.result()
    pytest.fail(f"the job was done before anybody saw {count} of its tasks")


def reasons(page, stage):
    """Find the lines of the reasons for which a stage has rejected."""
    return page.locator(f"h2:has-text('Rejected by {stage}') + table tr[data-reason]")


def shown(page, stage="compile-rows"):
    """Read the sidecars, rows and rejects that the page counts for a stage of the compile."""
    row = page.locator(f"tr[data-stage='{stage}'] td")
    row.nth(4).wait_for()
    cells = row.all_inner_texts()
    done, rows, rejects = (int(re.sub(r"\D.*", "", cell.replace(",", ""))) for cell in cells[2:5])
    by_reason = {
        row.get_attribute("data-reason"): int(row.locator(".number").inner_text().replace(",", ""))
        for row in reasons(page, stage).all()
    }
    return done, rows, rejects, by_reason


def receipts(table):
    """Sum the receipts of a table's parts."""
    parts = Path(table.replace(".parquet", ".parts"))
    found = [read_receipt(LocalDisk(), str(path), 0) for path in parts.glob("*.parquet")]
    by_reason = {}
    for receipt in found:
        for reason, count in receipt.rejects.items():
            by_reason[reason] = by_reason.get(reason, 0) + count
    rows = sum(receipt.rows for receipt in found)
    return rows + sum(by_reason.values()), rows, sum(by_reason.values()), by_reason


def bars(page):
    """Read the names of the bars in the Progress panel, which is painted on a canvas."""
    page.wait_for_function("() => window.Bokeh && Bokeh.documents.length > 0")
    return page.evaluate(
        """() => [...Bokeh.documents[0]._all_models.values()]
            .filter(model => model.type == "ColumnDataSource")
            .map(model => model.data)
            .filter(data => data.erred && data.name && data.processing)
            .flatMap(data => [...data.name])"""
    )


def test_the_captions_page_counts_a_job_while_it_runs(client, workers, demo, tmp_path, open_page):
    table = str(tmp_path / "t.parquet")
    seen = []

    def look(page):
        page.wait_for_timeout(1500)
        seen.append(shown(page))
        assert "at work" in page.locator(".verdict.working p").first.inner_text()
        cells = page.locator("tr.coming > *").all_inner_texts()
        assert [text for text in cells if text] == ["merge", "to come"]

    with ThreadPoolExecutor(1) as other:
        job = other.submit(compile_table, demo, table, OPTIONS, client=client)
        wait_for_tasks(client, 20, job)
        with standing_still(workers):  # to open a page can take longer than the job
            page = open_page(client.dashboard_link, "status")
            page.locator("a[href='captions']").click()
            look(page)
        wait_for_tasks(client, PARTS // 3, job)
        with standing_still(workers):
            look(page)
        assert 0 < seen[0][0] < seen[1][0] < RECORDS
        assert 0 < seen[0][1] < seen[1][1]
        summary = job.result()
    page.wait_for_timeout(1500)
    done, rows, rejects, by_reason = shown(page, "merge")
    assert (done, rows, rejects, by_reason) == receipts(table)
    # Samples that come twice leave their parts only in the merge.
    twice = by_reason.pop("duplicate")
    # Of the reasons the merge has the last word, with the examples that the parts have told.
    assert shown(page) == (done, rows + twice, rejects - twice, {})
    assert "is done" in page.locator(".verdict.done p").first.inner_text()
    assert page.locator(".summary td").all_inner_texts() == [*in_a_line(summary).split(": ", 1)]
    examples = reasons(page, "merge").locator("td.example").all_inner_texts()
    assert len(examples) == len(by_reason) + 1  # of what comes twice only the merge knows
    assert len([*filter(None, examples)]) == len(by_reason)


@pytest.mark.parametrize("client", ["local cluster"], indirect=True)
def test_a_job_that_fails_looks_so_on_a_phone_too_and_so_does_a_connection_that_is_gone(
    client, demo, tmp_path, open_page
):
    strict = CompileOptions(max_rejects=0, partition_size=RECORDS)
    show_captions_page(client, print)
    page = open_page(client.dashboard_link, "captions")
    complaints = []
    page.on("console", lambda message: complaints.append((message.type, message.text)))
    page.set_viewport_size({"width": 400, "height": 800})
    with pytest.raises(CutlineError) as raised:
        compile_table(demo, str(tmp_path / "t.parquet"), strict, client=client)
    page.locator(".verdict.failed").wait_for()
    assert page.locator(".verdict.failed p").all_inner_texts()[1] == str(raised.value)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert [text for kind, text in complaints if kind in {"error", "warning"}] == []
    assert chromium.axe() is None or chromium.unreadable(page, "color-contrast") == []
    assert not page.locator(".verdict.gone").is_visible()
    cluster = client.cluster
    client.close()
    cluster.close()
    page.locator(".verdict.gone").wait_for()
    assert page.locator(".verdict.failed").is_visible()


@pytest.mark.parametrize("client", ["separate scheduler"], indirect=True)
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stands still"])
def test_the_page_says_that_nothing_comes_from_a_scheduler_that_is(client, blow, open_page):
    show_captions_page(client, print)
    process = client.run_on_scheduler(os.getpid)
    page = open_page(client.dashboard_link, "captions")
    page.locator("h1").wait_for()
    page.wait_for_timeout(1000 * (SILENCE + 2 * BEAT))
    assert not page.locator(".verdict.gone").is_visible()  # an idle one is not gone
    os.kill(process, blow)
    page.locator(".verdict.gone").wait_for(timeout=1000 * (SILENCE + 30))
    if blow == signal.SIGSTOP:
        os.kill(process, signal.SIGCONT)
        page.locator(".verdict.gone").wait_for(state="hidden")


def test_the_status_page_has_one_bar_a_stage(client, workers, demo, tmp_path, open_page):
    table = str(tmp_path / "t.parquet")
    with ThreadPoolExecutor(1) as other:
        job = other.submit(compile_table, demo, table, OPTIONS, client=client)
        wait_for_tasks(client, 20, job)
        with standing_still(workers):
            page = open_page(client.dashboard_link, "status")
            page.wait_for_timeout(2000)
            assert bars(page) == ["compile-rows"]
        job.result()
