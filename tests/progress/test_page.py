import re
import time

import pytest

from cutline.progress import captions_page
from cutline.progress.events import Begun, Done, Ended, JobBegun, JobEnded
from cutline.progress.stages import Board

EVIL = "<script>alert('x')</script>&"


def board(*events):
    board = Board()
    for event in events:
        board.take(event, time.time())
    return board


def begun(name="compile-rows", tasks=2):
    return Begun("s", name, "c", tasks, 200, "sidecars")


def done(**rejects):
    examples = dict.fromkeys(rejects, EVIL)
    return Done(100, {"rows": 90}, rejects, 0.5, examples, f"part {EVIL}", "s", EVIL)


def html(board, now):
    return captions_page.jobs_html(board, now) + captions_page.details_html(board)


def test_a_board_without_stages_says_so():
    assert "Nothing has begun yet." in html(Board(), 0)


def test_names_and_texts_of_anybody_are_escaped():
    shown = html(board(begun(EVIL), done(**{EVIL: 10})), 0)
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;") >= 5


def test_a_stage_shows_what_it_did_and_how_long_it_will_take():
    watched = board(begun(), done(no_width=7, bad_json=3))
    began = watched.stages["s"].began
    shown = captions_page.jobs_html(watched, began + 10)
    for figure in ("100 of 200 sidecars", "90 rows", ">10<", "width:50.0%", ">10 s</td>"):
        assert figure in shown
    assert "at work for 10 s, about 10 s left." in " ".join(shown.split())
    assert "counted twice" in shown


def extraction(stage="s", name="extract-files", unit="bytes"):
    return Begun(stage, name, "c", 2, 4_000_000_000, unit)


def test_a_stage_of_bytes_shows_sizes_and_counts_its_rejects_among_files():
    done = Done(1_000_000_000, {"written": 75}, {"unwritable": 25}, 0.5, {}, "part 0", "s", "w")
    watched = board(extraction(), done)
    began = watched.stages["s"].began
    shown = html(watched, began + 10)
    for figure in ("1 GB of 4 GB<", "75 written", ">100 MB<", ">1 GB<", ">2 GB<", "25 (25.0%)"):
        assert figure in shown
    assert ">30 s</td>" in shown


def test_the_figure_does_not_hold_bytes_against_rows():
    watched = board(extraction("e"), begun())
    for stage, each_second in (("e", 300_000_000), ("s", 10)):
        for second in range(1, 10):
            watched.stages[stage].done += each_second
            watched.stages[stage].add_point(watched.stages[stage].began + second)
        data = captions_page.lines_data(watched)
        assert data["name"] == ["extract-files (MB)" if stage == "e" else "compile-rows"]
        assert data["y"][0][-1] == 300 if stage == "e" else 10


def test_rejects_are_shown_by_reason_with_examples_the_most_frequent_first():
    shown = captions_page.details_html(board(begun(), done(no_width=3, bad_json=7)))
    assert "Rejected by compile-rows: 10 (10.0%)" in shown
    assert shown.index("bad_json") < shown.index("no_width")


def test_a_stage_that_was_stopped_is_not_done():
    watched = board(begun(), done(), Ended("s", 1))
    shown = captions_page.jobs_html(watched, watched.stages["s"].began)
    assert "was stopped" in shown
    assert ">done<" not in shown


def job(*events, stages=("compile-rows", "merge")):
    return board(JobBegun("j", "run", "c", stages), *events)


def words(watched, now):
    text = re.sub("<[^>]*>", " ", captions_page.jobs_html(watched, now))
    return " ".join(text.split())


def test_the_stages_of_a_job_are_there_from_the_start_with_the_time_left_of_all():
    watched = job()
    assert "compile-rows to come merge to come" in words(watched, 0)
    for event in (begun(), done()):
        watched.take(event, time.time())
    began = watched.stages["s"].began
    shown = words(watched, began + 9)
    # 9 s for 100 samples at 9 us elsewhere: so merge, 1 us for each of 200 there, takes 2 s here.
    assert "run has been at work for 9.0 s, about 11 s left." in shown
    assert "compile-rows" in shown.partition("merge to come")[0]


def test_a_job_says_nothing_of_the_time_left_before_two_seconds():
    watched = job(begun(), done())
    began = watched.stages["s"].began
    assert " left." not in words(watched, began + 1.9)
    assert " left." in words(watched, began + 2.1)


def test_a_stage_that_was_passed_over_is_not_to_come():
    watched = job(Begun("m", "merge", "c", 1, 200, "sidecars"))
    assert "to come" not in words(watched, 0)


@pytest.mark.parametrize(
    ("how", "why", "kind", "sentence"),
    [
        ("done", "", "done", "run is done, in "),
        ("done", "Of 200 images 2 have no row.", "short", "but not all is well."),
        ("failed", "The disk is full: make room.", "failed", "run has failed after "),
        ("stopped", "The same command goes on.", "stopped", "run was stopped after "),
    ],
)
def test_a_job_that_has_ended_looks_so_with_its_sentence_and_its_summary(how, why, kind, sentence):
    watched = job(begun(), done(), JobEnded("j", how, why, ("compile: rows 180; /t.parquet",)))
    assert f'class="verdict {kind}"' in captions_page.jobs_html(watched, time.time())
    shown = words(watched, time.time())
    assert sentence in shown
    assert why in shown
    assert "compile rows 180; /t.parquet" in shown
    assert "to come" not in shown
    assert " left." not in shown


def test_the_last_job_comes_first():
    watched = job(begun(), JobEnded("j", "done"))
    watched.take(JobBegun("k", "captions", "c", ()), time.time())
    shown = words(watched, time.time())
    places = [shown.index(words) for words in ("captions has been", "Before that", "run is done")]
    assert places == sorted(places)


def test_lost_workers_are_told():
    watched = board(begun())
    watched.worker_gone()
    assert "1 worker lost: tasks ran again." in captions_page.jobs_html(watched, 0)


def test_the_figure_has_a_line_a_stage():
    watched = board(begun())
    stage = watched.stages["s"]
    for second in range(1, 30):
        stage.done += 10
        stage.add_point(stage.began + second)
    data = captions_page.lines_data(watched)
    assert data["name"] == ["compile-rows"]
    assert len(data["x"][0]) == len(data["y"][0]) > 10


def test_no_line_of_a_job_is_drawn_below_the_next_one():
    watched = board(begun())
    for second in range(1, 30):
        watched.stages["s"].add_point(watched.stages["s"].began + second)
    assert captions_page.lines_data(watched)["name"]
    watched.take(JobBegun("j", "run", "c", ()), 30.0)
    assert captions_page.lines_data(watched)["name"] == []


def test_what_is_done_has_nothing_left():
    watched = board(begun(), done(), Ended("s", 1))
    shown = captions_page.jobs_html(watched, watched.stages["s"].began)
    assert 'data-label="left"' not in shown
