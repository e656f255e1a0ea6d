import os
import shutil

import dask
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutline import CompileOptions, CutlineError, Rules, UsageError, compile_table, write_captions
from cutline.captions.caption_files import is_table, slices_of
from cutline.store import Workspace
from cutline.store.disk import data_folder
from cutline.table.part_files import ROW_GROUP
from jobs_at_work import Listener
from oracle import recipe_captions
from sidecars import numbered, record, write_sidecars
from trees import texts, tree


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture
def data(tmp_path):
    """The folder of the images."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def write_table(path, rows, **options):
    """Write somebody's table of (filename, caption)."""
    filenames, captions = zip(*rows, strict=True) if rows else ((), ())
    columns = {
        "filename": pa.array(filenames, pa.string()),
        "caption": pa.array(captions, pa.string()),
    }
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def counts(summary):
    return summary.written, summary.replaced, summary.unchanged, summary.rejects


# What the recipe writes

DIGESTIBLE = {
    **numbered(30),
    "no width.json": record("no width.png", width=...),
    "dots.in.its.stem.json": record("dots.in.its.stem.jpg"),
    "no extension.json": record("no extension"),
    "ünïcödé 夜.json": record("ünïcödé 夜.jpeg", short_caption="Café, 早晨 🦊"),
    "text.json": record("text.png", width="1024", height=768.0),
    "blanks inside.json": record("blanks inside.png", short_caption="a  b   c"),
    "another stem.json": record("named by the record.webp"),
    "long.json": record("long.png", short_caption="word " * 20_000 + "end"),
}


@pytest.fixture(scope="module")
def digestible(tmp_path_factory):
    """A folder that the recipe digests, and the caption files that it makes of it."""
    folder = write_sidecars(tmp_path_factory.mktemp("recipe"), DIGESTIBLE)
    made = write_sidecars(tmp_path_factory.mktemp("made"), DIGESTIBLE)
    recipe_captions(made)
    return folder, texts(made)


def test_caption_files_are_those_of_the_recipe_byte_for_byte(digestible, data):
    source, expected = digestible
    summary = write_captions(source, str(data))
    assert tree(data) == expected
    assert counts(summary) == (len(expected), 0, 0, {"no_width": 1})


def test_a_table_gives_the_same_files_as_its_sidecars(digestible, data, tmp_path):
    source, expected = digestible
    compile_table(source, str(tmp_path / "t.parquet"))
    summary = write_captions(str(tmp_path / "t.parquet"), str(data))
    assert tree(data) == expected
    assert counts(summary) == (len(expected), 0, 0, {})


def test_the_sidecars_may_be_in_the_folder_of_the_images(data):
    write_sidecars(data, numbered(3))
    before = tree(data)
    write_captions(str(data), str(data))
    made = {f"{n:03}.txt": f"What {n:03}.png shows.".encode() for n in range(3)}
    assert tree(data) == before | made


@settings(max_examples=25)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_a_file_holds_the_bytes_of_its_caption_and_nothing_else(tmp_path_factory, captions):
    folder = tmp_path_factory.mktemp("any")
    (folder / "data").mkdir()
    rows = [(f"{number}.png", caption) for number, caption in enumerate(captions)]
    table = write_table(folder / "t.parquet", rows)
    for _ in range(2):
        summary = write_captions(table, str(folder / "data"))
    expected = {f"{n}.txt": text.encode() for n, text in enumerate(captions) if text}
    assert tree(folder / "data") == expected
    assert summary.unchanged == len(expected)
    assert sum(summary.rejects.values()) == len(captions) - len(expected)


def test_every_sidecar_of_a_demo_gives_a_file_or_a_reject(demo_root, data):
    root, expected = demo_root
    summary = write_captions(str(root / "data"), str(data))
    assert (summary.written, summary.rejects) == (expected.rows, expected.rejects)
    assert summary.written == len(texts(data))


