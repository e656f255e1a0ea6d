"""A compile whose table, or a part of it, is there already."""

import dataclasses
import errno
import os
import shutil
import stat
from pathlib import Path

import dask
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from cutline.errors import CutlineError, UsageError
from cutline.plan.selection import Selection
from cutline.record.judging import Rules
from cutline.store import table_files
from cutline.table.compile_options import CompileOptions
from cutline.table.compiling import compile_table
from jobs_at_work import Listener
from outputs import check_against_oracle, files_of, ledger_of, ledger_path, rows_of
from sidecars import numbered, record, write_sidecars

OPTIONS = CompileOptions(partition_size=5, max_rejects=1)


@pytest.fixture(autouse=True)
def synchronous():
    """Without a client, work in this thread."""
    with dask.config.set(scheduler="synchronous"):
        yield


def with_rules(**rules):
    return dataclasses.replace(OPTIONS, rules=Rules(**rules))


@pytest.fixture
def done(tmp_path):
    """Twenty good records and two rejects, compiled in parts of five: source and table."""
    sidecars = numbered(20) | {"007.json": b"{", "017.json": record(width=...)}
    source = write_sidecars(tmp_path / "data", sidecars)
    table = os.fspath(tmp_path / "t.parquet")
    assert compile_table(source, table, OPTIONS).parts == 4
    return source, table


def check_again(source, table, reused, options=OPTIONS, **rules):
    """Run again: so many parts must be reused, and the table be right."""
    summary = compile_table(source, table, options)
    assert summary.reused_parts == reused
    check_against_oracle(source, table, summary, **rules)
    outputs = table_files.TableFiles.of(table)
    assert len(os.listdir(outputs.parts)) == summary.parts
    assert pq.read_table(outputs.parts).equals(pq.read_table(table))
    assert len(os.listdir(outputs.rejects)) <= summary.parts
    fresh = f"{os.path.dirname(table)}/fresh.parquet"
    compile_table(source, fresh, dataclasses.replace(options, fresh=True))
    assert files_of(table) == files_of(fresh)


def test_a_second_run_reuses_every_part_and_touches_nothing(done):
    _, table = done
    before = os.stat(table), files_of(table)
    check_again(*done, reused=4)
    after = os.stat(table), files_of(table)
    assert (before[0].st_ino, before[0].st_mtime_ns) == (after[0].st_ino, after[0].st_mtime_ns)
    assert before[1] == after[1]


def test_a_second_run_on_workers_reuses_what_the_first_made_here(done, client):
    source, table = done
    before = files_of(table)
    summary = compile_table(source, table, OPTIONS, client=client)
    assert (summary.reused_parts, summary.parts) == (4, 4)
    assert files_of(table) == before


def rewrite(source, name, sidecar):
    """Write a sidecar anew, a nanosecond or more later."""
    path = f"{source}/{name}"
    before = os.stat(path).st_mtime_ns
    write_sidecars(source, {name: sidecar})
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_changed_sidecar_is_read_again_though_its_size_is_the_same(done):
    source, _ = done
    before = os.path.getsize(f"{source}/003.json")
    rewrite(source, "003.json", record("003.png", short_caption="What 003.png SHOWS."))
    assert os.path.getsize(f"{source}/003.json") == before
    check_again(*done, reused=3)


def test_a_sidecar_is_read_again_though_its_size_and_the_time_that_tar_sets_are_the_same(done):
    source, table = done
    path = f"{source}/003.json"
    status = os.stat(path)
    write_sidecars(source, {"003.json": record("003.png", width=1025)})
    assert os.path.getsize(path) == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    check_again(source, table, reused=3)


def test_another_source_of_the_same_names_sizes_and_times_is_another_source(done, tmp_path):
    source, table = done
    shutil.copytree(source, tmp_path / "other")  # with the times, as `cp -p` does
    check_again(f"{tmp_path}/other", table, reused=0)


def test_a_changed_sidecar_is_read_again_though_its_time_is_the_same(done):
    source, _ = done
    time = os.stat(f"{source}/003.json").st_mtime_ns
    write_sidecars(source, {"003.json": record("003.png", short_caption="Another.")})
    os.utime(f"{source}/003.json", ns=(time, time))
    check_again(*done, reused=3)


def test_a_sidecar_that_was_mended_is_a_row(done):
    source, table = done
    rewrite(source, "007.json", record("007.png"))
    check_again(*done, reused=3)
    assert [line[0] for line in ledger_of(table)] == ["017.json"]


