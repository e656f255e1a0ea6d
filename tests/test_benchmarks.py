"""The bench measures what it says, and all that it holds side by side do the same work."""

import glob
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bench
from bench import Bench, must_have_verified_all
from contenders import (
    captioners,
    compilers,
    cutline,
    graphs,
    same_captions,
    same_rows,
    script,
    stages,
    watched,
)
from data import sidecar
from measure import Contender, ContenderError, Result, Runs, kill_when, race, run
from room import MountError, fresh_data, fresh_ext4, fresh_folder, has_room, kind_of, open_room
from samples import samples_in
from verdict import at_least, at_most, noted, runs_table, verdicts_table

pytestmark = pytest.mark.bench

RECORDS = 300
ROWS = RECORDS - RECORDS // 50


def python(code, *arguments):
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture(scope="module")
def room():
    with open_room(10 * RECORDS) as room:
        yield room


@pytest.fixture(scope="module")
def data(room):
    run(script("data", f"{room.path}/data", str(RECORDS)))
    return f"{room.path}/data"


@pytest.fixture
def fresh(tmp_path):
    @contextmanager
    def folder():
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.mkdir()
        yield str(path)

    return folder


def test_all_who_compile_make_the_same_rows(data, fresh, tmp_path):
    runs = race(compilers(data), 1, fresh, same_rows)
    names = [each.name for each in runs]
    assert names == ["recipe", "naive bag", "floor", "floor on Dask", "cutline"]
    tables = [pq.read_metadata(path) for path in tmp_path.glob("*/table.parquet")]
    assert [table.num_rows for table in tables] == [ROWS] * 5


def test_all_who_write_captions_write_the_same_files(data, room, tmp_path):
    table = str(tmp_path / "table.parquet")
    run(script("floor", "compile", data, table))
    race(captioners(table), 1, fresh_data(room, data), same_captions)
    assert not glob.glob(f"{data}/*.txt")


def test_the_floors_on_slow_storage_write_the_same_files_too(data, room, tmp_path):
    table = str(tmp_path / "table.parquet")
    run(script("floor", "compile", data, table))
    fresh, proofs = fresh_data(room, data), set()
    for name in ("floors", "dask_floors"):
        with fresh() as folder:
            run(script(f"slow/{name}", "read", "4", f"{folder}/data"))
            run(script(f"slow/{name}", "write", "4", table, f"{folder}/data"))
            proofs.add(run(same_captions(folder)).stdout)
            run(look := script(f"slow/{name}", "look", "4", f"{folder}/data"))
            for gone in ("image.png", "caption.txt"):  # so each of them is looked at
                os.symlink("nowhere", f"{folder}/data/{gone}")
                with pytest.raises(ContenderError):
                    run(look)
                os.remove(f"{folder}/data/{gone}")
    with fresh() as folder:
        run(script("recipe", "captions", f"{folder}/data"))
        proofs.add(run(same_captions(folder)).stdout)
    assert len(proofs) == 1


def test_samples_have_an_image_and_a_caption_file_a_record_and_nothing_is_wrong(data, room, fresh):
    with samples_in(room, data) as folder, fresh() as place:
        names = os.listdir(folder)
        kinds = [sum(name.endswith(kind) for name in names) for kind in (".json", ".txt")]
        assert [*kinds, len(names)] == [RECORDS, RECORDS, 3 * RECORDS]
        run(cutline("compile", folder, f"{place}/t.parquet"))
        summary = json.loads(run(cutline("verify", f"{place}/t.parquet", folder)).stdout)
    found = {name: one["count"] for name, one in summary["checks"].items() if one["count"]}
    assert found == {"images_left_out": RECORDS - ROWS}
    assert not glob.glob(f"{data}/*.txt")


def test_a_verification_is_held_against_the_compile_of_the_same_folder(data, room):
    report = bench.verify(Bench(room, data, RECORDS, 1))
    assert [(runs.name, len(runs.results)) for runs in report.runs] == [
        ("compile", 1),
        ("verify", 1),
    ]
    compiled, verified = (json.loads(runs.results[0].stdout) for runs in report.runs)
    assert (compiled["sidecars"], verified["images"]) == (RECORDS, RECORDS)
    assert [verdict.target for verdict in report.verdicts] == ["at most 1", "at most 500"]


@pytest.mark.parametrize("change", [{"ok": False}, {"rows": 293}, {"images": 0}])
def test_a_verification_that_has_not_seen_all_stops_the_bench(change):
    compiled = {"rows": 294, "sidecars": 300}
    verified = {"ok": True, "rows": 294, "images": 300}
    must_have_verified_all(compiled, verified)
    with pytest.raises(ContenderError, match="not seen all"):
        must_have_verified_all(compiled, verified | change)


