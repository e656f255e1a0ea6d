import os
import tarfile

import fsspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline.captions.caption_files import write_captions
from cutline.demo.making import make_demo
from cutline.demo.samples import DemoOptions
from cutline.errors import CutlineError
from cutline.plan.shard_index import index_shards, sidecar_lines
from cutline.progress.watcher import SILENT
from cutline.record.outcome import TOO_LARGE, Reject
from cutline.sources.remote_file import FAR, WHOLE
from cutline.sources.shard_names import open_shards
from cutline.sources.tar_shards import GAP, LocalShard, RemoteShard, Shards, _requests
from cutline.store.disk import make_folder
from cutline.store.table_store import LocalDisk
from cutline.table.compile_options import CompileOptions
from cutline.table.compiling import compile_table
from sidecars import as_bytes, record
from tar_bytes import END, by_tarfile, header, member, padded

FEW = CompileOptions(partition_size=7, max_rejects=1)


def write_shard(folder, name, files):
    """Write {member's name: bytes or record} as a shard."""
    archive = by_tarfile([(path, as_bytes(data)) for path, data in files.items()], "gnu")
    os.makedirs(folder, exist_ok=True)
    (folder / name).write_bytes(archive)
    return folder / name


def samples(start, stop):
    """Good records, each before an image that is larger."""
    files = {}
    for number in range(start, stop):
        files[f"{number:03}.json"] = record(f"{number:03}.png")
        files[f"{number:03}.png"] = bytes(3000)
    return files


def ledger(table):
    path = os.fspath(table).removesuffix(".parquet") + ".rejects.parquet"
    return pq.read_table(path).to_pylist()


def listed(source, folder):
    """The lines that a compile of some shards plans."""
    make_folder(f"{folder}/t.cutline")
    store, indexes = LocalDisk(), f"{folder}/t.cutline/shards"
    made = index_shards(open_shards(source), store, indexes, None, SILENT)
    return sidecar_lines(made, store, images=False)


# The same as loose files.


@pytest.mark.parametrize("form", ["shards", "hostile"])
def test_shards_give_the_table_and_the_rejects_of_the_same_loose_files(form, tmp_path, client):
    loose = make_demo(tmp_path / "loose", DemoOptions(600))
    shards = make_demo(tmp_path / "shards", DemoOptions(600, form=form))
    options = CompileOptions(partition_size=100, allow_damaged=True)
    one = compile_table(f"{tmp_path}/loose/data", f"{tmp_path}/a.parquet", options, client=client)
    two = compile_table(f"{tmp_path}/shards/data", f"{tmp_path}/b.parquet", options, client=client)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert one.rejects == two.rejects == loose.rejects == shards.rejects
    assert two.sidecars == two.rows + sum(two.rejects.values()) == 600
    assert two.stem_mismatches == one.stem_mismatches
    assert (one.damaged_shards, two.damaged_shards) == (None, shards.damaged_shards)


def test_the_ledger_names_shard_and_member(tmp_path):
    write_shard(tmp_path / "s", "b.tar", {"deep/er/1.json": b"[]", "2.json": b"{}"})
    compile_table(f"{tmp_path}/s", f"{tmp_path}/t.parquet", FEW)
    assert [(line["source"], line["reason"]) for line in ledger(tmp_path / "t.parquet")] == [
        ("b.tar/deep/er/1.json", "not_object"),
        ("b.tar/2.json", "no_width"),
    ]


def test_the_order_is_sorted_shard_and_then_member_and_a_folder_is_part_of_a_filename(tmp_path):
    write_shard(tmp_path, "b.tar", {"x/2.json": record("2.png"), "x/1.json": record("1.png")})
    write_shard(tmp_path, "a.tar", {"./y/9.json": record("9.png"), "8.json": record("8.png")})
    compile_table([f"{tmp_path}/b.tar", f"{tmp_path}/a.tar"], f"{tmp_path}/t.parquet", FEW)
    rows = pq.read_table(tmp_path / "t.parquet")["filename"].to_pylist()
    assert rows == ["y/9.png", "8.png", "x/2.png", "x/1.png"]


