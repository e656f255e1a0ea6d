import io
import os
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from cutline import run
from cutline.captions.caption_files import CaptionsSummary
from cutline.demo.making import make_demo
from cutline.demo.samples import DemoOptions
from cutline.progress import log, watcher
from cutline.progress.log import Log
from cutline.progress.on_stderr import on_stderr
from cutline.progress.summaries import readable
from cutline.progress.terminal import Terminal
from cutline.progress.watcher import SILENT, Clock, Load, duration
from cutline.recipe import RunSummary
from cutline.table.compiling import CompileSummary
from intact import NAMES, intact

SUMMARY = CaptionsSummary("/data", 1200, 3, 4, 2, {"no_caption": 5}, 1.5)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = SimpleNamespace(seconds=100.0)
    stopped = SimpleNamespace(monotonic=lambda: now.seconds, strftime=time.strftime)
    for module in (watcher, log):
        monkeypatch.setattr(module, "time", stopped)
    return now


def logged(seconds_a_task, tasks, clock, load=None):
    file, load = io.StringIO(), load or Load(tasks)
    with Log(file).stage("compile-rows", load) as advance:
        for _ in range(tasks):
            clock.seconds += seconds_a_task
            advance(load.amount // tasks)
    return timeless(file.getvalue())


def timeless(text):
    """The lines of a log without their times, which each has."""
    assert re.findall(r"^(?!\d\d:\d\d:\d\d )", text.removesuffix("\n"), re.MULTILINE) == []
    return re.sub(r"^.{9}", "", text, flags=re.MULTILINE)


# A log


def test_a_log_gets_one_line_of_a_short_stage(clock):
    assert logged(0.01, 500, clock) == "compile-rows: 500 of 500 tasks in 5.0 s, 100 a second\n"


def test_a_log_gets_a_line_as_the_seconds_double_from_ten_and_one_at_the_end(clock):
    lines = logged(1, 35, clock).splitlines()
    assert [line.split(" in ")[1].split(",")[0] for line in lines] == [
        "10 s",
        "20 s",
        "35 s",
    ]
    assert lines[0] == "compile-rows: 10 of 35 tasks in 10 s, 1 a second, 25 s left"


def test_a_log_counts_what_a_stage_has_to_do(clock):
    lines = logged(1, 40, clock, Load(1_000_000, "sidecars")).splitlines()
    assert lines[0] == (
        "compile-rows: 250,000 of 1,000,000 sidecars in 10 s, 25,000 a second, 30 s left"
    )
    assert lines[-1] == "compile-rows: 1,000,000 of 1,000,000 sidecars in 40 s, 25,000 a second"


def test_a_log_counts_bytes_as_sizes(clock):
    lines = logged(1, 40, clock, Load(530_000_000_000, "bytes")).splitlines()
    assert lines[0] == "compile-rows: 132 GB of 530 GB in 10 s, 13.2 GB a second, 30 s left"
    assert lines[-1] == "compile-rows: 530 GB of 530 GB in 40 s, 13.2 GB a second"


def test_a_log_of_files_that_are_all_empty_says_so(clock):
    assert logged(1, 1, clock, Load(0, "bytes")) == "compile-rows: 0 bytes of 0 bytes in 1.0 s\n"


def test_a_log_of_slow_tasks_gets_a_line_a_task_at_most(clock):
    lines = logged(60, 4, clock).splitlines()
    assert len(lines) == 3
    assert lines[0] == "compile-rows: 1 of 4 tasks in 1 min 00 s, 1 a minute, 3 min 00 s left"


@pytest.mark.parametrize("hours", [0.01, 0.1, 1, 5])
def test_a_log_of_a_million_sidecars_is_short_however_slow_the_disk(clock, hours):
    parts = 232
    lines = logged(hours * 3600 / parts, parts, clock, Load(1_160_000, "sidecars")).splitlines()
    assert len(lines) <= 20


def test_a_log_of_a_run_over_a_million_is_short_on_a_slow_disk(clock):
    minutes = {"index-shards": 10, "extract-files": 180, "compile-rows": 10}
    minutes |= {"write-caption-files": 10, "verify-rows": 5, "verify-files": 5, "report-rows": 1}
    file = io.StringIO()
    for name, length in minutes.items():
        with Log(file).stage(name, Load(1_160_000, "files")) as advance:
            for _ in range(1000):
                clock.seconds += length * 60 / 1000
                advance(1160)
    assert len(file.getvalue().splitlines()) + 8 < 60  # with the steps, where it is, what is wrong


def test_a_log_gets_no_line_of_a_stage_that_fails(clock):
    file = io.StringIO()
    with pytest.raises(ValueError, match="x"), Log(file).stage("compile-rows", Load(3)):
        raise ValueError("x")
    assert file.getvalue() == ""


def test_lines_of_a_log_are_whole_and_have_no_control_characters():
    file = io.StringIO()
    log = Log(file)
    log.say("It is in /a\nb/\x1b[31mred\r.")
    log.report(
        CaptionsSummary("/da\nta\x1b", 1200, 3, 4, 2, {"no_caption": 5, "unwritable": 7}, 1.5)
    )
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f]", file.getvalue()) == []
    assert file.getvalue().splitlines() == [
        file.getvalue()[:9] + "It is in /a b/ [31mred .",
        "captions",
        "  data       /da ta",
        "  written    1,200",
        "  replaced   3",
        "  unchanged  4",
        "  edited     2",
        "  rejects    12: unwritable 7, no_caption 5",
        "  seconds    1.5",
    ]


