import errno
import json
import os
import shlex
import shutil
import sys
from itertools import islice

import pytest
from PIL import Image

import cutline
from cutline.errors import CutlineError, UsageError
from cutline.record.judging import Rules
from cutline.store import disk
from cutline.verify import move_list, orphan_moves
from intact import SIZE, intact
from trees import tree_in_bytes as tree


@pytest.fixture
def dataset(tmp_path):
    """An intact dataset to which orphans of every kind have been added."""
    made = intact(tmp_path / "set")
    made.add("no width.png", width=None)
    made.add("sub/bad.png", width="wide")
    made.add("sub/deep/odd.png", image_name="../odd.png")
    (made.data / "folder.json").mkdir()  # a sidecar that cannot be read, and its image
    Image.new("RGB", SIZE).save(made.data / "folder.png")
    made.prepare()
    made.add("late.png")
    (made.data / "late.txt").write_text("A caption")
    (made.data / "README.txt").write_text("Where these are from")
    with open(os.fsencode(made.data) + b"/caf\xe9.png", "wb"):
        pass
    return made


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out of the way"


def move(dataset, folder):
    return cutline.move_orphans(dataset.table, str(dataset.data), str(folder))


def restore(dataset, folder):
    return cutline.restore_orphans(dataset.table, str(dataset.data), str(folder))


MOVED = {
    b"no width.png", b"no width.json", b"sub/bad.png", b"sub/bad.json",
    b"sub/deep/odd.png", b"sub/deep/odd.json", b"folder.png", b"folder.json",
    b"late.png", b"late.json", b"late.txt", b"README.txt", b"caf\xe9.png",
}  # fmt: skip


def test_after_a_move_every_image_has_a_row_and_a_caption_file(dataset, folder):
    before = tree(dataset.data)
    assert not dataset.verify().ok
    summary = move(dataset, folder)
    assert (summary.ok, summary.orphans) == (True, {})
    assert summary.rows == summary.images
    after, moved = tree(dataset.data), tree(folder)
    listed = moved.pop(move_list.LIST.encode())
    assert {path for path in moved if moved[path] is not None} | {b"folder.json"} == MOVED
    assert set(before) - set(after) == MOVED
    assert {path: before[path] for path in MOVED} == {path: moved[path] for path in MOVED}
    of, *lines = map(json.loads, listed.splitlines())
    assert of == {"data": os.path.relpath(dataset.data, folder)}
    assert {os.fsencode(line["path"]) for line in lines} == MOVED
    reasons = {line["orphan"]: line["reason"] for line in lines}
    assert reasons["no width.png"] == "no_width"
    assert reasons["README.txt"] == "stray_caption_file"


def test_after_a_restore_the_tree_is_as_before(dataset, folder):
    before = tree(dataset.root)
    move(dataset, folder)
    restore(dataset, folder)
    assert tree(dataset.root) == before
    assert not folder.exists()


def test_a_move_that_was_stopped_half_way_is_restored_and_is_gone_on_with(dataset, folder):
    before = tree(dataset.root)
    with orphan_moves.verified(
        dataset.table, str(dataset.data), cutline.VerifyOptions(), None, orphan_moves.SILENT
    ) as found:
        move_list.write_list(str(folder), str(dataset.data), orphan_moves._moves_of(found))
        some = islice(orphan_moves._moves_of(found), 5)
        assert orphan_moves._move_all(some, str(dataset.data), str(folder)).moved == 5
    shutil.copytree(dataset.root.parent, dataset.root.parent.parent / "copy")
    assert move(dataset, folder).ok
    restore(dataset, folder)
    assert tree(dataset.root) == before
    other = type(dataset)(dataset.root.parent.parent / "copy/set")
    restore(other, other.root.parent / folder.name)
    assert tree(other.root) == before


class Killed(BaseException):
    """A process that is no more."""