def test_a_sidecar_that_became_a_folder_is_unreadable(done):
    source, table = done
    os.remove(f"{source}/003.json")
    os.mkdir(f"{source}/003.json")
    check_again(*done, reused=3)
    assert ledger_of(table)[0] == ("003.json", "unreadable", None)


def test_a_sidecar_added_at_the_end_costs_one_part(done):
    source, _ = done
    write_sidecars(source, {"999.json": record("999.png")})
    check_again(*done, reused=4)


def test_a_sidecar_added_in_front_moves_every_part(done):
    source, _ = done
    write_sidecars(source, {"0.json": record("0.png")})
    check_again(*done, reused=0)


def test_a_sidecar_that_was_removed_gives_no_row(done):
    source, _ = done
    os.remove(f"{source}/012.json")
    check_again(*done, reused=2)


def test_fewer_parts_than_before_leave_no_old_ones(done):
    source, table = done
    for number in range(8, 20):
        os.remove(f"{source}/{number:03}.json")
    check_again(*done, reused=1)
    outputs = table_files.TableFiles.of(table)
    assert sorted(os.listdir(outputs.parts)) == ["part-00000.parquet", "part-00001.parquet"]
    assert len(os.listdir(outputs.rejects)) == 1


@pytest.mark.parametrize("partition_size", [3, 7, 1000])
def test_another_partition_size_uses_no_part_for_another(done, partition_size):
    options = dataclasses.replace(OPTIONS, partition_size=partition_size)
    check_again(*done, reused=0, options=options)


def test_another_caption_field_uses_no_old_part(done):
    options = with_rules(caption_fields=("long_caption",))
    check_again(*done, reused=0, options=options, caption_fields=("long_caption",))
    check_again(*done, reused=0)


def test_raw_captions_use_no_old_part(done):
    options = with_rules(raw_captions=True)
    check_again(*done, reused=0, options=options, raw_captions=True)


def test_a_column_uses_no_old_part_and_neither_does_its_end(done):
    options = with_rules(columns=(("long", "long_caption"),))
    check_again(*done, reused=0, options=options, columns=("long_caption",))
    check_again(*done, reused=0)


def test_another_compression_writes_the_table_anew(done):
    _, table = done
    for codec, name in (("gzip", "GZIP"), ("none", "UNCOMPRESSED"), ("zstd", "ZSTD")):
        check_again(*done, reused=4, options=dataclasses.replace(OPTIONS, compression=codec))
        for path in (table, ledger_path(table)):
            assert pq.read_metadata(path).row_group(0).column(2).compression == name


def test_a_fresh_run_reuses_nothing(done):
    source, table = done
    summary = compile_table(source, table, dataclasses.replace(OPTIONS, fresh=True))
    assert summary.reused_parts == 0
    check_against_oracle(source, table, summary)


def truncate(path):
    os.truncate(path, os.path.getsize(path) - 3)


def truncate_to_nothing(path):
    os.truncate(path, 0)


def fill_with_garbage(path):
    Path(path).write_bytes(os.urandom(os.path.getsize(path)))


def spoil_the_footer(path):
    with open(path, "r+b") as file:
        file.seek(-200, os.SEEK_END)
        file.write(b"\xff" * 150)


def replace_by_another_part(path):
    shutil.copy(path.replace("00001", "00002"), path)


def replace_by_somebody_elses(path):
    pq.write_table(pa.table({"width": [1]}), path)


HARMS = [
    os.remove, truncate, truncate_to_nothing, fill_with_garbage, spoil_the_footer,
    replace_by_another_part, replace_by_somebody_elses,
]  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_part_that_is_not_what_it_was_is_made_anew(done, harm):
    harm(table_files.TableFiles.of(done[1]).part(1))
    check_again(*done, reused=3)


@pytest.mark.parametrize("harm", [os.remove, truncate_to_nothing, fill_with_garbage])
def test_a_part_whose_rejects_are_lost_is_made_anew(done, harm):
    outputs = table_files.TableFiles.of(done[1])
    harm(f"{outputs.rejects}/{min(os.listdir(outputs.rejects))}")
    check_again(*done, reused=3)


def test_a_part_that_is_damaged_inside_is_named_and_the_table_stays(done):
    source, table = done
    part = table_files.TableFiles.of(table).part(2)
    with open(part, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 40)
    before = files_of(table)
    rewrite(source, "003.json", record("003.png", short_caption="New."))
    with pytest.raises(CutlineError, match=r"part-00002\.parquet is damaged .* remove it"):
        compile_table(source, table, OPTIONS)
    assert files_of(table) == before
    os.remove(part)
    check_again(*done, reused=3)


