"""A whole run in a terminal of 80 columns, as people see it."""

import re
import signal
import sys

import pytest

from cutline.demo.making import make_demo
from cutline.demo.samples import DemoOptions
from terminal import Screen

pytestmark = pytest.mark.commands

COMMAND = (sys.executable, "-m", "cutline", "run", "dalle3", "--workers", "1")
PLACE = ("--dashboard-address", "127.0.0.1:0")


@pytest.fixture
def demo(tmp_path):
    make_demo(tmp_path / "dalle3", DemoOptions(300, form="shards"))
    return tmp_path


@pytest.mark.parametrize("columns", [80, 120])
def test_a_run_fits_its_terminal_and_shows_which_of_its_steps_it_is_at(demo, columns):
    screen = Screen([*COMMAND, *PLACE], columns, cwd=demo)
    assert screen.wait() == 1  # orphans
    assert screen.widest <= columns
    lines = screen.whole_text()
    assert re.fullmatch(r"The dashboard is at http://127\.0\.0\.1:\d+/captions", lines[0])
    bars = [line.split()[:2] for line in lines if re.match(r"\d/6 ", line)]
    numbers = [number for number, _ in bars]
    assert numbers == sorted(numbers)
    assert ["2/6", "compile-rows"] in bars
    assert ["6/6", "report-rows"] in bars
    advised = " ".join(" ".join(lines).split())
    assert re.findall("`([^`]*orphans[^`]*)`", advised) == ["cutline run dalle3 --orphans move"]
    assert "--orphans move=" not in advised


def test_ctrl_c_leaves_one_bar_and_one_sentence(demo):
    screen = Screen([*COMMAND, *PLACE], 80, cwd=demo)
    while not any(line.startswith("1/6 extract-files") for line in screen.text()):
        assert screen.read(0.05)
    screen.process.send_signal(signal.SIGINT)
    assert screen.wait() == 130
    shown = [line for line in screen.whole_text() if line.startswith(("1/6 ext", "2/6", "cutline"))]
    assert [line.split()[0] for line in shown] == ["1/6", "cutline:"]
    assert screen.whole_text()[-1] == "" or screen.widest <= 80
    tail = " ".join(screen.whole_text()).partition("cutline: ")[2]
    assert " ".join(tail.split()) == (
        "Stopped; what is done is kept, go on with `python -m cutline"
        f" {' '.join(COMMAND[3:])} {' '.join(PLACE)}`."
    )
