"""Whose a caption file is: cutline's own follows the table, and what somebody wrote is kept."""

import os

import dask
import numpy as np
import pytest

import cutline
from cutline.captions import caption_files
from cutline.plan.marks import OwnCaptions, caption_marks
from cutline.table import CompileOptions
from jobs_at_work import Listener
from sidecars import as_bytes, numbered, record, write_sidecars
from tar_bytes import by_tarfile
from trees import texts

MINE = b"What somebody saw."


@pytest.fixture
def root(tmp_path):
    """Sidecars of six samples, in the folder of their images."""
    write_sidecars(tmp_path / "data", numbered(6))
    return tmp_path


def captions(root, client=None, **options):
    listener = Listener()
    with dask.config.set(scheduler="sync"):
        summary = cutline.write_captions(
            root / "data", root / "data", client=client, watcher=listener, **options
        )
    return (summary.written, summary.replaced, summary.unchanged, summary.edited), listener.said


def correct(root, name, caption):
    write_sidecars(root / "data", {f"{name}.json": record(f"{name}.png", short_caption=caption)})


def verified(root):
    table = f"{root}/t.parquet"
    for name in os.listdir(root / "data"):
        if name.endswith(".json"):
            (root / "data" / name.replace("json", "png")).touch()
    cutline.compile_table(f"{root}/data", table)
    checks = cutline.verify_dataset(table, root / "data").findings
    return checks["edited_caption_files"].count, checks["differing_caption_files"].count


@pytest.mark.parametrize("mine", [MINE, b"What 003", b"What 003.png shows. And more.", b"\xff\0"])
def test_a_caption_file_that_somebody_edited_is_kept_and_named(root, mine):
    captions(root)
    (root / "data/003.txt").write_bytes(mine)
    correct(root, "003", "Another.")
    correct(root, "004", "Another.")
    assert verified(root) == (1, 1)
    counts, (said,) = captions(root)
    assert counts == (0, 1, 4, 1)
    assert said == (
        f"1 caption files in {root}/data were edited, such as 003.txt, and were left as they are:"
        " add --overwrite to have what the table says."
    )
    assert texts(root / "data")["003.txt"] == mine
    assert verified(root) == (1, 0)
    assert captions(root, overwrite=True) == ((0, 1, 5, 0), [])
    assert texts(root / "data")["003.txt"] == b"Another."


def test_workers_keep_what_somebody_edited_and_replace_what_they_wrote(root, client):
    captions(root, client)
    (root / "data/003.txt").write_bytes(MINE)
    correct(root, "003", "Another.")
    correct(root, "004", "Another.")
    assert captions(root, client)[0] == (0, 1, 4, 1)


def test_caption_files_that_were_there_before_the_first_run_are_kept(root):
    (root / "data/003.txt").write_bytes(MINE)
    assert captions(root)[0] == (5, 0, 0, 1)
    assert texts(root / "data")["003.txt"] == MINE
    correct(root, "003", MINE.decode())  # from here on it is what cutline would write
    assert captions(root)[0] == (0, 0, 6, 0)
    correct(root, "003", "Another.")
    assert captions(root)[0] == (0, 1, 5, 0)


def test_a_former_caption_that_somebody_wanted_back_is_kept(root):
    captions(root)
    before = texts(root / "data")["003.txt"]
    correct(root, "003", "Another.")
    captions(root)
    (root / "data/003.txt").write_bytes(before)
    assert captions(root)[0] == (0, 0, 5, 1)


def test_a_row_that_was_gone_for_a_while_finds_its_file_to_be_cutline_s(root):
    captions(root)
    (root / "data/003.json").unlink()
    captions(root)
    correct(root, "003", "Another.")
    assert captions(root)[0] == (0, 1, 5, 0)


def test_what_a_killed_run_wrote_is_cutline_s(root, monkeypatch):
    captions(root)
    correct(root, "003", "Another.")
    with monkeypatch.context() as patch:
        patch.setattr(caption_marks, "merge", lambda *_, **__: interrupt())
        with pytest.raises(KeyboardInterrupt):
            captions(root)
    correct(root, "003", "A third.")
    assert captions(root)[0] == (0, 1, 5, 0)


def interrupt():
    raise KeyboardInterrupt


def test_the_marks_are_on_the_disk_before_the_first_file_is_written(root, monkeypatch):
    def put(_files, _judge, due):
        path, text, _ = due
        assert OwnCaptions(f"{root}/data").wrote(os.fsencode(path), text, 0)
        return "written"

    monkeypatch.setattr(caption_files, "_write_file", put)
    assert captions(root)[0] == (6, 0, 0, 0)


def test_what_could_not_be_replaced_is_still_known_as_cutline_s(root, monkeypatch):
    captions(root)
    correct(root, "003", "Another.")
    with monkeypatch.context() as patch:
        patch.setattr(caption_files, "_write_file", lambda *_: "unwritable")
        captions(root)
    assert captions(root)[0] == (0, 1, 5, 0)


def test_without_its_marks_all_that_differs_is_somebody_s(root):
    captions(root)
    folder = root / "data/.cutline/captions"
    (name,) = os.listdir(folder)
    (folder / name).unlink()
    correct(root, "003", "Another.")
    assert captions(root)[0] == (0, 0, 5, 1)


def test_marks_that_were_cut_off_are_those_that_are_left(root):
    captions(root)
    folder = root / "data/.cutline/captions"
    (name,) = os.listdir(folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:-3])
    for number in range(6):
        correct(root, f"{number:03}", "Another.")
    assert captions(root)[0] == (0, 5, 0, 1)


def test_marks_are_one_file_however_many_runs_there_were(root):
    for caption in ("One.", "Two.", "Three."):
        correct(root, "003", caption)
        captions(root)
    (name,) = os.listdir(root / "data/.cutline/captions")
    assert len(np.fromfile(root / "data/.cutline/captions" / name, caption_marks.FORM)) == 6


def test_a_text_of_a_shard_gives_way_to_the_caption_and_an_edited_one_does_not(tmp_path):
    members = [(f"{n}.json", as_bytes(record(f"{n}.png"))) for n in "ab"]
    members += [(f"{n}.txt", b"A text of the shard.") for n in "ab"]
    (tmp_path / "a.tar").write_bytes(by_tarfile(members))
    cutline.extract(tmp_path / "a.tar", tmp_path / "data")
    (tmp_path / "data/b.txt").write_bytes(MINE)
    assert captions(tmp_path)[0] == (0, 1, 0, 1)
    assert cutline.extract(tmp_path / "a.tar", tmp_path / "data").files == 0
    assert texts(tmp_path / "data")["b.txt"] == MINE


def test_a_caption_file_for_an_orphan_is_cutline_s_when_it_gets_its_row(root):
    write_sidecars(root / "data", {"no.json": record("no.png", width=...)})
    verified(root)
    table, data = f"{root}/t.parquet", f"{root}/data"
    cutline.caption_orphans(table, data, CompileOptions().rules)
    assert (root / "data/no.txt").exists()
    correct(root, "no", "Another.")
    captions(root)
    assert texts(root / "data")["no.txt"] == b"Another."