@pytest.mark.parametrize("name", ["table", "ledger", "merged"])
def test_an_output_that_is_gone_is_made_again_from_the_parts(done, name):
    before = files_of(done[1])
    os.remove(getattr(table_files.TableFiles.of(done[1]), name))
    check_again(*done, reused=4)
    assert files_of(done[1]) == before


def test_all_the_jobs_own_files_may_go(done):
    shutil.rmtree(table_files.TableFiles.of(done[1]).workspace.folder)
    check_again(*done, reused=0)


def test_the_folder_of_the_parts_may_go(done):
    shutil.rmtree(table_files.TableFiles.of(done[1]).parts)
    check_again(*done, reused=0)


def test_outputs_that_are_moved_together_go_on_where_they_stopped(done, tmp_path):
    source, table = done
    os.mkdir(tmp_path / "elsewhere")
    for name in os.listdir(tmp_path):
        if name.startswith("t."):
            os.rename(tmp_path / name, tmp_path / "elsewhere" / name)
    check_again(source, os.fspath(tmp_path / "elsewhere" / "t.parquet"), reused=4)
    assert not os.path.exists(table)


def broken_disk(call, inode):
    """The same call of the kernel, on a disk that has lost one file."""

    def broken(*args, **keywords):
        result = call(*args, **keywords)
        descriptor = args[0] if call is REAL_READ else result
        if os.fstat(descriptor).st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return result

    return broken


REAL_READ = os.read


@pytest.mark.parametrize("name", ["read", "open"])
def test_what_cannot_be_read_is_tried_again(done, monkeypatch, name):
    source, table = done
    rewrite(source, "003.json", record("003.png", short_caption="New."))
    inode = os.stat(f"{source}/003.json").st_ino
    monkeypatch.setattr(os, name, broken_disk(getattr(os, name), inode))
    summary = compile_table(source, table, OPTIONS)
    assert (summary.reused_parts, summary.rejects["unreadable"]) == (3, 1)
    assert ledger_of(table)[0] == ("003.json", "unreadable", None)
    monkeypatch.undo()
    check_again(source, table, reused=3)


def test_what_cannot_be_read_for_a_reason_that_is_still_there_is_not_tried_again(done):
    source, _ = done
    os.mkdir(f"{source}/020.json")
    os.mkfifo(f"{source}/021.json")
    os.symlink("nowhere", f"{source}/022.json")
    os.mknod(f"{source}/023.json", stat.S_IFSOCK | 0o600)
    check_again(*done, reused=4)
    check_again(*done, reused=5)


def test_a_link_whose_target_appears_is_a_row(done):
    source, table = done
    os.symlink("../later.json", f"{source}/999.json")
    compile_table(source, table, OPTIONS)
    assert ledger_of(table)[-1] == ("999.json", "unreadable", None)
    write_sidecars(os.path.dirname(source), {"later.json": record("later.png")})
    check_again(*done, reused=4)
    assert rows_of(table)[-1][3] == "later.png"


def test_a_time_of_modification_that_nobody_expects_does_no_harm(done):
    source, _ = done
    os.utime(f"{source}/003.json", ns=(0, 2**65))
    os.utime(f"{source}/004.json", ns=(0, -(2**65)))
    check_again(*done, reused=3)
    check_again(*done, reused=4)


def test_a_sidecar_behind_a_url_that_changed_is_read_again(done):
    source, table = done
    assert compile_table(f"file://{source}", table, OPTIONS).reused_parts == 0
    rewrite(source, "003.json", record("003.png", short_caption="What 003.png SHOWS."))
    assert compile_table(f"file://{source}", table, OPTIONS).reused_parts == 3
    assert rows_of(table)[3][2] == "What 003.png SHOWS."


# What is refused, and leaves what was there