@pytest.mark.parametrize("name", ["unlink", "rmdir"])
def test_a_restore_that_dies_at_its_end_is_ended_by_the_same_command(
    dataset, folder, monkeypatch, name
):
    """It dies at each removal in the folder; once nothing dies, no folder is left."""
    before = tree(dataset.root)
    real = getattr(os, name)
    for left in range(20):
        move(dataset, folder)
        rest = iter(range(left))

        def perhaps(path, *arguments, rest=rest, **options):
            if str(path).startswith(str(folder)) and next(rest, None) is None:
                raise Killed
            return real(path, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, perhaps)
            try:
                restore(dataset, folder)
            except Killed:
                died = True
            else:
                died = False
        if died:
            restore(dataset, folder)
        assert tree(dataset.root) == before
        assert not folder.exists()
        if not died:
            break
    assert left > (name == "rmdir")  # it died somewhere


def test_a_second_move_into_a_folder_is_restored_with_the_first(dataset, folder):
    before = tree(dataset.root)
    move(dataset, folder)
    Image.new("RGB", SIZE).save(dataset.data / "second.png")
    move(dataset, folder)
    os.remove(folder / "second.png")
    restore(dataset, folder)
    assert tree(dataset.root) == before


def test_a_list_of_which_no_file_is_anywhere_is_kept_and_told(dataset, folder):
    """Another run has moved the files on, or the folder of the files is another one."""
    move(dataset, folder)
    kept = (folder / move_list.LIST).read_bytes()
    shutil.move(folder, folder.parent / "elsewhere")
    folder.mkdir()
    (folder / move_list.LIST).write_bytes(kept)
    with pytest.raises(cutline.CutlineError, match=r"are neither there nor in .*, such as .*: put"):
        restore(dataset, folder)
    assert (folder / move_list.LIST).read_bytes() == kept


def test_what_an_old_list_names_is_not_moved_again(dataset, folder):
    move(dataset, folder)
    os.rename(folder / "late.png", dataset.data / "late.png")
    os.rename(folder / "late.json", dataset.data / "late.json")
    dataset.prepare()
    assert move(dataset, folder).ok
    assert (dataset.data / "late.png").exists()


def test_nothing_is_overwritten_on_either_way(dataset, folder):
    folder.mkdir()
    (folder / move_list.LIST).touch()
    (folder / "late.png").write_text("somebody's")
    with pytest.raises(cutline.CutlineError, match=r"1 files are still in .* such as late.png"):
        move(dataset, folder)
    assert (folder / "late.png").read_text() == "somebody's"
    assert (dataset.data / "late.png").exists()
    assert not (dataset.data / "late.json").exists()
    (dataset.data / "late.json").write_text("new")
    with pytest.raises(cutline.CutlineError, match=r"such as late.json"):
        restore(dataset, folder)
    assert (dataset.data / "late.json").read_text() == "new"
    assert (folder / move_list.LIST).exists()


def test_nothing_is_moved_where_nothing_is_wrong(tmp_path, folder):
    made = intact(tmp_path / "set")
    before = tree(made.root)
    assert move(made, folder).ok
    assert tree(made.root) == before
    assert not folder.exists()


@pytest.mark.parametrize("name", ["data", "data/below", ".."])
def test_orphans_cannot_go_to_where_they_are(dataset, name):
    with pytest.raises(cutline.UsageError, match="one in the other"):
        move(dataset, dataset.root / name)


def test_orphans_do_not_go_to_a_folder_of_somebody(dataset, folder):
    folder.mkdir()
    (folder / "thesis.txt").touch()
    with pytest.raises(cutline.UsageError, match="is not empty"):
        move(dataset, folder)
    with pytest.raises(cutline.UsageError, match=r"There is no orphans.jsonl"):
        restore(dataset, folder)
    (folder / move_list.LIST).mkdir()
    with pytest.raises(cutline.UsageError, match=r"There is no orphans.jsonl"):
        restore(dataset, folder)


def test_orphans_do_not_go_to_another_file_system(dataset):
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(dataset.data).st_dev:
        pytest.skip("there is only one file system here")
    before = tree(dataset.root)
    with pytest.raises(cutline.UsageError, match="another file system"):
        move(dataset, "/dev/shm/cutline orphans")
    assert not os.path.exists("/dev/shm/cutline orphans")
    source = os.fsencode(dataset.data / "late.png")
    with pytest.raises(cutline.UsageError, match="another file system"):
        disk.move(source, b"/dev/shm/cutline.png")
    assert tree(dataset.root) == before