def test_of_a_member_that_stands_twice_the_first_is_the_row(tmp_path):
    one, two = (member(b"1.json", as_bytes(record("1.png", width=w))) for w in (1, 2))
    (tmp_path / "a.tar").write_bytes(one + two + END)
    summary = compile_table(f"{tmp_path}/a.tar", f"{tmp_path}/t.parquet", FEW)
    assert pq.read_table(tmp_path / "t.parquet")["width"].to_pylist() == [1]
    assert (summary.sidecars, summary.rejects) == (2, {"duplicate": 1})
    (line,) = ledger(tmp_path / "t.parquet")
    assert (line["source"], line["filename"]) == ("a.tar/1.json", "1.png")


def test_members_that_are_no_files_or_lead_out_are_unreadable_and_said(tmp_path):
    archive = b"".join(header(b"%c.json" % flag, flag=bytes([flag])) for flag in b"12345S")
    names = (b"../up.json", b"/root.json", b"a/../../b.json", b"n" * 94 + b".json/")
    archive += b"".join(member(name, b"{}") for name in names)
    (tmp_path / "a.tar").write_bytes(archive + END)
    summary = compile_table(f"{tmp_path}/a.tar", f"{tmp_path}/t.parquet", FEW)
    assert (summary.rejects, summary.rows) == ({"unreadable": 10}, 0)
    details = {line["source"]: line["detail"] for line in ledger(tmp_path / "t.parquet")}
    assert details["a.tar/2.json"] == "it is a symlink member"
    assert details["a.tar//root.json"] == "its name is an absolute path"
    assert details["a.tar/../up.json"] == "its name leads out of the folder"


def test_hidden_members_are_passed_over_as_in_folders(tmp_path):
    files = {"._1.json": b"", ".git/2.json": b"", "a/.b/3.json": b"", "4.json": record("4.png")}
    write_shard(tmp_path, "a.tar", files)
    assert compile_table(f"{tmp_path}/a.tar", f"{tmp_path}/t.parquet", FEW).sidecars == 1


def test_a_sidecar_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(header(b"1.json", TOO_LARGE + 1))
    with path.open("r+b") as file:
        file.seek(512 + TOO_LARGE)
        file.write(padded(b"}") + END)
    summary = compile_table(f"{path}", f"{tmp_path}/t.parquet", FEW)
    assert (summary.rejects, summary.damaged_shards) == ({"too_large": 1}, 0)


# Damage.


@pytest.fixture
def damaged(tmp_path):
    """Two shards of 5 samples; in the second, the header of the third sidecar is damaged."""
    write_shard(tmp_path / "s", "a.tar", samples(0, 5))
    path = write_shard(tmp_path / "s", "b.tar", samples(5, 10))
    with tarfile.open(path) as archive:
        offset = archive.getmember("007.json").offset
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"9")
    return tmp_path / "s", offset


def test_damage_is_in_the_ledger_and_the_good_members_are_in_the_table(damaged, tmp_path):
    folder, offset = damaged
    summary = compile_table(f"{folder}", f"{tmp_path}/t.parquet", FEW)
    assert (summary.rows, summary.sidecars, summary.rejects) == (9, 9, {})
    assert (summary.damaged_shards, summary.as_json()["damaged_shards"]) == (1, 1)
    assert summary.shortfall.startswith("1 of 2 shards are damaged")
    (line,) = ledger(tmp_path / "t.parquet")
    assert (line["source"], line["reason"]) == ("b.tar", "damaged_shard")
    assert line["detail"].startswith(f"at byte {offset:,}:")


def test_allow_damaged_bears_damage_and_still_tells_it(damaged, tmp_path):
    options = CompileOptions(allow_damaged=True)
    summary = compile_table(f"{damaged[0]}", f"{tmp_path}/t.parquet", options)
    assert (summary.shortfall, summary.damaged_shards) == ("", 1)
    assert len(ledger(tmp_path / "t.parquet")) == 1


def test_captions_from_a_damaged_shard_are_written_and_the_damage_is_said(damaged, tmp_path):
    (tmp_path / "out").mkdir()
    summary = write_captions(f"{damaged[0]}", f"{tmp_path}/out")
    assert summary.written == 9
    assert summary.shortfall.startswith("1 of 2 shards are damaged")
    borne = write_captions(f"{damaged[0]}", f"{tmp_path}/out", CompileOptions(allow_damaged=True))
    assert (borne.unchanged, borne.shortfall) == (9, "")


