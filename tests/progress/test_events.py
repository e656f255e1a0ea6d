import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import dask
import pytest
from distributed import span

import cutline
from cutline import CompileOptions, compile_table, run, write_captions
from cutline.demo.making import make_demo
from cutline.demo.samples import DemoOptions
from cutline.plan.receipts import read_receipt
from cutline.progress.events import EXAMPLE, Done, example, tell
from cutline.store import space
from cutline.store.workspace import LocalDisk
from schedulers import wait_until

OPTIONS = CompileOptions(partition_size=50)
STAGES = [
    *("index-shards", "look-for-room", "extract-files", "check-parts", "compile-rows"),
    *("write-caption-files", "verify-rows", "verify-files", "report-rows"),
]


def sums(folder):
    """Sum the receipts of the parts in a folder."""
    counts = Counter()
    for path in folder.glob("*.parquet"):
        receipt = read_receipt(LocalDisk(), str(path), 0)
        judged = Counter({"rows": receipt.rows, **receipt.rejects})
        judged["rows"] += judged.pop("duplicate", 0)  # which the merge has found later
        counts += judged
    return counts


@pytest.fixture(scope="module")
def job(client, demo_root, tmp_path_factory):
    """A compile and its caption files: what their receipts say, and what the cluster was told."""
    folder = tmp_path_factory.mktemp("events")
    (folder / "data").mkdir()
    before = prometheus(client)
    table = folder / "t.parquet"
    compile_table(str(demo_root[0] / "data"), str(table), OPTIONS, client=client)
    captions = write_captions(str(table), str(folder / "data"), client=client)
    return sums(folder / "t.parts"), captions, prometheus(client) - before


# Fine Performance Metrics


def figures(client, stage):
    """Read what Dask has summed over the last span of a stage."""
    metrics = client.run_on_scheduler(
        lambda dask_scheduler: [
            dict(span.cumulative_worker_metrics)
            for span in dask_scheduler.extensions["spans"].spans.values()
            if span.name == ("cutline", stage)
        ][-1]
    )
    return {key[2:]: value for key, value in metrics.items() if key[:2] == ("execute", stage)}


def test_fine_performance_metrics_equal_the_receipts(client, job):
    receipts, _, _ = job

    def found():
        counted = figures(client, "compile-rows").items()
        return Counter(
            {name.removeprefix("rejected: "): n for (name, unit), n in counted if unit == "count"}
        )

    wait_until(lambda: found() == receipts)  # workers tell with each heartbeat


def test_fine_performance_metrics_say_where_the_time_goes(client, job):
    wait_until(lambda: ("write", "seconds") in figures(client, "compile-rows"))
    spent = figures(client, "compile-rows")
    for phase in ("list", "read", "judge", "write"):
        assert spent[phase, "seconds"] > 0
    phases = sum(spent[phase, "seconds"] for phase in ("list", "read", "judge", "write"))
    assert phases > spent["other", "seconds"]
    assert spent["read", "bytes"] > 600 * 1000


def test_caption_files_are_counted_too(client, job):
    _, captions, _ = job
    wait_until(
        lambda: figures(client, "write-caption-files").get(("written", "count")) == captions.written
    )


# Events


def test_events_equal_the_receipts_and_hold_no_records(client, job, demo_root):
    receipts, _, _ = job
    events = [event for _, event in client.get_events("cutline")]
    last = [event["stage"] for event in events if event.get("name") == "compile-rows"][-1]
    parts = [event for event in events if event["event"] == "done" and event["stage"] == last]
    told = Counter()
    for part in parts:
        told += Counter({**part["made"], **part["rejects"]})
    assert told == receipts
    texts = [text for part in parts for text in part["examples"].values()]
    assert texts
    assert all(len(text) <= EXAMPLE for text in texts)


def test_an_example_is_cut_to_a_length_to_look_at():
    assert example("a.json", "x" * 1000) == "a.json: " + "x" * (EXAMPLE - 9) + "…"
    assert example("a.json", "") == "a.json"
    assert example(None, None) == ""
    assert example("\ud800.json") == "\\ud800.json"


def test_outside_of_a_cluster_nobody_is_told(tmp_path, demo_root, capfd):
    tell(Done(1, {"rows": 1}, {}, 0.1))
    with dask.config.set(scheduler="sync"), span("somebody's own"):
        compile_table(str(demo_root[0] / "data"), str(tmp_path / "t.parquet"), OPTIONS)
    assert capfd.readouterr() == ("", "")


# Prometheus


def prometheus(client):
    """Sum the counters of all workers, from where Prometheus reads them."""
    counts = Counter()
    for address, worker in client.scheduler_info()["workers"].items():
        host = address.rpartition("/")[2].rpartition(":")[0]
        with urlopen(f"http://{host}:{worker['services']['dashboard']}/metrics") as page:
            for line in page.read().decode().splitlines():
                if found := re.fullmatch(r"(cutline_\w+_total(?:\{.*\})?) ([\d.e+]+)", line):
                    counts[found[1]] += float(found[2])
    return counts


def test_prometheus_counters_equal_the_receipts(job):
    receipts, captions, counted = job
    rejects = {
        f'cutline_rejects_total{{reason="{reason}"}}': count
        for reason, count in (receipts - Counter(rows=receipts["rows"])).items()
    }
    assert counted == {
        "cutline_rows_total": receipts["rows"],
        "cutline_caption_files_total": captions.written,
        **rejects,
    }


def test_threads_that_count_first_at_once_make_the_counters_once():
    code = (
        "import sys, threading; sys.setswitchinterval(1e-6)\n"
        "from cutline.progress import events\n"
        "barrier, done = threading.Barrier(16), []\n"
        "def work():\n"
        "    barrier.wait()\n"
        "    events.count(events.Done(1, {'rows': 1}, {}, 0.0))\n"
        "    done.append(1)\n"
        "threads = [threading.Thread(target=work) for _ in range(16)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "assert len(done) == 16\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Every stage


def stages_told(client, since):
    """Per stage that has begun since then: its name, its tasks, and how many told of themselves."""
    told = [event for _, event in client.get_events("cutline")][since:]
    done = Counter(event["stage"] for event in told if event["event"] == "done")
    return [
        (event["name"], event["tasks"], done[event["stage"]])
        for event in told
        if event["event"] == "begun"
    ]


def test_every_task_of_every_stage_tells_of_itself(client, tmp_path, monkeypatch):
    root = tmp_path / "demo"
    make_demo(root, DemoOptions(600, form="shards"))
    since = len(client.get_events("cutline"))
    run(str(root), OPTIONS, client=client)
    monkeypatch.setattr(space, "free_room", lambda _: space.Room(0, 0))  # and nothing is needed
    sidecar = min((root / "data").glob("*.json"))
    os.utime(sidecar, (0, 0))
    run(str(root), OPTIONS, client=client)
    told = stages_told(client, since)
    assert [(name, tasks) for name, tasks, _ in told] == [(name, done) for name, _, done in told]
    assert {name for name, _, _ in told} == {*STAGES, "merge"}


def test_the_stages_are_all_that_there_are():
    """A stage that is new must be added above, and has to tell."""
    source = "".join(path.read_text() for path in Path(cutline.__file__).parent.rglob("*.py"))
    assert set(re.findall(r'(?:token|stage)="([^"]+)"', source)) == set(STAGES)
