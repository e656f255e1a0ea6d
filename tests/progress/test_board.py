import re
import subprocess
import sys

import pytest
from distributed import Client, LocalCluster
from msgspec import to_builtins

from cutline import CompileOptions, CutlineError, compile_table
from cutline.progress import events, plugin, stages
from cutline.progress.events import Begun, Done, Ended, JobBegun, JobEnded, read_event
from cutline.progress.plugin import BoardPlugin
from cutline.progress.stages import Progress
from cutline.progress.summaries import in_a_line
from schedulers import scheduler, without

pytestmark = pytest.mark.commands

STRICT = CompileOptions(max_rejects=0, fresh=True)


def begun(tasks=4, amount=400, unit="sidecars", stage="s", client="c"):
    return Begun(stage, "compile-rows", client, tasks, amount, unit)


def done(amount=100, seconds=1.0, stage="s", **rejects):
    examples = {reason: f"{reason} {count}" for reason, count in rejects.items()}
    rows = amount - sum(rejects.values())
    return Done(amount, {"rows": rows}, rejects, seconds, examples, f"part {amount}", stage, "w")


JOB = (JobBegun("j", "run", "c", ("merge",)), JobEnded("j", "failed", "why", ("line",)))


def told(plugin, *told_events):
    for event in told_events:
        plugin.log_event("cutline", to_builtins(event))


# A stage


def test_a_stage_sums_what_its_tasks_tell():
    stage = Progress(begun(), began=0)
    stage.take(done(100, no_width=3), now=1)
    stage.take(done(150, no_width=1, bad_json=2), now=2)
    assert (stage.tasks, stage.done) == (2, 250)
    assert stage.made == {"rows": 97 + 147}
    assert stage.rejects == {"no_width": 4, "bad_json": 2}


def test_a_stage_of_tasks_counts_tasks():
    stage = Progress(begun(amount=4, unit="tasks"), began=0)
    stage.take(done(100), now=1)
    assert stage.done == 1


def test_the_time_left_is_by_what_is_done():
    stage = Progress(begun(amount=400), began=10)
    assert stage.left(20) is None
    stage.take(done(100), now=20)
    assert stage.left(20) == 30


def test_a_stage_ends_with_its_last_task():
    stage = Progress(begun(tasks=2, amount=200), began=0)
    stage.take(done(), now=1)
    assert not stage.whole
    stage.take(done(), now=3)
    assert stage.whole
    assert stage.seconds(now=99) == 3
    assert stage.left(99) is None


def test_the_last_examples_and_the_slowest_tasks_are_kept():
    stage = Progress(begun(tasks=100), began=0)
    for number in range(20):
        stage.take(done(100 + number, seconds=number % 10, no_width=number), now=number)
    assert list(stage.examples["no_width"]) == ["no_width 17", "no_width 18", "no_width 19"]
    assert [task.seconds for task in stage.slowest] == [9, 9, 8, 8, 7]


def test_the_line_shows_the_mean_rate_and_stays_short():
    stage = Progress(begun(tasks=10**6, amount=10**9), began=0)
    for number in range(1, 5001):
        stage.take(done(50), now=number / 2)
    assert len(stage.line) <= stages.POINTS
    rates = stage.rates()
    assert len(rates) > 50
    assert all(rate == pytest.approx(100, rel=0.05) for _, rate in rates)


def test_tasks_that_end_in_bursts_give_no_spikes():
    stage = Progress(begun(tasks=10**6, amount=10**9), began=0)
    for second in range(0, 100, 2):
        for task in range(4):
            stage.take(done(50), now=second + task / 1000)
    assert max(rate for _, rate in stage.rates()) < 250


# The board


def test_events_of_others_and_of_other_versions_are_passed_over():
    plugin = BoardPlugin()
    told(plugin, begun())
    plugin.log_event("another", to_builtins(done()))
    for strange in (None, 7, {}, {"event": "done"}, {"event": "new", "stage": "s"}):
        plugin.log_event("cutline", strange)
    told(plugin, done(stage="unknown"), Ended("unknown", 1))
    assert plugin.board.stages["s"].tasks == 0


def test_events_come_back_as_they_were():
    for event in (begun(), done(no_width=3), Ended("s", 1), *JOB):
        assert read_event(to_builtins(event)) == event


def test_only_the_last_jobs_and_their_last_stages_are_kept():
    plugin = BoardPlugin()
    for job in range(6):
        told(plugin, JobBegun(str(job), "run", "c", ()))
        told(plugin, *(begun(stage=f"{job}-{number}") for number in range(20)))
        told(plugin, JobEnded(str(job), "done"))
    kept = [f"{job}-{number}" for job in range(2, 6) for number in range(4, 20)]
    assert list(plugin.board.stages) == kept


def test_a_page_that_comes_late_knows_of_the_job_that_has_begun(tmp_path, demo_root):
    folder, _ = demo_root
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        summary = compile_table(str(folder / "data"), tmp_path / "t.parquet", client=client)
        with pytest.raises(CutlineError) as raised:
            compile_table(str(folder / "data"), tmp_path / "t.parquet", STRICT, client=client)
        done, failed = client.run_on_scheduler(
            lambda dask_scheduler: [
                job.end for job in dask_scheduler.plugins[events.PLUGIN].board.jobs.values()
            ]
        )
    assert (done.how, done.why, *done.summary) == ("done", "", in_a_line(summary))
    assert (failed.how, failed.why) == ("failed", str(raised.value))