def test_a_log_of_a_run_has_a_line_a_step(tmp_path):
    """And of the checks those that failed, with examples; the report has all of them."""
    made = intact(tmp_path / "set")
    (made.data / "orphan.jpg").write_bytes((made.data / NAMES[0]).read_bytes())
    file = io.StringIO()
    Log(file).report(run(str(made.root)))
    lines = timeless(file.getvalue()).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        *("compile", "captions", "verify"),
        *("images without row 1, not ok", "images without caption file 1, not ok"),
        *("loader", "report"),
    ]
    assert lines[3].endswith(": orphan.jpg (no_sidecar: no sidecar names it)")
    assert lines[0].startswith(f"compile: sidecars {len(NAMES)}; rows {len(NAMES)}; parts 1; ")
    assert lines[0].endswith(f"; {made.table}")
    assert lines[2].startswith(
        "verify: images without row 1; images without caption file 1; ok no; orphans 1: "
    )
    assert max(map(len, lines)) < 250


def logged_run(records, folder):
    """Run a demo from its shards with standard error in a file, and give that."""
    make_demo(folder / "demo", DemoOptions(records, form="shards"))
    command = [sys.executable, "-m", "cutline", "run", str(folder / "demo"), "--workers", "1"]
    with open(folder / "log", "wb") as log:
        subprocess.run([*command, "--dashboard-address", "127.0.0.1:0"], stderr=log, check=False)
    return (folder / "log").read_text()


@pytest.mark.commands
def test_the_log_of_a_whole_run_is_as_long_for_ten_times_the_records(tmp_path):
    logs = []
    for records in (300, 3000):
        (folder := tmp_path / str(records)).mkdir()
        logs.append(logged_run(records, folder))
    for text in logs:
        assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text) == []
        assert text.endswith("\n")
        assert len(text.splitlines()) < 60
    few, many = (
        [re.split("[ :]", line)[1 + 2 * (line[2] == ":")] for line in log.splitlines()]
        for log in (re.sub(".* left\n", "", log) for log in logs)
    )
    assert "compile-rows: 3,000 of 3,000 sidecars in " in logs[1]
    assert few == many
    # The dashboard, stages, a hint about widths, steps, two checks that fail, what is wrong.
    assert len(few) == 1 + 7 + 1 + 6 + 2 + 1


# A terminal


def on_terminal(width=100):
    return Console(force_terminal=True, file=io.StringIO(), width=width, color_system=None)


def test_a_terminal_shows_a_bar_that_fills():
    console = on_terminal()
    with Terminal(console).stage("compile-rows", Load(3)) as advance:
        for _ in range(3):
            advance(1)
    last = console.file.getvalue().rpartition("compile-rows")[2]
    assert "3/3" in last
    assert "━━━━" in last


def test_a_terminal_counts_what_a_stage_has_to_do():
    console = on_terminal(width=140)
    with Terminal(console).stage("compile-rows", Load(200_000, "sidecars")) as advance:
        for _ in range(2):
            advance(100_000)
    assert "200,000/200,000 sidecars" in console.file.getvalue()


def test_a_terminal_counts_bytes_as_sizes():
    console = on_terminal(width=140)
    with Terminal(console).stage("extract-files", Load(3_000_000_000, "bytes")) as advance:
        for _ in range(2):
            advance(1_500_000_000)
    assert "3 GB/3 GB" in console.file.getvalue()
    assert re.search(r"[\d.]+ [MGT]B/s", console.file.getvalue())


def test_the_rate_of_a_stage_that_is_done_is_that_of_all_of_it():
    """Not that of its last moment, by which a stage of 0.2 s did a million rows a second."""
    console = on_terminal(width=140)
    began = time.monotonic()
    with Terminal(console).stage("write-caption-files", Load(2000, "rows")) as advance:
        advance(1)
        time.sleep(0.2)
        advance(1999)
    took = time.monotonic() - began
    *_, rate = re.findall(r"([\d,]+)/s", console.file.getvalue())
    assert 2000 / took - 1 <= int(rate.replace(",", "")) <= 2000 / 0.2


def test_a_terminal_shows_names_as_they_are():
    console = on_terminal(width=40)
    Terminal(console).say("It is in /data/[bold]a very long folder's name[/bold]/\x1b[31m.")
    assert console.file.getvalue() == (
        "It is in /data/[bold]a very long\nfolder's name[/bold]/ [31m.\n"
    )


