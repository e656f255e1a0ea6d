"""Hard links and system files in shards: what GNU tar unpacks, and what nobody wants."""

import io
import json
import os
import subprocess
import tarfile
import tracemalloc

import fsspec
import pyarrow.parquet as pq
import pytest

from cutline.extract import ExtractOptions, extract
from cutline.progress import SILENT
from cutline.sources import tar_shards
from cutline.table import CompileOptions, compile_table
from cutline.verify import move_orphans
from intact import intact
from tar_bytes import END, header, member, pax
from trees import tree

FEW = CompileOptions(max_rejects=1)
FORMS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def record(name):
    return json.dumps({"image_name": name, "width": 2, "height": 3, "short_caption": "A"}).encode()


def link(name, target, **fields):
    block = bytearray(header(name, flag=b"1"))
    block[157 : 157 + len(target)] = target
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block)


class Heard(type(SILENT)):
    """A watcher that keeps the sentences."""

    lines = ()

    def say(self, line):
        self.lines = (*self.lines, line)


@pytest.mark.parametrize("form", FORMS)
def test_hard_links_are_unpacked_as_gnu_tar_unpacks_them(form, tmp_path):
    files = {
        "a.jpg": b"image" * 300,
        "a.json": record("a.jpg"),
        "deep/" * 30 + "long.jpg": b"long",
    }
    links = {
        "b.jpg": "a.jpg",
        "b.json": "a.json",
        "c/c.jpg": "b.jpg",  # a link to a link
        "d.jpg": "deep/" * 30 + "long.jpg",  # by linkpath or GNU's long link
        "deep/" * 30 + "e.jpg": "a.jpg",
    }
    if form == tarfile.USTAR_FORMAT:
        del links["d.jpg"]  # there is no room for it
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.LNKTYPE, target
            archive.addfile(info)
    (tmp_path / "gnu").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "a.tar", "-C", tmp_path / "gnu"], check=True)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert tree(tmp_path / "out") == tree(tmp_path / "gnu")
    assert (summary.rejects, summary.shortfall) == ({}, "")
    again = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out")
    assert (again.files, again.skipped) == (0, len(files) + len(links))


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_sidecar_that_is_a_hard_link_is_a_row(where, tmp_path):
    # The first read of far is behind the link's, so that places do not come by offset.
    archive = member(b"x/a.json", record("a.jpg")) + member(b"x/b.json", record("b.jpg") + b" " * 9)
    archive += link(b"y/b.json", b"x/b.json") + link(b"y/a.json", b"./x//a.json")
    archive += member(b"z.json", record("z.jpg")) + END
    if where == "disk":
        source = f"{tmp_path}/a.tar"
        (tmp_path / "a.tar").write_bytes(archive)
    else:
        source = "memory://links/a.tar"
        fsspec.filesystem("memory").pipe("/links/a.tar", archive)
    summary = compile_table(source, f"{tmp_path}/t.parquet", FEW)
    rows = pq.read_table(tmp_path / "t.parquet")["filename"].to_pylist()
    assert rows == ["x/a.jpg", "x/b.jpg", "y/b.jpg", "y/a.jpg", "z.jpg"]
    assert summary.rejects == {}


@pytest.mark.parametrize(
    ("archive", "detail"),
    [
        (link(b"l.json", b"later") + member(b"later", b"x"), "it is a hard link to later, which"),
        (link(b"l.json", b"missing"), "it is a hard link to missing, which is no regular member"),
        (link(b"l.json", b"l.json"), "it is a hard link to l.json, which is no regular member"),
        (link(b"l.json", b"m") + link(b"m", b"l.json"), "it is a hard link to m, which is no"),
        (member(b"/etc/x", b"x") + link(b"l.json", b"/etc/x"), "it is a hard link to /etc/x, "),
        (member(b"../x", b"x") + link(b"l.json", b"../x"), "it is a hard link to ../x, which is"),
        (header(b"s", flag=b"2") + link(b"l.json", b"s"), "it is a hard link to s, which is no"),
        (header(b"d", flag=b"5") + link(b"l.json", b"d"), "it is a hard link to d, which is no"),
        (
            pax({b"linkpath": b"a"}) + link(b"l.json", b"b") + member(b"b", b"x"),
            "it is a hard link to a, which is no regular member before it",
        ),
        (
            member(b"b", b"x")
            + member(b"././@LongLink", b"b" * 2_000_000, flag=b"K")
            + link(b"l.json", b"b"),
            "it is a hard link to , which is no regular member before it",
        ),
        (header(b"l.json", flag=b"2"), "it is a symlink member"),
    ],
)
def test_a_link_that_leads_to_no_earlier_regular_member_is_told(archive, detail, tmp_path):
    (tmp_path / "a.tar").write_bytes(archive + member(b"good.json", record("g.jpg")) + END)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out", ExtractOptions(max_rejects=1))
    assert summary.rejects["not_regular"] >= 1
    assert not os.path.lexists(tmp_path / "out/l.json")
    (lost,) = [line for line in summary.lost.to_pylist() if line["source"] == "a.tar/l.json"]
    assert lost["detail"].startswith(detail)


