"""Workers that would write other bytes, or see other files; faults are put into real workers."""

import logging
import os
import shutil
import socket
import threading
import time

import dask.bag as db
import pytest
from distributed import Client, LocalCluster

import cutline
from cutline.cluster import compared_files, running, worker_checks, worker_terms
from cutline.cluster.worker_terms import Terms
from cutline.errors import CutlineError
from cutline.progress.watcher import SILENT
from cutline.sources import local_folder
from cutline.sources.opening import open_source
from cutline.store import trouble
from cutline.store.workspace import Workspace
from jobs_at_work import Listener
from sidecars import numbered, write_sidecars

HOST = socket.gethostname()
OTHER_CODE = "has other code of cutline than this process: install the same there"


@pytest.fixture
def cluster():
    """Yield a client of two workers, called 0 and 1."""
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as workers,
        Client(workers, set_as_default=False) as client,
    ):
        yield client


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


def address_of(client, name):
    workers = client.scheduler_info(n_workers=-1)["workers"]
    (address,) = [address for address, worker in workers.items() if worker["name"] == name]
    return address


def change_code():
    worker_terms.code_digest = lambda: "another"


def spoil(client, *names):
    """Let some workers have other code."""
    client.run(change_code, workers=[address_of(client, name) for name in names])


def forget_checks():
    worker_terms._FIT.clear()


def slowly(numbers):
    time.sleep(0.02)
    return [(number, os.getpid()) for number in numbers]


def work(client, watcher=SILENT):
    """Return what 40 tasks gave, and how many processes did them."""
    bag = db.from_sequence(range(40), partition_size=1).map_partitions(slowly)
    done = list(running.results(bag, client, watcher))
    return sorted(number for number, _ in done), len({process for _, process in done})


def test_workers_that_are_fit_do_the_work_and_nothing_is_told(cluster):
    listener = Listener()
    with worker_checks.checked(cluster, listener):
        assert work(cluster) == (list(range(40)), 2)
    assert listener.said == []
    assert len(cluster.nthreads()) == 2


def test_a_worker_that_is_not_fit_is_told_and_sent_away_before_the_first_task(cluster):
    spoil(cluster, 1)
    listener = Listener()
    with worker_checks.checked(cluster, listener):
        assert work(cluster) == (list(range(40)), 1)
    assert listener.said == [
        f"The worker 1 on {HOST} {OTHER_CODE}. It is sent away, and others do its work."
    ]
    assert len(cluster.nthreads()) == 1


def test_a_worker_that_comes_later_is_checked_by_its_first_task(cluster):
    """It is as one that came later: nobody has looked at what it has become."""
    listener = Listener()
    with worker_checks.checked(cluster, listener):
        spoil(cluster, 0)
        cluster.run(forget_checks)
        assert work(cluster) == (list(range(40)), 1)
    assert len(listener.said) == 1
    assert listener.said[0].startswith(f"The worker 0 on {HOST} {OTHER_CODE}.")
    assert len(cluster.nthreads()) == 1


def test_where_no_worker_is_fit_the_job_ends_and_nobody_is_sent_away(cluster):
    spoil(cluster, 0, 1)
    with pytest.raises(CutlineError) as caught, worker_checks.checked(cluster, SILENT):
        pass
    assert str(caught.value) in {
        f"The worker {name} on {HOST} {OTHER_CODE}; 1 more workers are not fit either."
        for name in (0, 1)
    }
    assert len(cluster.nthreads()) == 2


def test_who_hears_of_no_progress_hears_of_a_worker_that_is_not_fit(cluster):
    spoil(cluster, 1)
    handler = Records()
    logging.getLogger("cutline").addHandler(handler)
    try:
        with worker_checks.checked(cluster, SILENT):
            pass
    finally:
        logging.getLogger("cutline").removeHandler(handler)
    (record,) = handler.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"The worker 1 on {HOST} {OTHER_CODE}.")


def fail_and_count(numbers, folder):
    with open(f"{folder}/tries", "a") as file:
        file.write("x")
    raise ValueError("no")