def test_the_options_decide_what_a_caption_is(data, tmp_path):
    source = write_sidecars(tmp_path / "source", {"a.json": record(long_caption="two\nlines")})
    options = CompileOptions(Rules(caption_fields=("long_caption",), raw_captions=True))
    write_captions(source, str(data), options)
    assert tree(data) == {"a.txt": b"two\nlines"}


def test_files_go_into_the_folders_of_their_images(data, tmp_path):
    source = write_sidecars(
        tmp_path / "source", {"x/a.json": record("a.png"), "x/y/b.json": record("b.png")}
    )
    write_captions(source, str(data))
    assert texts(data).keys() == {"x/a.txt", "x/y/b.txt"}


# The second run


def test_a_second_run_changes_nothing(digestible, data):
    source, expected = digestible
    write_captions(source, str(data))
    stamps = {name: os.stat(data / name).st_mtime_ns for name in expected}
    summary = write_captions(source, str(data))
    assert counts(summary) == (0, 0, len(expected), {"no_width": 1})
    assert {name: os.stat(data / name).st_mtime_ns for name in expected} == stamps


@pytest.mark.parametrize("held", [b"", b" \n"])
def test_a_second_run_replaces_what_is_blank_and_writes_what_is_gone(data, tmp_path, held):
    source = write_sidecars(tmp_path / "source", numbered(10))
    write_captions(source, str(data))
    whole = tree(data)
    (data / "003.txt").unlink()
    (data / "007.txt").write_bytes(held)
    assert counts(write_captions(source, str(data))) == (1, 1, 8, {})
    assert tree(data) == whole


def test_a_changed_caption_replaces_its_file_alone(data, tmp_path):
    source = write_sidecars(tmp_path / "source", numbered(10))
    write_captions(source, str(data))
    write_sidecars(source, {"004.json": record("004.png", short_caption="Seen again.")})
    assert counts(write_captions(source, str(data))) == (0, 1, 9, {})
    assert (data / "004.txt").read_bytes() == b"Seen again."


def test_an_image_is_left_alone(data, tmp_path):
    (data / "000.png").write_bytes(b"pixels")
    write_captions(write_sidecars(tmp_path / "source", numbered(1)), str(data))
    assert (data / "000.png").read_bytes() == b"pixels"


# Nothing leaves DATA

HOSTILE = (
    "..",
    ".",
    "",
    "../up.png",
    "a/../../up.png",
    "/absolute.png",
    "//absolute.png",
    "a//b.png",
    "a/./b.png",
    "back\\slash.png",
    "..\\up.png",
    "nul\0.png",
    "bell\a.png",
    "line\n.png",
    "x" * 300 + ".png",
    "夜" * 90 + ".png",
    "y" * 300 + "/a.png",
    "its own caption.txt",
)