def test_a_link_whose_own_name_leads_out_is_refused(tmp_path):
    archive = member(b"a", b"x") + link(b"../out", b"a") + link(b"/out", b"a") + END
    (tmp_path / "a.tar").write_bytes(archive)
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/f", ExtractOptions(max_rejects=1))
    assert summary.rejects == {"bad_name": 2}
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "f"]


def test_of_members_with_the_name_that_a_link_leads_to_the_first_is_meant(tmp_path):
    """It is the file: a hard link and its target have the same bytes."""
    archive = member(b"a", b"one") + member(b"a", b"two") + link(b"b", b"a") + END
    (tmp_path / "a.tar").write_bytes(archive)
    extract(f"{tmp_path}/a.tar", f"{tmp_path}/f", ExtractOptions(max_rejects=1))
    assert tree(tmp_path / "f") == {"a": b"one", "b": b"one"}


def test_a_shard_of_nothing_but_links_takes_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("cutline.sources.tar.members.LINKS", 1_000)
    path = tmp_path / "a.tar"
    links = (link(b"l%d" % n, b"m%d" % n) for n in range(20_000))
    path.write_bytes(b"".join(links) + END)
    shard = tar_shards.LocalShard(str(path))
    damages = tar_shards.Damages(0, [])
    tracemalloc.start()
    count = sum(len(lines) for lines in tar_shards.index_lines(shard, damages))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    shard.close()
    assert (count, damages.count) == (20_000, 0)
    assert peak < 16 * 2**20  # a batch of lines, which is all that is held


# Files that a system has left.

SYSTEM = {
    "._a.jpg": b"\x00\x05\x16\x07",
    "._a.json": b"\x00\x05\x16\x07",
    "__MACOSX/a.jpg": b"",
    "__MACOSX/deep/._a.jpg": b"",
    ".DS_Store": b"",
    "sub/Thumbs.db": b"",
    "sub/Desktop.ini": b"",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg": b"thumb",
}


def test_files_of_a_system_are_passed_over_counted_and_told_once(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        folder = tarfile.TarInfo("__MACOSX")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in {**SYSTEM, "a.jpg": b"i", "a.json": record("a.jpg")}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    heard = Heard()
    summary = extract(f"{tmp_path}/a.tar", f"{tmp_path}/out", watcher=heard)
    assert tree(tmp_path / "out") == {"a.jpg": b"i", "a.json": record("a.jpg")}
    assert (summary.files, summary.rejects, summary.shortfall) == (2, {}, "")
    told = [line for line in heard.lines if line.startswith("Passed over 9 members")]
    assert len(told) == 1
    assert compile_table(f"{tmp_path}/a.tar", f"{tmp_path}/t.parquet", FEW).sidecars == 1


@pytest.mark.parametrize(
    "name", ["._a.json", "__MACOSX/a.json", "sub/@eaDir/x/a.json", "$RECYCLE.BIN/a.json"]
)
@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_sidecar_that_a_system_has_left_is_none(where, name, tmp_path):
    source = f"{tmp_path}/data" if where == "disk" else f"memory://{tmp_path.name}"
    filesystem, root = fsspec.url_to_fs(source)
    for path in (name, "good.json"):
        filesystem.makedirs(f"{root}/{os.path.dirname(path)}", exist_ok=True)
        filesystem.pipe(f"{root}/{path}", record("g.jpg"))
    assert compile_table(source, f"{tmp_path}/t.parquet", FEW).sidecars == 1


def test_an_image_that_a_system_has_left_is_said_to_be_one_and_moved(tmp_path):
    """The trainer would list it, hidden or not, and stop at it."""
    dataset = intact(tmp_path)
    names = ["._a.png", "sub/@eaDir/f.gif"]
    for name in names:
        (dataset.data / name).parent.mkdir(exist_ok=True)
        (dataset.data / name).write_bytes(b"")
    (dataset.data / "__MACOSX").mkdir()
    (dataset.data / "__MACOSX/a.json").write_text("{}")
    summary = dataset.verify(strategy="parquet")
    shown = tuple(f"{name} (system_file: macOS, Windows or a NAS has left it)" for name in names)
    found = {name: one.examples for name, one in summary.findings.items() if one.count}
    assert found == {"images_without_row": shown}
    summary = move_orphans(dataset.table, dataset.data, dataset.root / "orphans")
    assert summary.ok