def test_a_compile_that_is_watched_is_held_against_one_that_is_not(data, room, monkeypatch):
    monkeypatch.setattr(bench, "WATCHED_ROUNDS", 2)
    report = bench.watched(Bench(room, data, RECORDS, 1))
    assert [(runs.name, len(runs.results)) for runs in report.runs] == [
        ("not watched", 2),
        ("watched", 2),
        ("looked at", 2),
    ]
    targets = [verdict.target for verdict in report.verdicts]
    assert targets == ["at most 1.05", "at most 1.05", "", ""]


@pytest.mark.parametrize(("number", "has_one"), [(0, False), (1, True)])
def test_only_the_watched_one_has_a_dashboard_to_look_at(data, fresh, number, has_one):
    with fresh() as folder:
        command = script("looked_at", *watched(data)[number].command(folder))
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) == has_one
    assert ("no dashboard was to be seen" in ran.stderr) != has_one


def test_the_floor_and_cutline_tell_the_seconds_of_their_stages(data, tmp_path):
    for contender in stages(data):
        summary = json.loads(run(contender.command(str(tmp_path))).stdout)
        assert set(summary["stages"]) == {"list", "rows", "merge"}


def test_the_graph_of_the_naive_bag_holds_the_paths_and_that_of_cutline_does_not(data):
    naive, cutline = (int(run(command).stdout) for command in graphs(data))
    assert naive > RECORDS * len(data) > cutline > 0


def test_the_sidecars_are_what_their_numbers_say_whoever_writes_them(data):
    assert len(os.listdir(data)) == RECORDS
    for number in (0, 1, 50, RECORDS - 1):
        stem, fields = sidecar(number)
        with open(f"{data}/{stem}.json") as file:
            assert json.load(file) == fields
        assert ("width" in fields) == (number % 50 > 0)


def test_a_sidecar_has_about_two_kilobytes(data):
    sizes = [os.path.getsize(path) for path in glob.glob(f"{data}/*.json")]
    assert 1900 < sum(sizes) / len(sizes) < 2200


def test_contenders_take_turns(fresh, tmp_path):
    note = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    log = tmp_path / "log"
    both = [Contender(name, lambda _, name=name: python(note, str(log), name)) for name in "ab"]
    runs = race(both, 3, fresh, lambda _: python("print('same')"))
    assert log.read_text() == "ababab"
    assert [len(each.results) for each in runs] == [3, 3]


def test_contenders_that_disagree_stop_the_bench(fresh):
    write = "import sys; open(sys.argv[1] + '/made', 'w').write(sys.argv[2])"
    show = "import sys; print(open(sys.argv[1] + '/made').read())"
    both = [Contender(name, lambda at, name=name: python(write, at, name)) for name in "ab"]
    with pytest.raises(ContenderError, match="differ"):
        race(both, 1, fresh, lambda at: python(show, at))


def test_rows_have_one_digest_in_any_order_and_another_when_a_value_differs(tmp_path):
    rows = [{"filename": name, "caption": "a fox"} for name in ("1.jpg", "2.jpg", "3.jpg")]
    versions = [rows, rows[::-1], [*rows[:2], rows[2] | {"caption": "an owl"}], rows[:2]]
    digests = []
    for number, version in enumerate(versions):
        table = str(tmp_path / f"{number}.parquet")
        pq.write_table(pa.Table.from_pylist(version), table)
        digests.append(run(script("digest", "rows", table)).stdout)
    assert digests[0] == digests[1]
    assert len({*digests}) == 3


def test_the_peak_is_that_of_the_largest_process_of_the_tree():
    grandchild = "bytearray(400_000_000)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    assert 400e6 < run(python(child)).peak_bytes < 600e6


def test_the_peak_is_also_that_of_a_process_that_was_left_behind_and_is_ended():
    left = "hog = bytearray(400_000_000); print(flush=True); import time; time.sleep(600)"
    child = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {left!r}], stdout=subprocess.PIPE).stdout.readline()
"""
    assert 400e6 < run(python(child)).peak_bytes < 600e6


def test_cpu_time_counts_descendants():
    spin = "import time\nwhile time.process_time() < 0.3: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    assert run(python(child)).cpu_seconds > 0.3


def test_a_process_that_fails_stops_the_bench_with_what_it_said():
    with pytest.raises(ContenderError, match="out of luck"):
        run(python("import sys; sys.exit('out of luck')"))


def test_a_command_is_killed_with_all_that_it_has_started(tmp_path):
    sleeps = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {sleeps!r}, {str(tmp_path / "pid")!r}])
"""
    pid = tmp_path / "pid"
    kill_when(lambda: pid.exists() and pid.read_text(), python(code))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_command_that_ends_before_it_is_killed_stops_the_bench():
    with pytest.raises(ContenderError, match="ended before it was to be killed"):
        kill_when(lambda: False, python("pass"))