def test_what_fails_on_a_worker_that_is_fit_is_not_tried_again(cluster, tmp_path):
    bag = db.from_sequence([1]).map_partitions(fail_and_count, str(tmp_path))
    with (
        worker_checks.checked(cluster, SILENT),
        pytest.raises(ValueError, match="no"),
    ):
        list(running.results(bag, cluster, SILENT))
    assert (tmp_path / "tries").read_text() == "x"


def test_the_checks_end_with_the_block(cluster):
    with worker_checks.checked(cluster, SILENT):
        assert worker_checks.current() is not None
    assert worker_checks.current() is None


# What a worker looks at


@pytest.mark.parametrize(
    ("versions", "code", "fault"),
    [
        (
            {"orjson": "0.0.7"},
            worker_terms.code_digest(),
            "orjson, and this is 0.0.7: install orjson==",
        ),
        (
            {"nothing": "1"},
            worker_terms.code_digest(),
            "lacks nothing, and this is 1: install nothing",
        ),
        ({}, "another", "has other code of cutline than this process"),
    ],
)
def test_other_versions_and_other_code_are_told(versions, code, fault):
    assert fault in Terms("run", versions, code, ()).fault()


def fault_of(*folders):
    return Terms("run", worker_terms.versions(), worker_terms.code_digest(), folders).fault()


@pytest.fixture
def source(tmp_path):
    return write_sidecars(tmp_path / "data", numbered(30))


def replace_folder(source, change):
    """Put a copy in the place of a folder, as on a host that has one of its own."""
    copy = shutil.copytree(source, f"{source}.copy")
    shutil.rmtree(source)
    for entry in os.scandir(copy):
        change(entry)
    os.rename(copy, source)


@pytest.mark.parametrize("url", [False, True])
def test_a_source_that_is_the_same_is_no_fault(source, url):
    read = worker_checks.reads_source(open_source(f"file://{source}" if url else source))
    assert len(read.files) == worker_checks.LOOKED_AT
    assert fault_of(read) == ""


@pytest.mark.parametrize("url", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(os.unlink, id="empty"),
        pytest.param(lambda _: None, id="a copy with equal bytes, sizes and times"),
    ],
)
def test_a_source_that_is_another_is_told_with_an_example(source, url, change):
    read = worker_checks.reads_source(open_source(f"file://{source}" if url else source))
    replace_folder(source, change)
    fault = fault_of(read)
    assert fault.startswith(f"sees other files in {source} than this process, such as '0")
    assert fault.endswith(".json': mount the same folder there")


def test_other_files_are_looked_at_each_time(source):
    chosen = {path for _ in range(30) for path, _ in worker_checks.reads_folder(source).files}
    assert len(chosen) > worker_checks.LOOKED_AT


def test_of_a_folder_with_a_million_names_only_the_first_are_listed(source, monkeypatch):
    monkeypatch.setattr(compared_files, "LISTED", 3)
    assert len(compared_files.some_files(source, 8, sidecars=True)) == 3


def test_sidecars_are_looked_at_however_their_names_end(tmp_path):
    for name in ("a.JSON", "b.Json", "c.png", "aspect_ratio_bucket_x.json"):
        (tmp_path / name).write_bytes(b"{}")
    read = worker_checks.reads_source(open_source(tmp_path))
    assert {os.path.basename(path) for path, _ in read.files} == {"a.JSON", "b.Json"}


@pytest.fixture
def written(tmp_path):
    """Yield what a run writes to a folder, with the witness of `run`."""
    workspace = Workspace.below(str(tmp_path))
    with workspace.locked(lambda _: None) as staging:
        written = worker_checks.writes(str(tmp_path), workspace, workspace.store(staging))
        with written.store.publish(written.name) as file:
            file.write(b"run")
        yield written


def test_a_folder_that_is_written_to_is_the_same_and_left_as_it_was(written):
    before = sorted(os.listdir(os.path.dirname(written.name)))
    assert fault_of(written) == ""
    assert sorted(os.listdir(os.path.dirname(written.name))) == before


def test_a_folder_without_what_this_process_wrote_is_told(written):
    written.store.remove(written.name)
    assert fault_of(written) == (
        f"does not see what this process writes into {written.folder}: mount the same folder there"
    )


