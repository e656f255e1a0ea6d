import time

from cutline.progress import captions_page
from cutline.progress.events import Begun, Done, Ended
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
    return captions_page.stages_html(board, now) + captions_page.details_html(board)


def test_a_board_without_stages_says_so():
    assert "Nothing has begun yet." in html(Board(), 0)


def test_names_and_texts_of_anybody_are_escaped():
    shown = html(board(begun(EVIL), done(**{EVIL: 10})), 0)
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;") >= 5


def test_a_stage_shows_what_it_did_and_how_long_it_will_take():
    watched = board(begun(), done(no_width=7, bad_json=3))
    began = watched.stages["s"].began
    shown = captions_page.stages_html(watched, began + 10)
    for figure in ("100 of 200 sidecars", "90 rows", ">10<", "width:50.0%", "10 s</td>"):
        assert figure in shown
    assert "<b>compile-rows</b> is at work, about 10 s left." in shown
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
    assert "<b>extract-files</b> is at work, about 30 s left." in shown


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
    shown = captions_page.stages_html(watched, watched.stages["s"].began)
    assert "was stopped" in shown
    assert ">done<" not in shown


def test_lost_workers_are_told():
    watched = board(begun())
    watched.worker_gone()
    assert "1 worker lost: tasks ran again." in captions_page.stages_html(watched, 0)


def test_the_figure_has_a_line_a_stage():
    watched = board(begun())
    stage = watched.stages["s"]
    for second in range(1, 30):
        stage.done += 10
        stage.add_point(stage.began + second)
    data = captions_page.lines_data(watched)
    assert data["name"] == ["compile-rows"]
    assert len(data["x"][0]) == len(data["y"][0]) > 10