def test_a_resumed_run_is_held_against_a_whole_one(room, data):
    report = bench.resume(bench.Bench(room, data, RECORDS, 1))
    whole, resumed = (json.loads(runs.results[0].stdout) for runs in report.runs)
    assert (whole["parts"], whole["reused_parts"]) == (43, 0)
    assert 39 <= resumed["reused_parts"] <= 43
    assert resumed["rows"] == whole["rows"] == ROWS
    share, _ = report.verdicts
    assert (share.target, float(share.figure) > 0) == ("", True)


def test_the_target_of_a_resumed_run_is_one_of_the_full_size(room, data):
    small, full = (bench.Bench(room, data, records, 1) for records in (20_000, bench.FULL_RECORDS))
    assert bench.at_most_in_full(small, "m", 0.6, 0.5) == noted("m", 0.6)
    assert bench.at_most_in_full(full, "m", 0.6, 0.5).met == "NO"
    assert "resume" in bench.AT_FULL_SIZE


def test_a_run_that_was_not_resumed_or_made_another_table_stops_the_bench():
    with pytest.raises(ContenderError, match="too many parts"):
        bench.must_be_resumed({"parts": 100, "reused_parts": 84}, same=True)
    with pytest.raises(ContenderError, match="differs"):
        bench.must_be_resumed({"parts": 100, "reused_parts": 85}, same=False)


def test_a_bench_that_is_stopped_takes_its_process_with_it(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    code = f"""
import os, signal, time
with open({str(tmp_path / "pid")!r}, "w") as file:
    file.write(str(os.getpid()))
os.kill(os.getppid(), signal.SIGUSR1)
time.sleep(600)
"""
    try:
        with pytest.raises(KeyboardInterrupt):
            run(python(code))
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_fresh_ext4_has_the_data_and_goes_away_or_the_reason_is_said(data, room):
    try:
        with fresh_ext4(room, data, RECORDS)() as folder:
            assert kind_of(folder) == "ext2/ext3"
            assert sorted(os.listdir(f"{folder}/data")) == sorted(os.listdir(data))
    except MountError as reason:
        assert str(reason)  # noqa: PT017 - where nothing can be mounted, this is what is promised
    with open("/proc/mounts") as mounts:
        assert room.path not in mounts.read()


def test_a_room_is_gone_after_an_interruption():
    with pytest.raises(RuntimeError), open_room(1) as room, fresh_folder(room)() as folder:  # noqa: PT012
        os.mkdir(f"{folder}/left")
        raise RuntimeError
    assert not os.path.exists(room.path)


@pytest.mark.parametrize("name", bench.ON_DISK)
def test_where_a_disk_has_no_room_nothing_is_measured_and_that_is_said(room, name, monkeypatch):
    monkeypatch.setattr(bench, "DISK_BYTES", 1e18)
    report = bench.MEASUREMENTS[name](bench.Bench(room, "", 0, 1))
    assert not report.runs
    assert "TMPDIR" in str(report.verdicts)


def test_memory_has_no_room_for_more_files_than_it_can_hold(tmp_path):
    assert not has_room("/dev/shm", 10**15)
    assert not has_room(str(tmp_path / "missing"), 1)


def test_figures_are_the_median_the_span_and_the_largest_peak():
    slow = Runs("slow", [Result(seconds, 3.0, 10**6, b"") for seconds in (4.0, 2.0, 9.0)])
    fast = Runs("fast", [Result(1.0, 1.5, peak, b"") for peak in (10**6, 7 * 10**6, 10**6)])
    assert runs_table([slow, fast]).splitlines()[2:] == [
        "| slow | 4.00 | 2.00 | 9.00 | 1.00 | 3.00 | 1 |",
        "| fast | 1.00 | 1.00 | 1.00 | 4.00 | 1.50 | 7 |",
    ]


def test_a_verdict_says_whether_its_target_was_met():
    verdicts = [at_least("a", 1.5, 1.5), at_least("b", 1.49, 1.5), at_most("c", 2, 1 / 3)]
    assert verdicts_table([*verdicts, noted("d", 4)]).splitlines()[2:] == [
        "| a | 1.50 | at least 1.5 | yes |",
        "| b | 1.49 | at least 1.5 | NO |",
        "| c | 2.00 | at most 0.3333 | NO |",
        "| d | 4.00 |  |  |",
    ]