def refused(source, table, options, kind=CutlineError):
    """Run, and give the message; the table that was there must be as it was."""
    before = files_of(table), os.stat(table).st_ino
    with pytest.raises(kind) as caught:
        compile_table(source, table, options)
    assert (files_of(table), os.stat(table).st_ino) == before
    assert not os.path.exists(table_files.TableFiles.of(table).workspace.lock)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_too_many_rejects_leave_the_table_and_say_which(done):
    source, table = done
    write_sidecars(source, {"020.json": b"[]", "021.json": record("000.jpg"), "022.json": b"{"})
    message = refused(source, table, dataclasses.replace(OPTIONS, max_rejects=0.1))
    assert message.startswith(
        "4 of 23 sidecars were rejected, more than the share of 0.1 that --max-rejects allows, and"
        " the table was left as it was: 2 bad_json (007.json: "
    )
    assert "1 duplicate (021.json: its sample is that of 000.png, which came first)" in message
    assert "1 not_object (020.json: the sidecar holds a list of 0)" in message
    check_again(*done, reused=5)


def test_a_caption_field_that_no_record_has_shows_what_a_record_has(done):
    options = dataclasses.replace(with_rules(caption_fields=("captoin",)), max_rejects=0.1)
    message = refused(*done, options)
    assert "18 no_caption (000.json: no text in captoin; the record has" in message
    assert "image_name, width, height, short_caption, long_caption" in message


def test_a_column_of_a_field_that_no_record_has_is_refused(done):
    message = refused(*done, with_rules(columns=(("hash", "sha_521"),)))
    assert message == "No record has a field 'sha_521' for the column 'hash': correct --column."


def test_a_column_of_a_field_that_one_record_has_is_taken(done):
    source, table = done
    rewrite(source, "013.json", record("013.png", rare={"a": 1}))
    options = with_rules(columns=(("rare", "rare"), ("long", "long_caption")))
    compile_table(source, table, options)
    assert {row[4] for row in rows_of(table)} == {None, '{"a":1}'}
    assert {row[5] for row in rows_of(table)} == {"A longer story."}


def test_a_source_without_sidecars_is_refused_and_leaves_nothing(done, tmp_path):
    _, table = done
    source = write_sidecars(tmp_path / "empty", {"a.txt": b"", ".hidden.json": b"{}"})
    assert refused(source, table, OPTIONS) == (
        f"There is no .json file in {source}: name another folder."
    )
    os.mkdir(tmp_path / "new")
    with pytest.raises(CutlineError, match=r"There is no \.json file in"):
        compile_table(source, os.fspath(tmp_path / "new" / "t.parquet"), OPTIONS)
    assert os.listdir(tmp_path / "new") == []


def test_a_source_that_is_not_there_is_refused(done, tmp_path):
    message = refused(os.fspath(tmp_path / "nothing"), done[1], OPTIONS, UsageError)
    assert message.endswith("/nothing is not there: name the folder that holds the sidecars.")


def test_a_second_run_is_refused_while_one_is_at_work(done):
    source, table = done
    with table_files.TableFiles.of(table).locked(print):
        before = files_of(table)
        with pytest.raises(CutlineError, match="Another run is at work"):
            compile_table(source, table, dataclasses.replace(OPTIONS, fresh=True))
        assert files_of(table) == before
    check_again(*done, reused=4)


def test_what_a_url_does_not_tell_anything_about_is_never_used_again(done, monkeypatch):
    source, table = done
    info = LocalFileSystem.info

    def bare(filesystem, path, **more):
        told = info(filesystem, path, **more)
        return {name: told[name] for name in ("name", "size", "type")}

    monkeypatch.setattr(LocalFileSystem, "info", bare)
    url = f"file://{source}"
    before = compile_table(url, table, OPTIONS)
    rewrite(source, "003.json", record("003.png", short_caption="What 003.png SHOWS."))
    again = compile_table(url, table, OPTIONS)
    assert (before.reused_parts, again.reused_parts) == (0, 0)
    assert "What 003.png SHOWS." in pq.read_table(table)["caption"].to_pylist()


# Duplicates


@pytest.fixture
def twice(tmp_path):
    """Twenty records in parts of five; those of 006, 012 and 018 are the sample of 001."""
    later = {f"{n:03}.json": record("001.jpg", short_caption=f"Of {n}.") for n in (6, 12, 18)}
    source = write_sidecars(tmp_path / "data", numbered(20) | later)
    table = os.fspath(tmp_path / "t.parquet")
    assert compile_table(source, table, OPTIONS).rejects == {"duplicate": 3}
    return source, table


def test_parts_without_their_duplicates_are_used_again(twice):
    check_again(*twice, reused=4)


