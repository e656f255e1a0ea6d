import io
import os
import re
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from cutline import watch
from cutline.captions import CaptionsSummary
from cutline.watch import SILENT, Clock, Log, Terminal, flat, on_stderr

SUMMARY = CaptionsSummary("/data", 1200, 3, 4, {"no_caption": 5}, 1.5)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def logged(seconds_a_task, tasks, clock):
    file = io.StringIO()
    with Log(file).stage("compile-rows", tasks) as advance:
        for _ in range(tasks):
            clock.seconds += seconds_a_task
            advance(1)
    return file.getvalue()


# A log


def test_a_log_gets_one_line_of_a_short_stage(clock):
    assert logged(0.01, 500, clock) == "compile-rows: 500 of 500 tasks in 5.0 s\n"


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(clock):
    lines = logged(1, 35, clock).splitlines()
    assert [line.split(" in ")[1] for line in lines] == ["10 s", "20 s", "30 s", "35.0 s"]
    assert lines[0] == "compile-rows: 10 of 35 tasks in 10 s"


def test_a_log_of_slow_tasks_gets_a_line_a_task_at_most(clock):
    assert len(logged(60, 5, clock).splitlines()) == 5 + 1


def test_a_log_gets_no_line_of_a_stage_that_fails(clock):
    file = io.StringIO()
    with pytest.raises(ValueError, match="x"), Log(file).stage("compile-rows", 3):
        raise ValueError("x")
    assert file.getvalue() == ""


def test_lines_of_a_log_are_whole_and_have_no_control_characters():
    file = io.StringIO()
    log = Log(file)
    log.say("It is in /a\nb/\x1b[31mred\r.")
    log.report(SUMMARY)
    assert re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f]", file.getvalue()) == []
    first, second = file.getvalue().splitlines()
    assert first == "It is in /a b/ [31mred ."
    assert second.startswith("job: captions, data: /data, written: 1200, replaced: 3, ")
    assert second.endswith("rejects no_caption: 5, seconds: 1.5")


# A terminal


def on_terminal(width=100):
    return Console(force_terminal=True, file=io.StringIO(), width=width, color_system=None)


def test_a_terminal_shows_a_bar_that_fills():
    console = on_terminal()
    with Terminal(console).stage("compile-rows", 3) as advance:
        for _ in range(3):
            advance(1)
    last = console.file.getvalue().rpartition("compile-rows")[2]
    assert "3/3" in last
    assert "━━━━" in last


def test_a_terminal_shows_names_as_they_are():
    console = on_terminal(width=40)
    Terminal(console).say("It is in /data/[bold]a very long folder's name[/bold]/\x1b[31m.")
    assert console.file.getvalue() == (
        "It is in /data/[bold]a very long folder's name[/bold]/ [31m.\n"
    )


def test_a_terminal_shows_a_table_of_counts_at_the_end():
    console = on_terminal()
    Terminal(console).report(SUMMARY)
    shown = dict(line.rsplit(maxsplit=1) for line in console.file.getvalue().splitlines())
    counts = {name.strip(): value for name, value in shown.items()}
    assert counts["written"] == "1,200"
    assert counts["rejects no_caption"] == "5"


# Which of them


def test_standard_error_that_is_a_terminal_gets_bars(monkeypatch):
    master, slave = os.openpty()
    with os.fdopen(master, "rb", buffering=0) as shown, os.fdopen(slave, "w") as terminal:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", terminal)
        watcher = on_stderr()
        assert isinstance(watcher, Terminal)
        with watcher.stage("compile-rows", 1) as advance:
            advance(1)
        assert b"compile-rows" in shown.read(2**16)


@pytest.mark.parametrize("force", [None, "1"])
def test_standard_error_that_is_a_file_gets_lines(monkeypatch, force):
    if force:
        monkeypatch.setenv("FORCE_COLOR", force)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    watcher = on_stderr()
    with watcher.stage("compile-rows", 1) as advance:
        advance(1)
    watcher.report(SUMMARY)
    assert len(file.getvalue().splitlines()) == 2
    assert "\x1b" not in file.getvalue()


def test_nobody_is_told_by_default(capfd):
    with SILENT.stage("compile-rows", 2) as advance:
        advance(1)
    SILENT.say("x")
    SILENT.report(SUMMARY)
    assert capfd.readouterr() == ("", "")


# What they show


def test_nested_counts_are_named_by_their_path():
    body = {"job": "run", "compile": {"rows": 3, "rejects": {"no_width": 1}}, "seconds": 2}
    assert dict(flat(body)) == {
        "job": "run",
        "compile rows": 3,
        "compile rejects no_width": 1,
        "seconds": 2,
    }


def test_a_clock_times_stages_and_the_whole(clock):
    whole = Clock(began=clock.seconds)
    for name, seconds in {"list": 2, "rows": 5}.items():
        with whole.stage(name):
            clock.seconds += seconds
    assert whole.stages == {"list": 2, "rows": 5}
    assert whole.total() == 7