@pytest.mark.parametrize("path", ["../a.png", "/etc/passwd", "sub/../../a.png"])
def test_a_list_that_leads_elsewhere_is_refused(dataset, folder, path):
    folder.mkdir()
    line = {"path": path, "orphan": "a.png", "reason": "no_width", "detail": ""}
    (folder / move_list.LIST).write_text(json.dumps(line) + "\n")
    with pytest.raises(cutline.CutlineError, match="outside of the folder"):
        restore(dataset, folder)


@pytest.mark.parametrize("line", ["[]", "{}", "nonsense", '{"path": 1, "orphan": "a"}'])
def test_a_list_that_is_damaged_is_refused(dataset, folder, line):
    folder.mkdir()
    (folder / move_list.LIST).write_text(line + "\n")
    with pytest.raises(cutline.CutlineError, match="is damaged"):
        restore(dataset, folder)


def test_where_the_kernel_cannot_refuse_to_replace_the_name_is_looked_at(tmp_path, monkeypatch):
    """A stand-in for a file system without renameat2, such as NFS: there is none here."""

    def without(*_):
        disk.move.__globals__["ctypes"].set_errno(errno.EINVAL)
        return -1

    source, target = os.fsencode(tmp_path / "a"), os.fsencode(tmp_path / "b/c")
    (tmp_path / "a").write_text("mine")
    for found in (without, disk.move.__globals__["LIBC"].renameat2):
        monkeypatch.setattr(disk.move.__globals__["LIBC"], "renameat2", found)
        assert disk.move(source, target)
        (tmp_path / "a").write_text("mine")
        assert not disk.move(source, target)
        os.remove(target)
    assert not disk.move(os.fsencode(tmp_path / "nothing"), target)


def test_captions_go_to_those_that_only_lack_a_width(dataset):
    before = tree(dataset.data)
    rules = Rules(caption_fields=("short_caption",))
    summary = cutline.caption_orphans(dataset.table, str(dataset.data), rules)
    added = {path: held for path, held in tree(dataset.data).items() if path not in before}
    assert added == {b"no width.txt": b"The picture no width"}
    assert summary.findings["images_left_out"].count == 1
    assert summary.orphans["no_width"] == 1
    assert tree(dataset.data).items() >= before.items()


def test_a_record_without_a_caption_gives_none(dataset):
    before = tree(dataset.data)
    cutline.caption_orphans(dataset.table, str(dataset.data), Rules(caption_fields=("long",)))
    assert tree(dataset.data) == before


def test_a_folder_of_orphans_is_that_of_one_dataset(dataset, tmp_path):
    orphans = dataset.root / "orphans"
    move(dataset, orphans)
    before = tree(dataset.root)
    other = intact(tmp_path / "other")
    other.add("no.png", width=None)
    other.prepare()
    for act in (cutline.move_orphans, cutline.restore_orphans):
        with pytest.raises(UsageError, match="holds what was moved out of"):
            act(other.table, str(other.data), orphans)
    assert tree(dataset.root) == before
    dataset.root.rename(tmp_path / "moved")  # as a whole: then its orphans are still its own
    root = tmp_path / "moved"
    restored = cutline.restore_orphans(root / "set.parquet", root / "data", root / "orphans")
    assert restored.orphans
    assert not (root / "orphans").exists()


def test_a_file_where_a_folder_should_be_keeps_what_is_below_it_and_no_other_orphan(
    dataset, folder
):
    move(dataset, folder)
    (folder / "sub").rename(folder / "elsewhere")
    (folder / "sub").write_text("in the way")
    for name in ("sub/new.png", "zoo.png"):
        Image.new("RGB", SIZE).save(dataset.data / name)
    with pytest.raises(CutlineError, match=r"1 files are still in .*, such as sub/new\.png: name"):
        move(dataset, folder)
    assert (dataset.data / "sub" / "new.png").exists()
    assert (folder / "zoo.png").exists()
    assert (folder / "sub").read_text() == "in the way"