@pytest.mark.parametrize(
    ("change", "reused"),
    [
        ({"001.json": b"{"}, 0),  # the row of 006 comes back, and those behind it stay away
        ({"001.json": record("other.png")}, 0),
        ({"006.json": record("006.png")}, 1),
        ({"017.json": record(width=...)}, 3),
        ({"020.json": record("001.gif")}, 4),
        ({"020.json": record("020.png")}, 4),
    ],
    ids=["winner broken", "winner renamed", "later freed", "last part", "one more", "a new one"],
)
def test_a_row_comes_back_once_the_one_that_was_kept_instead_is_gone(twice, change, reused):
    write_sidecars(twice[0], change)
    check_again(*twice, reused)
    check_again(*twice, reused=4 + ("020.json" in change))


def test_a_row_comes_back_once_the_sidecar_that_was_kept_instead_is_removed(twice):
    os.unlink(f"{twice[0]}/001.json")
    check_again(*twice, reused=0)


def test_the_last_stage_on_the_dashboard_has_the_figures_of_the_summary(tmp_path, client):
    later = {f"{n:03}.json": record("001.jpg") for n in (6, 12, 18)} | {"003.json": b"{"}
    source = write_sidecars(tmp_path / "data", numbered(20) | later)
    summary = compile_table(source, tmp_path / "t.parquet", OPTIONS, client=client)
    told = [message for _, message in client.get_events("cutline")]
    stage = [one["stage"] for one in told if one.get("name") == "merge"][-1]
    assert [one for one in told if one.get("stage") == stage and one["event"] == "done"] == [
        {
            "event": "done", "amount": 20, "made": {"rows": 16}, "task": "the table",
            "rejects": {"bad_json": 1, "duplicate": 3}, "examples": {}, "worker": "",
            "stage": stage, "seconds": pytest.approx(5, abs=600),
        }
    ]  # fmt: skip
    assert (summary.rows, summary.rejects) == (16, {"bad_json": 1, "duplicate": 3})


# Links


@pytest.mark.parametrize("there", [True, False])
def test_a_table_behind_a_link_is_made_where_the_link_leads(tmp_path, there):
    source = write_sidecars(tmp_path / "data", numbered(12))
    real, link = tmp_path / "large disk" / "tables.parquet", tmp_path / "t.parquet"
    real.parent.mkdir()
    link.symlink_to(real)
    if there:
        compile_table(source, real, OPTIONS)
        write_sidecars(tmp_path / "data", {"007.json": record(width=...)})
    summary = compile_table(source, link, OPTIONS)
    assert link.is_symlink()
    assert summary.table == os.fspath(real)
    assert summary.reused_parts == (2 if there else 0)
    check_against_oracle(source, os.fspath(real), summary)
    assert sorted(os.listdir(tmp_path)) == ["data", "large disk", "t.parquet"]


def test_a_link_to_what_is_no_table_is_refused(tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(2))
    (tmp_path / "t.parquet").symlink_to(tmp_path / "other.csv")
    with pytest.raises(UsageError, match=r"other\.csv has another name than X\.parquet"):
        compile_table(source, tmp_path / "t.parquet", OPTIONS)


# Other options than those of the table that is there


def said(source, table, options):
    listener = Listener()
    compile_table(source, table, options, watcher=listener)
    return listener.said


def test_options_that_are_forgotten_the_next_time_are_told(tmp_path):
    source = write_sidecars(tmp_path / "data", {"a.json": record(title="A title.")})
    table = os.fspath(tmp_path / "t.parquet")
    by_title = with_rules(caption_fields=("title", "short_caption"), raw_captions=True)
    assert said(source, table, by_title) == []
    assert said(source, table, by_title) == []
    [line] = said(source, table, OPTIONS)
    assert line == (
        "The table that is there was made with --caption-field title --caption-field short_caption"
        " --raw-captions, and this one is made with the default options: their rows may differ."
    )
    assert said(source, table, OPTIONS) == []
    [line] = said(source, table, dataclasses.replace(OPTIONS, selection=Selection(limit=1)))
    assert "made with the default options, and this one is made with --limit 1:" in line


def test_options_that_change_no_row_are_not_told(done):
    source, table = done
    others = dataclasses.replace(OPTIONS, partition_size=7, compression="none", fresh=True)
    assert said(source, table, others) == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"digest": "", "rows": 0, "rejects": {}}'])
def test_a_table_of_an_older_version_or_a_damaged_note_tells_no_options(done, body):
    source, table = done
    Path(table).with_name("t.cutline").joinpath("merged").write_bytes(body)
    assert said(source, table, with_rules(raw_captions=True)) == []