def frames(console):
    """What was shown, line by line, without what moves the cursor."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", console.file.getvalue()))


@pytest.mark.parametrize("name", ["write-caption-files", "3/6 write-caption-files"])
@pytest.mark.parametrize("load", [Load(1_161_957, "sidecars"), Load(530_000_000_000, "bytes")])
def test_a_bar_of_a_million_is_one_line_of_80_columns(load, name):
    console = on_terminal(width=80)
    with Terminal(console).stage(name, load) as advance:
        for _ in range(2):
            advance(load.amount // 2)
            time.sleep(0.01)
        advance(load.amount % 2)
    lines = [line for line in frames(console) if line.strip()]
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(f"{name} ") and "/" in line for line in lines)


def test_a_bar_has_no_estimate_before_two_seconds():
    console = on_terminal(width=80)
    with Terminal(console).stage("compile-rows", Load(1000)) as advance:
        for _ in range(3):
            advance(10)
            time.sleep(0.2)
    assert re.findall(r":\d\d|-:--", "".join(frames(console))) == []


def test_the_end_of_a_run_fits_a_terminal(tmp_path):
    make_demo(tmp_path / "dalle3", DemoOptions(1000))
    console = on_terminal(width=80)
    Terminal(console).report(run(tmp_path / "dalle3"))
    lines = frames(console)
    assert len(lines) <= 20  # 24, with the sentence about what is wrong and the prompt
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if re.search(r"images without row +FAILS +\d", line)]
    assert [line for line in lines if re.search(r"\d\d checks ok", line)]
    assert [line for line in lines if re.search(r" ok  +0", line)] == []


def test_a_terminal_shows_a_table_of_counts_at_the_end():
    console = on_terminal()
    Terminal(console).report(SUMMARY)
    lines = [line.split(maxsplit=1) for line in console.file.getvalue().splitlines()]
    assert ["written", "1,200"] in lines
    assert ["rejects", "5: no_caption 5"] in lines


# Which of them


def test_standard_error_that_is_a_terminal_gets_bars(monkeypatch):
    master, slave = os.openpty()
    with os.fdopen(master, "rb", buffering=0) as shown, os.fdopen(slave, "w") as terminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", terminal)
        watcher = on_stderr()
        assert isinstance(watcher, Terminal)
        with watcher.stage("compile-rows", Load(1)) as advance:
            advance(1)
        print("the end", file=terminal, flush=True)
        output = b""
        while b"the end" not in output:  # it comes in pieces
            output += shown.read(2**16)
    assert b"compile-rows" in output


@pytest.mark.parametrize("force", [None, "1"])
def test_standard_error_that_is_a_file_gets_lines(monkeypatch, force):
    if force:
        monkeypatch.setenv("FORCE_COLOR", force)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    watcher = on_stderr()
    with watcher.stage("compile-rows", Load(1)) as advance:
        advance(1)
    watcher.report(SUMMARY)
    assert len(file.getvalue().splitlines()) == 1 + len(readable(SUMMARY))
    assert "\x1b" not in file.getvalue()


def test_nobody_is_told_by_default(capfd):
    with SILENT.stage("compile-rows", Load(2)) as advance:
        advance(1)
    SILENT.say("x")
    SILENT.report(SUMMARY)
    assert capfd.readouterr() == ("", "")


# What they show


def test_a_summary_prints_in_lines_that_a_person_can_read():
    compiled = CompileSummary("/t.parquet", 10, 8, {"no_width": 2}, 1, 0, 0, 1.5, {"list": 0.5})
    lines = repr(RunSummary(compiled, SUMMARY, 3.0)).splitlines()
    assert lines[:4] == [
        "run",
        "  compile",
        "    table            /t.parquet",
        "    sidecars         10",
    ]
    assert "    rejects          2: no_width 2" in lines
    assert "    written    1,200" in lines
    assert lines[-1].split() == ["seconds", "3.0"]


def test_what_a_check_found_is_one_line():
    check = {"ok": False, "count": 1200, "examples": ["a.jpg", "b\n.jpg"]}
    body = {"job": "verify", "ok": False, "checks": {"orphans": check}}
    assert readable(SimpleNamespace(as_json=lambda: body)) == [
        "verify",
        "  ok      no",
        "  checks",
        "    orphans  1,200, not ok: a.jpg; b .jpg",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3700, "1 h 01 min"),
    ],
)
def test_a_time_is_written_as_people_say_it(seconds, words):
    assert duration(seconds) == words


def test_a_clock_times_stages_and_the_whole(clock):
    whole = Clock(began=clock.seconds)
    for name, seconds in {"list": 2, "rows": 5}.items():
        with whole.stage(name):
            clock.seconds += seconds
    assert whole.stages == {"list": 2, "rows": 5}
    assert whole.total() == 7