def test_what_another_run_wrote_is_not_what_this_one_did(written):
    with written.store.publish(written.name) as file:
        file.write(b"another")
    assert fault_of(written) != ""


def test_a_folder_that_cannot_be_written_to_is_told(written):
    shutil.rmtree(written.store.staging)
    with open(written.store.staging, "w"):  # in the way: root may write everywhere
        assert fault_of(written).startswith(
            f"cannot write into {written.folder} (Not a directory): "
        )
    os.unlink(written.store.staging)


def test_what_another_host_has_just_written_is_looked_for_again(written, monkeypatch):
    monkeypatch.setattr(trouble, "lags", lambda _: True)
    written.store.remove(written.name)

    def write():
        with written.store.publish(written.name) as file:
            file.write(b"run")

    late = threading.Timer(0.5, write)
    late.start()
    assert fault_of(written) == ""
    late.join()


@pytest.mark.parametrize(
    ("kind", "lags"), [("nfs4", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False)]
)
def test_entries_lag_on_the_file_systems_of_other_hosts(tmp_path, monkeypatch, kind, lags):
    point = str(tmp_path).replace(" ", "\\040")
    lines = f"1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / {point} rw,x shared:1 - {kind} a rw\n"
    (tmp_path / "mountinfo").write_text(lines)
    monkeypatch.setattr(trouble, "MOUNTS", str(tmp_path / "mountinfo"))
    assert trouble.lags(str(tmp_path / "file")) is lags
    assert trouble.lags("/elsewhere") is False


def test_a_task_is_checked_once_a_process(monkeypatch):
    looked = []
    monkeypatch.setattr(worker_terms, "other_version", lambda *_: looked.append(1) or "")
    terms = Terms("once", {}, worker_terms.code_digest(), ())
    for _ in range(4):
        terms.check()
    assert len(looked) == 1


# What is no reject


def lose_a_sidecar(folder, times):
    """Let this worker miss one sidecar, so often on all workers, as behind a mount that is gone."""
    read = local_folder.read_file

    def read_file(root, path):
        if path != b"012.json" or len(os.listdir(folder)) == times:
            return read(root, path)
        with open(f"{folder}/{os.getpid()}", "x"):
            return path, *read(root, b"gone")[1:]

    local_folder.read_file = read_file


def compile_with_a_loss(client, source, folder, times):
    (folder / "losses").mkdir()
    client.run(lose_a_sidecar, str(folder / "losses"), times)
    listener = Listener()
    options = cutline.CompileOptions(partition_size=5)
    summary = cutline.compile_table(
        source, folder / "t.parquet", options, client=client, watcher=listener
    )
    return summary, listener.said


def test_a_sidecar_that_one_worker_cannot_read_is_read_by_another(cluster, source, tmp_path):
    summary, said = compile_with_a_loss(cluster, source, tmp_path, times=1)
    assert (summary.rows, summary.rejects) == (30, {})
    options = cutline.CompileOptions(partition_size=5)
    cutline.compile_table(source, tmp_path / "home.parquet", options)
    assert (tmp_path / "t.parquet").read_bytes() == (tmp_path / "home.parquet").read_bytes()
    (line,) = [line for line in said if "worker" in line]
    assert f" on {HOST} cannot read {source}/012.json (No such file or directory), which" in line
    assert len(cluster.nthreads()) == 1


def test_a_sidecar_that_no_worker_can_read_and_this_process_can_ends_the_job(
    cluster, source, tmp_path
):
    with pytest.raises(CutlineError) as caught:
        compile_with_a_loss(cluster, source, tmp_path, times=2)
    assert f" on {HOST} cannot read {source}/012.json (No such file or directory), which" in str(
        caught.value
    )
    assert not (tmp_path / "t.parquet").exists()


def test_a_sidecar_that_nobody_can_read_is_a_reject_still(cluster, source, tmp_path):
    os.unlink(f"{source}/012.json")
    os.mkdir(f"{source}/012.json")
    summary = cutline.compile_table(source, tmp_path / "t.parquet", client=cluster)
    assert summary.rejects == {"unreadable": 1}
    assert len(cluster.nthreads()) == 2