def test_what_is_refused_is_listed_once_however_often_it_is_moved(dataset):
    orphans = dataset.root / "orphans"
    move(dataset, orphans)
    lines = (orphans / "orphans.jsonl").read_bytes()
    for path in orphans.rglob("*.png"):
        (dataset.data / path.relative_to(orphans)).write_bytes(path.read_bytes())
    with pytest.raises(CutlineError, match="name another folder"):
        move(dataset, orphans)
    again = (orphans / "orphans.jsonl").read_bytes().splitlines()
    assert len({json.loads(line).get("path") for line in again}) == len(again)
    assert again[: len(lines.splitlines())] == lines.splitlines()


def test_a_blank_line_of_the_list_is_passed_over(dataset):
    move(dataset, dataset.root / "orphans")
    with open(dataset.root / "orphans/orphans.jsonl", "ab") as file:
        file.write(b"\n")
    assert cutline.restore_orphans(dataset.table, dataset.data, dataset.root / "orphans").orphans


def test_nothing_is_moved_out_of_a_folder_that_the_rows_are_not_of(dataset):
    before = tree(dataset.root)
    with pytest.raises(UsageError, match="all that is there would be moved"):
        cutline.move_orphans(dataset.table, dataset.root, dataset.root.parent / "orphans")
    assert tree(dataset.root) == before


def test_a_link_to_nowhere_is_no_place_for_a_caption(dataset):
    taken = dataset.data / "no width.txt"
    taken.symlink_to("/nowhere/at/all")
    cutline.caption_orphans(dataset.table, dataset.data, Rules())
    assert taken.is_symlink()


def test_samples_that_are_newer_than_the_table_are_for_a_compile_and_not_for_a_move(tmp_path):
    made = intact(tmp_path / "set")
    made.add("late.png")
    found = made.verify()
    assert "; compile the table again as it was made, for there are newer sidecars," in (
        found.shortfall
    )
    assert found.mend.command == f"cutline compile {made.data} {made.table}"
    made.prepare()
    assert made.verify().ok


def test_a_table_that_another_tool_has_made_is_not_to_be_compiled(tmp_path):
    made = intact(tmp_path / "set")
    os.remove(made.root / "set.rejects.parquet")
    made.add("late.png")
    assert made.verify().mend.what == "move images without row out of the way"


def test_an_image_without_a_width_whose_caption_file_is_empty_is_mended_by_a_move(tmp_path):
    made = intact(tmp_path / "set")
    made.add("no.png", width=None)
    (made.data / "no.txt").write_text(" ")
    made.prepare()
    found = made.verify()
    assert found.findings["empty_caption_files"].count == 1
    move, folder = shlex.split(found.mend.command)[-1].split("=")
    assert move == "move"
    assert cutline.move_orphans(made.table, str(made.data), folder).ok


def test_the_command_that_mends_looks_at_what_was_looked_at(tmp_path):
    made = intact(tmp_path / "set")
    made.add("no.png", width=None)
    made.prepare()
    assert made.verify(strategy="parquet").mend.command.endswith(" --strategy parquet")
    os.rename(made.data, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", made.data)  # as one that is on another disk
    assert f"move={tmp_path}/orphans" in made.verify().mend.command


def test_orphans_that_come_again_go_to_another_folder(dataset):
    (dataset.data / "late.json").unlink()
    assert shlex.split(dataset.verify().mend.command)[-1] == f"move={dataset.root}/orphans"
    move(dataset, dataset.root / "orphans")
    Image.new("RGB", SIZE).save(dataset.data / "late.png")
    again = shlex.split(dataset.verify().mend.command)[-1]
    assert again == f"move={dataset.root}/orphans-2"
    assert move(dataset, again.removeprefix("move=")).ok
    assert move(dataset, dataset.root / "orphans").ok


def test_the_command_that_mends_can_be_pasted(tmp_path):
    made = intact(tmp_path / "it's a set")
    made.add("no.png", width=None)
    made.prepare()
    command = shlex.split(made.verify().mend.command)
    assert command[:2] == ["cutline", "verify"]
    done = os.spawnv(
        os.P_WAIT, sys.executable,
        [sys.executable, "-m", *command, "--quiet", "--dashboard-address", "none"],
    )  # fmt: skip
    assert done == 0
    assert made.verify().ok
    assert (tmp_path / "it's a set/orphans/no.png").exists()
