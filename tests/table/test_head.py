import csv
import io
import json
import os
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cutline.errors import CutlineError, UsageError
from cutline.table.head import as_csv, as_json, as_table, first_rows


def rows(captions, start=0):
    numbers = range(start, start + len(captions))
    return pa.table(
        {
            "width": [1024 + number for number in numbers],
            "height": [1792] * len(captions),
            "caption": pa.array(captions, pa.string()),
            "filename": [f"sub/{number:07}.png" for number in numbers],
        }
    )


def write(path, table, **options):
    pq.write_table(table, path, **options)
    return str(path)


@pytest.fixture
def parts(tmp_path):
    """Three parts of four rows, with what a job keeps below them."""
    folder = tmp_path / "x.parts"
    (folder / "_cutline").mkdir(parents=True)
    for part in range(3):
        write(folder / f"part-{part:05}.parquet", rows(["a", "b", "c", "d"], 4 * part))
    write(folder / "_cutline" / "part-00000.parquet", rows(["wrong"]))
    write(folder / "plan.parquet", rows(["wrong"]))
    return folder


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 12, 100])
def test_the_first_rows_of_a_table_are_its_first_rows(tmp_path, count):
    whole = rows([f"caption {number}" for number in range(12)])
    path = write(tmp_path / "x.parquet", whole, row_group_size=5)
    assert first_rows(path, count).equals(whole.slice(0, count))


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 12, 100])
def test_a_folder_of_parts_reads_as_one_table_in_order(parts, count):
    whole = rows(["a", "b", "c", "d"] * 3)
    assert first_rows(str(parts), count).equals(whole.slice(0, count))


def test_parts_are_ordered_by_number(tmp_path):
    write(tmp_path / "part-100000.parquet", rows(["last"]))
    write(tmp_path / "part-99999.parquet", rows(["first"]))
    assert first_rows(str(tmp_path), 2)["caption"].to_pylist() == ["first", "last"]


def test_a_ledger_has_columns_of_its_own(tmp_path):
    ledger = pa.table({"source": ["a.json"], "reason": ["no_width"], "filename": [None]})
    path = write(tmp_path / "x.rejects.parquet", ledger)
    assert first_rows(path, 10).equals(ledger)


def test_parts_after_the_last_row_that_is_asked_for_are_not_read(parts):
    with open(parts / "part-00001.parquet", "wb") as file:
        file.write(b"damaged")
    assert first_rows(str(parts), 4).num_rows == 4
    with pytest.raises(UsageError, match=r"part-00001.parquet is no parquet file"):
        first_rows(str(parts), 5)


def random_text(count):
    """Text that does not compress, so that a page holds little of it."""
    return [os.urandom(500).hex() for _ in range(count)]


def bytes_read():
    """What this process has read so far, of files and all else."""
    with open("/proc/self/io") as file:
        return int(re.search(r"rchar: (\d+)", file.read())[1])


@pytest.mark.parametrize("group", [1000, 20_000])
def test_ten_rows_cost_little_of_a_large_table(tmp_path, group):
    captions = random_text(20_000)
    path = write(tmp_path / "x.parquet", rows(captions), row_group_size=group)
    before = bytes_read()
    assert first_rows(path, 10)["caption"].to_pylist() == captions[:10]
    assert bytes_read() - before < 4_000_000
    assert os.path.getsize(path) > 10_000_000


def test_a_damaged_row_group_is_said_in_a_sentence(tmp_path):
    path = write(tmp_path / "x.parquet", rows(random_text(20_000)), row_group_size=1000)
    with open(path, "r+b") as file:
        file.seek(4_000_000)
        file.write(bytes(4_000_000))
    assert first_rows(path, 1000).num_rows == 1000
    with pytest.raises(CutlineError, match=r"is damaged .*: compile it again"):
        first_rows(path, 20_000)


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.parquet", "There is no"), ("text.parquet", "no parquet file"), ("empty", "no parts")],
)
def test_what_is_no_table_is_said_in_a_sentence(tmp_path, name, words):
    (tmp_path / "text.parquet").write_text("width,height\n1,2\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=words):
        first_rows(str(tmp_path / name), 10)


def test_a_negative_number_of_rows_is_refused(tmp_path):
    with pytest.raises(UsageError, match="0 or more"):
        first_rows(write(tmp_path / "x.parquet", rows(["a"])), -1)


def test_a_number_beyond_64_bits_asks_for_all_rows(tmp_path):
    whole = rows(["a", "b"])
    assert first_rows(write(tmp_path / "x.parquet", whole), 10**20).equals(whole)


@pytest.mark.parametrize("form", [as_table, as_csv, as_json])
def test_a_time_that_python_cannot_hold_is_said_in_a_sentence(form):
    late = pa.table({"taken": pa.array([2**60], pa.timestamp("us"))})
    with pytest.raises(UsageError, match=r"The column 'taken' cannot be shown .*: write it as"):
        form(late)


def test_only_here_may_a_folder_of_parts_be_named(parts):
    (parts / "part-00000.parquet").write_text("text")
    with pytest.raises(UsageError, match="no parquet file: name a table or a parts folder"):
        first_rows(str(parts), 1)


def test_text_that_is_not_utf_8_is_damage(tmp_path):
    bad = pa.array([b"\xff"]).view(pa.string())
    path = write(tmp_path / "x.parquet", pa.table({"caption": bad}))
    with pytest.raises(CutlineError, match="is damaged"):
        first_rows(path, 1)


def printed(table, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(as_table(table))
    return console.file.getvalue()


def test_a_row_is_a_line_cut_to_the_width_of_the_terminal():
    table = rows(["a cat " * 500, "short"])
    for width in (50, 80, 200):
        lines = printed(table, width).splitlines()
        assert len(lines) == 6
        assert max(map(len, lines)) <= width
        assert "…" in lines[3]


def test_sizes_and_filenames_are_whole_while_the_caption_is_cut():
    text = printed(rows(["a cat " * 500]), 60)
    assert "1024" in text
    assert "1792" in text
    assert "sub/0000000.png" in text


def test_markup_and_emoji_codes_are_text():
    assert "[red]x[/red] :cat:" in printed(rows(["[red]x[/red] :cat:"]), 120)


def test_control_characters_are_escaped():
    text = printed(rows(["\x1b[2J\x07a\r\nb\u202ec\x9b0m"]), 120)
    assert r"\x1b[2J\x07a\r\nb\u202ec\x9b0m" in text


@given(st.lists(st.text(), min_size=1, max_size=3), st.text(min_size=1))
def test_nothing_raw_reaches_the_terminal(captions, name):
    table = rows(captions).append_column(name, pa.array(captions))
    for line in printed(table, 100).split("\n"):
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", line)


@given(st.lists(st.text(), max_size=5))
def test_csv_reads_back(captions):
    table = rows(captions)
    read = list(csv.reader(io.StringIO(as_csv(table), newline="")))
    assert read[0] == table.column_names
    assert read[1:] == [[str(value) for value in row.values()] for row in table.to_pylist()]


def test_csv_is_that_of_rfc_4180():
    text = as_csv(rows(['a "cat",\nasleep', None]))
    assert text == (
        "width,height,caption,filename\r\n"
        '1024,1792,"a ""cat"",\nasleep",sub/0000000.png\r\n'
        "1025,1792,,sub/0000001.png\r\n"
    )


@given(st.lists(st.one_of(st.none(), st.text()), max_size=5))
def test_json_reads_back(captions):
    table = rows(captions)
    assert json.loads(as_json(table)) == table.to_pylist()