def test_a_shard_of_nothing_but_damage_tells_the_first_hundred(tmp_path):
    write_shard(tmp_path / "s", "a.tar", samples(0, 2))
    lone = header(b"x", flag=b"0") + b"\xff" * 512
    (tmp_path / "s" / "b.tar").write_bytes(lone * 150)
    compile_table(f"{tmp_path}/s", f"{tmp_path}/t.parquet", FEW)
    lines = ledger(tmp_path / "t.parquet")
    assert len(lines) == 101
    assert lines[-1]["detail"].endswith("more damages")


def test_a_packed_shard_is_refused_with_the_mend_and_its_name(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(CutlineError, match=r"a\.tar is compressed with gzip.*gunzip"):
        compile_table(f"{tmp_path}/a.tar", f"{tmp_path}/t.parquet", FEW)


def test_a_shard_that_cannot_be_read_on_is_named_and_not_the_file_that_it_is_copied_to(tmp_path):
    shard = LocalShard("/proc/self/mem")  # nothing is mapped at its beginning
    refused = pytest.raises(CutlineError, match=r"^/proc/self/mem cannot be read any further")
    with (tmp_path / "x").open("wb") as file, refused:
        shard.copy(0, 10, file.fileno())
    shard.close()


def test_a_file_that_cannot_be_written_is_not_said_to_be_the_shards_fault(tmp_path):
    write_shard(tmp_path, "a.tar", samples(0, 2))
    shard = LocalShard(f"{tmp_path}/a.tar")
    with open("/dev/full", "wb") as file, pytest.raises(OSError, match="No space left"):
        shard.copy(0, 10, file.fileno())
    shard.close()


# Going on.


def made_parts(folder):
    return {name: os.stat(folder / name).st_ino for name in os.listdir(folder)}


def test_of_shards_only_the_parts_of_a_changed_one_are_made_again(tmp_path):
    for name, start in (("a.tar", 0), ("b.tar", 20), ("c.tar", 40)):
        write_shard(tmp_path / "s", name, samples(start, start + 20))
    first = compile_table(f"{tmp_path}/s", f"{tmp_path}/t.parquet", FEW)
    before = made_parts(tmp_path / "t.parts")
    assert (first.parts, first.reused_parts) == (9, 0)  # 20 sidecars are 7 + 7 + 6, thrice

    write_shard(tmp_path / "s", "b.tar", {**samples(20, 39), "39.json": record("new.png")})
    again = compile_table(f"{tmp_path}/s", f"{tmp_path}/t.parquet", FEW)
    after = made_parts(tmp_path / "t.parts")
    changed = {name for name in before if before[name] != after[name]}
    assert (again.parts, again.reused_parts) == (9, 6)
    assert changed == {f"part-{number:05}.parquet" for number in (3, 4, 5)}
    assert "new.png" in pq.read_table(tmp_path / "t.parquet")["filename"].to_pylist()


def test_the_index_of_an_unchanged_shard_is_used_again_and_that_of_a_lost_one_removed(tmp_path):
    for name, start in (("a.tar", 0), ("b.tar", 20)):
        write_shard(tmp_path / "s", name, samples(start, start + 2))
    compile_table(f"{tmp_path}/s", f"{tmp_path}/t.parquet", FEW)
    before = made_parts(tmp_path / "t.cutline/shards")
    (tmp_path / "s" / "b.tar").unlink()
    compile_table(f"{tmp_path}/s", f"{tmp_path}/t.parquet", FEW)
    after = made_parts(tmp_path / "t.cutline/shards")
    assert len(before) == 2
    assert len(after) == 1
    assert after.items() <= before.items()


def test_parts_with_unreadable_members_are_used_again(tmp_path):
    (tmp_path / "a.tar").write_bytes(header(b"1.json", flag=b"5") + END)
    for reused in (0, 1):
        summary = compile_table(f"{tmp_path}/a.tar", f"{tmp_path}/t.parquet", FEW)
        assert (summary.reused_parts, summary.rejects) == (reused, {"unreadable": 1})


def test_a_shard_that_changes_between_index_and_reading_stops_the_job(tmp_path):
    path = write_shard(tmp_path, "a.tar", samples(0, 2))
    lines = listed(f"{path}", tmp_path)
    write_shard(tmp_path, "a.tar", samples(1, 4))
    with pytest.raises(CutlineError, match="changed while it was read: run this again"):
        list(Shards(f"{tmp_path}").read(lines))


def test_a_shard_that_goes_away_is_one_sentence(tmp_path):
    lines = listed(f"{write_shard(tmp_path, 'a.tar', samples(0, 2))}", tmp_path)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(CutlineError, match=r"a\.tar cannot be read \(No such file"):
        list(Shards(f"{tmp_path}").read(lines))


# Remote shards.


def test_remote_shards_give_the_table_of_local_ones(tmp_path):
    remote = fsspec.filesystem("memory")
    for name, start in (("a.tar", 0), ("b.tar", 20)):
        path = write_shard(tmp_path / "s", name, samples(start, start + 20))
        remote.pipe_file(f"/remote/{name}", path.read_bytes())
    one = compile_table(f"{tmp_path}/s", f"{tmp_path}/a.parquet", FEW)
    for table in ("b", "b"):
        two = compile_table("memory://remote", f"{tmp_path}/{table}.parquet", FEW)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert (one.sidecars, two.sidecars, two.reused_parts) == (40, 40, two.parts)


@given(st.lists(st.tuples(st.integers(0, 3 * GAP), st.integers(0, FAR // 3)), max_size=30))
def test_requests_hold_every_span_once_in_order_and_neither_wide_gaps_nor_too_much(distances):
    spans, at = [], 0
    for gap, size in distances:
        spans.append((at + gap, size))
        at += gap + size
    found = list(_requests(spans))
    assert [span for one in found for span in one.spans] == spans
    for one in found:
        assert one.offset == one.spans[0][0]
        assert one.offset + one.size == sum(one.spans[-1])
        assert len(one.spans) == 1 or one.size <= FAR
        ends = [offset + size for offset, size in one.spans]
        assert all(s[0] - e <= GAP for s, e in zip(one.spans[1:], ends, strict=False))


def test_near_spans_of_a_remote_shard_come_in_one_request(monkeypatch):
    content = bytes(range(256)) * (WHOLE // 256 + 1)
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/remote/p.tar", content)
    shard = RemoteShard("memory://remote/p.tar")
    asked = []
    cat = type(filesystem).cat_file

    def noted(self, path, start=None, end=None, **more):
        asked.append((start, end))
        return cat(self, path, start=start, end=end, **more)

    monkeypatch.setattr(type(filesystem), "cat_file", noted)
    spans = [(10, 5), (1000, 0), (2000, 700), (600_000, 9), (len(content) - 1, 4)]
    read = list(shard.read_spans(spans))
    assert read[:4] == [content[offset : offset + size] for offset, size in spans[:4]]
    assert read[4] == Reject("unreadable", "the shard ends within it")
    assert sorted(asked) == [(600_000, 600_009), (len(content) - 1, len(content) + 3)]


def test_the_sidecars_of_a_small_remote_shard_come_in_one_request(monkeypatch):
    content = bytes(range(256)) * 40_000
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/remote/p.tar", content)
    shard = RemoteShard("memory://remote/p.tar")
    monkeypatch.setattr(type(filesystem), "cat_file", None)  # it is not asked twice
    spans = [(offset, 9) for offset in range(512, len(content), 100_000)]
    read = list(shard.read_spans(spans))
    assert read == [content[offset : offset + size] for offset, size in spans]


def test_what_a_remote_shard_refuses_is_no_reject(monkeypatch):
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/remote/p.tar", bytes(WHOLE + 1))
    shard = RemoteShard("memory://remote/p.tar")

    def refused(self, path, **more):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(filesystem), "cat_file", refused)
    with pytest.raises(CutlineError, match=r"p\.tar cannot be read any further \(Input/output"):
        list(shard.read_spans([(0, 1), (90_000, 3)]))


@pytest.mark.parametrize("kind", [LocalShard, RemoteShard])
def test_a_shard_that_became_shorter_is_named(kind, tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(1000))
    shard = kind(str(path) if kind is LocalShard else path.as_uri())
    os.truncate(path, 600)
    with (
        open(tmp_path / "member", "wb") as file,
        pytest.raises(CutlineError, match=r"a\.tar (ends before its|cannot be read \(88 of)"),
    ):
        shard.copy(512, 488, file.fileno())
    shard.close()