@pytest.fixture
def outside(tmp_path, data):
    """A folder beside DATA to which links in DATA lead."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    for name in ("target.txt", "sub/a.txt", "lock", "attempt"):
        (folder / name).write_bytes(b"precious")
    return folder


def surroundings(tmp_path):
    """Everything but DATA, the table and the source."""
    found = {path: held for path, held in tree(tmp_path).items() if path.split("/")[0] != "data"}
    times = {path: os.lstat(tmp_path / path).st_mtime_ns for path in found}
    return found, times


def test_names_of_a_foreign_table_do_not_lead_out_of_data(data, outside, tmp_path):
    rows = [(name, "a caption") for name in (*HOSTILE, f"{tmp_path}/outside/new.png", None)]
    table = write_table(tmp_path / "t.parquet", [*rows, ("good.png", "a good one")])
    before = surroundings(tmp_path)
    summary = write_captions(table, str(data))
    assert surroundings(tmp_path) == before
    assert tree(data) == {"good.txt": b"a good one"}
    assert counts(summary) == (1, 0, 0, {"bad_image_name": len(rows)})


def test_names_in_sidecars_do_not_lead_out_of_data(data, outside, tmp_path):
    bad = {f"{number}.json": record(name) for number, name in enumerate(HOSTILE)}
    source = write_sidecars(tmp_path / "source", bad | {"good.json": record("good.png")})
    before = surroundings(tmp_path)
    summary = write_captions(source, str(data), CompileOptions(max_rejects=1))
    assert surroundings(tmp_path) == before
    assert tree(data).keys() == {"good.txt"}
    assert counts(summary) == (1, 0, 0, {"bad_image_name": len(HOSTILE)})


@pytest.mark.parametrize("target", ["../outside/target.txt", "../outside/none.txt", "loop.txt"])
def test_a_link_at_the_name_of_a_caption_file_is_replaced_and_not_followed(
    data, outside, tmp_path, target
):
    table = write_table(tmp_path / "t.parquet", [("loop.png", "a caption")])
    (data / "loop.txt").symlink_to(target)
    before = surroundings(tmp_path)
    assert counts(write_captions(table, str(data))) == (0, 1, 0, {})
    assert surroundings(tmp_path) == before
    assert tree(data) == {"loop.txt": b"a caption"}


def test_a_second_name_of_a_file_outside_is_replaced_and_not_written_to(data, outside, tmp_path):
    table = write_table(tmp_path / "t.parquet", [("a.png", "a caption")])
    (data / "a.txt").hardlink_to(outside / "target.txt")
    before = surroundings(tmp_path)
    assert write_captions(table, str(data)).edited == 1
    assert write_captions(table, str(data), overwrite=True).replaced == 1
    assert surroundings(tmp_path) == before


def test_a_link_for_a_folder_is_not_entered(data, outside, tmp_path):
    rows = [("sub/a.png", "x"), ("sub/deep/b.png", "x"), ("good.png", "x")]
    table = write_table(tmp_path / "t.parquet", rows)
    (data / "sub").symlink_to(outside / "sub")
    before = surroundings(tmp_path)
    summary = write_captions(table, str(data))
    assert surroundings(tmp_path) == before
    assert counts(summary) == (1, 0, 0, {"unwritable": 2})
    assert summary.shortfall.startswith(f"2 caption files could not be written below {data}, ")


@pytest.mark.parametrize(
    "link",
    [
        ".cutline",
        ".cutline/attempts",
        ".cutline/captions",
        ".cutline/captions.parts",
        ".cutline/captions.cutline",
        ".cutline/captions.cutline/attempts",
        ".cutline/captions.cutline/rejects",
    ],
)
def test_a_link_where_cutline_keeps_its_own_files_is_refused(data, outside, tmp_path, link):
    source = write_sidecars(tmp_path / "source", numbered(3))
    (data / link).parent.mkdir(parents=True, exist_ok=True)
    (data / link).symlink_to(outside)
    before = surroundings(tmp_path)
    with pytest.raises(CutlineError, match=r"is a link, .*: remove the link\.$"):
        write_captions(source, str(data))
    assert surroundings(tmp_path) == before
    assert texts(data) == {}


@pytest.mark.parametrize("link", ["captions.parquet", "captions.rejects.parquet", "lock"])
def test_a_link_at_the_name_of_a_scratch_file_is_not_written_through(data, outside, tmp_path, link):
    source = write_sidecars(tmp_path / "source", numbered(3))
    (data / ".cutline").mkdir()
    if link == "lock":  # of a run that is dead: any other file there is not a lock
        (outside / "lock").write_bytes(
            b'{"run":"r","host":"%s","boot":"b","processes":"p","pid":1,"started":1,"since":"s"}'
            % os.uname().nodename.encode()
        )
    (data / ".cutline" / link).symlink_to(outside / "lock")
    before = surroundings(tmp_path)
    assert write_captions(source, str(data)).written == 3
    assert surroundings(tmp_path) == before


# What is in the way


def test_a_folder_at_the_name_of_a_caption_file_is_counted_and_the_rest_goes_through(
    data, tmp_path
):
    source = write_sidecars(tmp_path / "source", numbered(5))
    (data / "002.txt").mkdir()
    summary = write_captions(source, str(data))
    assert counts(summary) == (4, 0, 0, {"unwritable": 1})
    assert summary.shortfall.endswith("is in the way: move it and run this again.")


def test_a_file_at_the_name_of_a_folder_is_counted_and_the_rest_goes_through(data, tmp_path):
    table = write_table(tmp_path / "t.parquet", [("a/b.png", "x"), ("c.png", "x")])
    (data / "a").write_bytes(b"")
    assert counts(write_captions(table, str(data))) == (1, 0, 0, {"unwritable": 1})


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_any_of_the_images_is_told(data, tmp_path, there):
    table = write_table(tmp_path / "t.parquet", [("../x.png", "x"), ("a.png", "a"), ("b.png", "b")])
    if there:
        (data / "b.png").touch()
    listener = Listener()
    write_captions(table, str(data), watcher=listener)
    told = f"None of the first images that have a caption is in {data}: their caption files will"
    assert [line.startswith(told) for line in listener.said] == ([] if there else [True])


def test_a_pipe_at_the_name_of_a_caption_file_is_replaced(data, tmp_path):
    table = write_table(tmp_path / "t.parquet", [("a.png", "a caption")])
    os.mkfifo(data / "a.txt")
    assert write_captions(table, str(data)).replaced == 1
    assert tree(data) == {"a.txt": b"a caption"}


def test_two_runs_on_one_folder_are_refused(data, tmp_path):
    table = write_table(tmp_path / "t.parquet", [("a.png", "a caption")])
    with (
        Workspace(f"{data}/.cutline").locked(print),
        pytest.raises(CutlineError, match="Another run is at work"),
    ):
        write_captions(table, str(data))
    assert write_captions(table, str(data)).written == 1


# Tables of others


def test_captions_that_are_null_or_empty_are_counted(data, tmp_path):
    rows = [("a.png", None), ("b.png", ""), ("c.png", "text"), (None, None)]
    summary = write_captions(write_table(tmp_path / "t.parquet", rows), str(data))
    assert counts(summary) == (1, 0, 0, {"bad_image_name": 1, "no_caption": 2})


def test_a_large_row_group_becomes_slices_that_hold_each_row_once(data, tmp_path):
    rows = [(f"{number}.png", f"caption {number}") for number in range(ROW_GROUP + 5)]
    table = write_table(tmp_path / "t.parquet", rows, row_group_size=len(rows))
    slices = slices_of(table)
    assert [one.rows for one in slices] == [ROW_GROUP, 5]
    assert write_captions(table, str(data)).written == len(rows)
    assert texts(data) == {f"{n}.txt": b"caption %d" % n for n in range(len(rows))}


def test_slices_hold_each_row_once_however_the_row_groups_are_cut(tmp_path):
    table = write_table(tmp_path / "t.parquet", [("a", "b")] * 1000, row_group_size=300)
    covered = [
        300 * one.row_group + row
        for one in slices_of(table)
        for row in range(one.start, one.start + one.rows)
    ]
    assert covered == list(range(1000))


def test_a_table_without_rows_gives_no_files(data, tmp_path):
    assert counts(write_captions(write_table(tmp_path / "t.parquet", []), str(data))) == (
        *(0, 0, 0),
        {},
    )


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_text_may_be_of_another_arrow_type(data, tmp_path, kind):
    columns = {"caption": pa.array(["text"]).cast(kind), "filename": pa.array(["a.png"]).cast(kind)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert write_captions(str(tmp_path / "t.parquet"), str(data)).written == 1
    assert tree(data) == {"a.txt": b"text"}


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"filename": ["a.png"]}, "caption"),
        ({"caption": ["text"]}, "filename"),
        ({"filename": ["a.png"], "caption": [[1, 2]]}, "caption"),
        ({"filename": [7], "caption": ["text"]}, "filename"),
        ({"filename": ["a.png"], "caption": [b"text"]}, "caption"),
    ],
)
def test_a_table_without_columns_of_text_is_refused(data, tmp_path, columns, named):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=f"has no column {named} of text: compile it"):
        write_captions(str(tmp_path / "t.parquet"), str(data))


def test_text_that_is_not_utf8_is_said_in_a_sentence(data, tmp_path):
    odd = pa.array([b"\xff\xfe"]).view(pa.string())
    pq.write_table(pa.table({"filename": ["a.png"], "caption": odd}), tmp_path / "t.parquet")
    with pytest.raises(CutlineError, match=r"is damaged .*: compile it again\.$"):
        write_captions(str(tmp_path / "t.parquet"), str(data))


def test_a_table_that_was_replaced_is_not_read_as_the_one_before(tmp_path):
    table = write_table(tmp_path / "t.parquet", [(f"{number}.png", "text") for number in range(9)])
    (piece,) = slices_of(table)
    assert len(piece.read(["caption"])) == 9
    write_table(tmp_path / "new", [(f"{number}.png", "test") for number in range(9)])
    os.replace(tmp_path / "new", table)
    with pytest.raises(CutlineError, match="has been replaced: run this again"):
        piece.read(["caption"])


def test_a_table_is_the_same_where_inodes_and_times_are_others(tmp_path):
    table = write_table(tmp_path / "t.parquet", [("a.png", "text")])
    (piece,) = slices_of(table)
    shutil.copyfile(table, tmp_path / "seen from another host")
    os.replace(tmp_path / "seen from another host", table)
    assert len(piece.read(["caption"])) == 1


def test_damaged_pages_are_said_in_a_sentence(data, tmp_path):
    rows = [(f"{number}.png", "text") for number in range(100)]
    table = write_table(tmp_path / "t.parquet", rows)
    with open(table, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 200)
    with pytest.raises(CutlineError, match=r"is damaged .*: compile it again\.$"):
        write_captions(table, str(data))


@pytest.mark.parametrize("held", [b"", b"not parquet at all", b"PAR1"])
def test_a_file_that_is_no_table_is_refused(data, tmp_path, held):
    (tmp_path / "t.parquet").write_bytes(held)
    with pytest.raises(UsageError, match=r"is no parquet file: compile it again\.$"):
        write_captions(str(tmp_path / "t.parquet"), str(data))


def test_a_table_that_is_called_like_a_url_is_read_where_it_is(data, tmp_path, monkeypatch):
    write_table(tmp_path / "s3:t.parquet", [("1.jpg", "a")])
    monkeypatch.chdir(tmp_path)
    assert write_captions("s3:t.parquet", str(data)).written == 1


def test_a_missing_table_is_refused(data, tmp_path):
    with pytest.raises(UsageError, match=r"^There is no .*: name a table"):
        write_captions(str(tmp_path / "t.parquet"), str(data))


def test_a_folder_whose_name_ends_in_parquet_is_no_table(tmp_path):
    (tmp_path / "x.parquet").mkdir()
    assert not is_table(str(tmp_path / "x.parquet"))


@pytest.mark.parametrize("name", ["missing", "a file", "s3://bucket/data"])
def test_data_that_is_no_folder_here_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_bytes(b"")
    with pytest.raises(UsageError, match=name):
        data_folder(name)


# Workers


def test_workers_write_the_same_files_as_this_process(client, demo_root, data, tmp_path):
    root, expected = demo_root
    compile_table(str(root / "data"), str(tmp_path / "t.parquet"))
    whole = pq.read_table(tmp_path / "t.parquet")
    pq.write_table(whole, tmp_path / "small.parquet", row_group_size=20)
    write_captions(str(tmp_path / "t.parquet"), str(data))
    (tmp_path / "theirs").mkdir()
    summary = write_captions(
        str(tmp_path / "small.parquet"), str(tmp_path / "theirs"), client=client
    )
    assert summary.written == expected.rows
    assert tree(tmp_path / "theirs") == tree(data)


def test_workers_do_a_second_run_and_do_not_remember_the_first(client, data, tmp_path):
    table = write_table(tmp_path / "t.parquet", [("a.png", "x"), ("b.png", "x")])
    assert counts(write_captions(table, str(data), client=client)) == (2, 0, 0, {})
    (data / "b.txt").unlink()
    assert counts(write_captions(table, str(data), client=client)) == (1, 0, 1, {})