@pytest.mark.parametrize("how", ["ended", "client gone"])
def test_a_stage_that_nobody_waits_for_any_more_is_stopped(how):
    plugin = BoardPlugin()
    told(plugin, begun(), done())
    if how == "ended":
        told(plugin, Ended("s", 1))
    else:
        plugin.remove_client(None, "c")
    assert plugin.board.stages["s"].ended is not None
    assert not plugin.board.stages["s"].whole


def test_a_stage_whose_tasks_tell_nothing_is_done_when_they_are():
    plugin = BoardPlugin()
    told(plugin, begun(tasks=4, amount=4, unit="tasks"), Ended("s", 4))
    assert plugin.board.stages["s"].whole
    assert plugin.board.stages["s"].done == 4


def test_workers_that_are_lost_at_work_are_counted():
    plugin = BoardPlugin()
    plugin.remove_worker(None, "w")
    told(plugin, begun(tasks=1))
    plugin.remove_worker(None, "w")
    told(plugin, done())
    plugin.remove_worker(None, "w")
    assert plugin.board.lost_workers == 1


# On a scheduler


def stages_on(client):
    """Read the board of a client's scheduler."""
    return client.run_on_scheduler(
        lambda dask_scheduler: [
            (stage.begun.name, stage.done, stage.whole, dict(stage.made), dict(stage.rejects))
            for stage in dask_scheduler.plugins[events.PLUGIN].board.stages.values()
        ]
    )


def test_the_board_of_a_job_equals_its_summary(tmp_path, demo_root):
    folder, _ = demo_root
    options = CompileOptions(partition_size=50)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        table = str(tmp_path / "t.parquet")
        summary = compile_table(str(folder / "data"), table, options, client=client)
        first, merged = stages_on(client)
        compile_table(str(folder / "data"), table, options, client=client)
        second = stages_on(client)[2]
    rejects = {**summary.rejects}
    duplicates = rejects.pop("duplicate")  # found by the merge
    rows = summary.rows + duplicates
    assert first == ("compile-rows", summary.sidecars, True, {"rows": rows}, rejects)
    assert (merged[0], merged[3]["rows"]) == ("merge", summary.rows)
    assert second[0] == "check-parts"
    assert second[3:] == ({"rows kept": summary.rows}, summary.rejects)


def test_a_board_of_another_version_is_refused(monkeypatch):
    lines = []
    with monkeypatch.context() as patch:
        patch.setattr(plugin, "version", lambda _: "0.0.1")
        other = BoardPlugin()
    monkeypatch.setattr(plugin, "BoardPlugin", lambda: other)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        plugin.show_captions_page(client, lines.append)
        plugin.show_captions_page(client, lines.append)
    (line,) = lines
    assert f"its cutline is {BoardPlugin().version}, and this is 0.0.1" in line


def run_on(there, folder, tmp_path):
    """Run the command line on a scheduler."""
    command = [sys.executable, "-m", "cutline", "compile"]
    command += [str(folder / "data"), str(tmp_path / "t.parquet"), "--scheduler", there["address"]]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_job_runs_on_a_scheduler_without_bokeh_and_says_so_once(tmp_path, demo_root):
    folder, expected = demo_root
    with scheduler(tmp_path, **without({"bokeh"}, tmp_path)) as there:
        ran = run_on(there, folder, tmp_path)
    assert ran.returncode == 0
    (line,) = [line for line in ran.stderr.splitlines() if "Captions page" in line]
    assert line.endswith("the job runs: the scheduler lacks bokeh; install it there.")
    assert "Traceback" not in ran.stderr
    assert re.search(rf"rows +{expected.rows}\n", ran.stderr)


UNSEEN = """
import sys

import cutline
from cutline.progress import show_progress

if __name__ == "__main__":
    with cutline.connect(cutline.Local(workers=1, dashboard_address=sys.argv[1])) as client:
        cutline.compile_table(*sys.argv[2:], client=client, watcher=show_progress())
        plugins = client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.plugins])
    print(sorted(name for name in sys.modules if name.partition(".")[0] == "bokeh"))
    print(any("cutline" in name for name in plugins))
"""


@pytest.mark.parametrize(("address", "has_board"), [("none", False), ("127.0.0.1:0", True)])
def test_bokeh_is_loaded_for_a_dashboard_only(tmp_path, demo_root, address, has_board):
    """In a process of its own, where the scheduler of a local cluster is."""
    (tmp_path / "job.py").write_text(UNSEEN)
    folder, _ = demo_root
    ran = subprocess.run(
        [sys.executable, "job.py", address, str(folder / "data"), "t.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, board = ran.stdout.splitlines()
    assert (loaded != "[]", board) == (has_board, str(has_board))
    told = [line[9:].partition(":")[0] for line in ran.stderr.splitlines()]
    assert told == ["compile-rows"]


@pytest.mark.parametrize("packages", [{"bokeh"}, set()], ids=["without bokeh", "with bokeh"])
def test_a_scheduler_that_was_told_to_have_no_dashboard_is_not_asked_for_one(tmp_path, packages):
    lines = []
    with (
        scheduler(tmp_path, "--no-dashboard", **without(packages, tmp_path)) as there,
        Client(there["address"], set_as_default=False) as client,
    ):
        plugin.show_captions_page(client, lines.append)
        assert not client.run_on_scheduler(
            lambda dask_scheduler: events.PLUGIN in dask_scheduler.plugins
        )
    assert lines == []


def test_a_scheduler_without_cutline_is_refused_in_a_sentence(tmp_path, demo_root):
    folder, _ = demo_root
    with scheduler(tmp_path, **without({"cutline"}, tmp_path)) as there:
        ran = run_on(there, folder, tmp_path)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "cutline: The scheduler lacks cutline, and has to read its tasks: install it there."
    )
