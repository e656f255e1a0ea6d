import pickle
import time
from dataclasses import replace

import dask
import dask.bag as db
import pyarrow as pa
import pytest
from dask.core import get_deps
from dask.utils import key_split
from distributed import Client, LocalCluster

from cutline import CompileOptions
from cutline.captions import caption_files
from cutline.cluster.running import results, sent, tasks_of, things_a_task
from cutline.plan.plan_file import write_plan
from cutline.plan.planning import MOST
from cutline.progress.watcher import SILENT
from cutline.sources.line_format import LINES
from cutline.sources.opening import open_source
from cutline.store.table_files import TableFiles
from cutline.store.workspace import LocalDisk
from cutline.table.part_files import CompileContext
from cutline.table.rows import rows_bag
from processes import until


def test_many_quick_things_are_at_most_four_tasks_a_thread(client):
    threads = sum(client.nthreads().values())
    for count in (1, 4 * threads, 4 * threads + 1, 117, 1000):
        assert -(-count // things_a_task(count, client)) <= 4 * threads
    assert things_a_task(4 * threads, client) == 1
    assert things_a_task(1000, None) == 1


def test_before_a_worker_is_there_a_task_is_one_thing():
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        assert things_a_task(1000, client) == 1


class Notes:
    """A watcher that writes down what it is told."""

    def __init__(self):
        self.stages = []

    def stage(self, name, load):
        self.stages.append((name, load.amount))
        return SILENT.stage(name, load)

    def say(self, line): ...

    def report(self, summary): ...


def squares(numbers):
    return [number * number for number in numbers]


def bag_of(numbers, partition_size=1):
    return db.from_sequence(numbers, partition_size=partition_size).map_partitions(squares)


# The graph


@pytest.fixture
def context(tmp_path):
    files = TableFiles.of(tmp_path / "t.parquet")
    files.workspace.make()
    staging = files.workspace.staging("a-run")
    files = replace(files, store=LocalDisk(staging))
    return CompileContext(open_source(tmp_path), files, CompileOptions())


def parts_of(sidecars, context):
    paths = pa.array([f"{number:07}.json".encode() for number in range(sidecars)])
    nulls = [pa.nulls(sidecars, field.type) for field in list(LINES)[1:]]
    lines = pa.table([paths, *nulls], schema=LINES)
    return write_plan(lines, MOST, context.files.store, context.files.plan)


def graph_of(tasks):
    """What a client sends: all tasks are in one graph."""
    (graph,) = {id(task.dask): dict(task.dask) for task in tasks}.values()
    return graph


def test_a_compile_is_one_task_a_part(context):
    parts = parts_of(20_000, context)
    tasks = tasks_of(rows_bag(context, parts))
    graph = graph_of(tasks)
    assert len(parts) == 2
    assert set(graph) == {task.key for task in tasks}
    assert len(graph) == len(parts)
    assert not any(get_deps(graph)[0].values())


def test_the_tasks_of_a_compile_have_one_name(context):
    tasks = tasks_of(rows_bag(context, parts_of(20_000, context)))
    assert {key_split(task.key) for task in tasks} == {"compile-rows"}


def test_the_captions_of_a_slice_are_one_task_of_one_name(tmp_path):
    slices = [caption_files.Slice("t.parquet", (1, 2, 3), group, 0, 10_000) for group in range(5)]
    context = caption_files.CaptionsContext(str(tmp_path), str(tmp_path))
    graph = graph_of(tasks_of(caption_files.captions_bag(slices, context)))
    assert len(graph) == 5
    assert not any(get_deps(graph)[0].values())
    assert {key_split(key) for key in graph} == {"write-caption-files"}


def test_the_graph_of_more_than_a_million_sidecars_is_small(context):
    parts = parts_of(1_200_000, context)
    assert len(parts) == 120
    graph = graph_of(tasks_of(rows_bag(context, parts)))
    assert len(pickle.dumps(graph)) < 150_000


def test_the_tasks_of_two_runs_have_different_keys(context):
    parts = parts_of(10, context)
    names = set()
    for run in ("one", "another"):
        files = replace(context.files, store=LocalDisk(run))
        names.add(rows_bag(replace(context, files=files), parts).name)
    assert len(names) == 2


# The results


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_results_arrive_without_a_cluster(scheduler):
    with dask.config.set(scheduler=scheduler):
        found = results(bag_of(range(10), partition_size=3), None, SILENT)
        assert sorted(found) == squares(range(10))


def test_results_arrive_from_a_cluster(client):
    found = results(bag_of(range(10), partition_size=3), client, SILENT)
    assert sorted(found) == squares(range(10))


@pytest.mark.parametrize("on_cluster", [False, True])
def test_a_watcher_hears_of_the_stage_and_its_tasks(request, on_cluster):
    notes = Notes()
    client = request.getfixturevalue("client") if on_cluster else None
    list(results(bag_of(range(4)), client, notes))
    assert notes.stages == [("squares", 4)]


def fail(numbers):
    raise ValueError(f"no {next(iter(numbers))}")


@pytest.mark.parametrize("on_cluster", [False, True])
def test_the_exception_of_a_task_is_raised(request, on_cluster):
    client = request.getfixturevalue("client") if on_cluster else None
    with pytest.raises(ValueError, match="no 7"):
        list(results(db.from_sequence([7]).map_partitions(fail), client, SILENT))


def begin_and_wait(numbers, folder):
    """Leave a mark; all but the first that does so wait until the test lets them go on."""
    (number,) = numbers
    (folder / f"begun-{number}").touch()
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        for _ in range(6000):
            if (folder / "go on").exists():
                break
            time.sleep(0.01)
    return [number]


def test_results_arrive_as_they_come_and_what_nobody_waits_for_is_cancelled(client, tmp_path):
    bag = db.from_sequence(range(20), partition_size=1).map_partitions(begin_and_wait, tmp_path)
    arriving = results(bag, client, SILENT)
    assert next(arriving) in range(20)  # while others wait
    arriving.close()
    check_nothing_is_left(client, tmp_path)


def test_what_is_sent_is_done_before_anybody_asks(client, tmp_path):
    bag = db.from_sequence(range(3), partition_size=1).map_partitions(begin_and_wait, tmp_path)
    (tmp_path / "go on").touch()
    notes = Notes()
    with sent(bag, client, notes) as elements:
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 3, "all of it")
        assert notes.stages == []
        assert sorted(elements) == [0, 1, 2]
    assert notes.stages == [("begin_and_wait", 3)]


def test_what_is_sent_ends_with_the_block(client, tmp_path):
    bag = db.from_sequence(range(20), partition_size=1).map_partitions(begin_and_wait, tmp_path)
    with sent(bag, client, SILENT):
        until(lambda: list(tmp_path.glob("begun-*")), "a beginning")
    check_nothing_is_left(client, tmp_path)


def check_nothing_is_left(client, folder):
    """Tasks that were cancelled are no more, and most of them never began."""
    (folder / "go on").touch()  # for those that had begun and cannot be stopped
    client.submit(int, pure=False).result(timeout=60)
    keys = client.run_on_scheduler(lambda dask_scheduler: list(map(str, dask_scheduler.tasks)))
    assert [key for key in keys if "begin_and_wait" in key] == []
    assert len(list(folder.glob("begun-*"))) < 20
