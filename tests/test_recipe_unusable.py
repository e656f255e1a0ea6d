"""A run on samples whose image is none: who does what is advised comes to status 0."""

import json

import pyarrow.parquet as pq
import pytest

from cutline import LoaderOptions, RunOptions, move_orphans, restore_orphans, run
from cutline.verify import checks
from shards_at_home import ShardSet, png, sample
from sidecars import IMAGE, numbered, record, write_sidecars
from tar_bytes import by_tarfile
from trees import tree

SMALL = LoaderOptions(minimum_image_size=0)
PLAIN = RunOptions(loader=SMALL)
MOVE = RunOptions(loader=SMALL, orphans="move")

NO_IMAGES = {
    "empty": (b"", "empty images"),
    "a web page": (b"<html>404 not found</html>", "broken images"),
}
EACH = pytest.mark.parametrize(("body", "what"), NO_IMAGES.values(), ids=NO_IMAGES)


def with_body(name, body):
    """A sample whose image has other bytes."""
    (sidecar, text), (image, _) = sample(name)
    return [(sidecar, text), (image, body)]


def shards(tmp_path, body):
    root = tmp_path / "set"
    good = [member for name in "abcd" for member in sample(name)]
    return ShardSet(root).write(p=[*good, *with_body("bad", body)]).root


def rows_of(root):
    return sorted(pq.read_table(root / "set.parquet")["filename"].to_pylist())


@EACH
def test_a_sample_of_a_whole_shard_whose_image_is_none_is_moved_and_stays_away(
    tmp_path, body, what
):
    root = shards(tmp_path, body)
    first = run(root, chosen=PLAIN)
    move = f"download {what} again, or move {what}, with their sidecars, out of the way"
    again = f"cutline run {root} --minimum-image-size 0 --orphans move"
    assert first.shortfall.endswith(f": {what} 1; {move} with `{again}`.")
    moved = run(root, chosen=MOVE)
    assert moved.shortfall == ""
    assert moved.compile.rows == 4
    assert rows_of(root) == ["a.png", "b.png", "c.png", "d.png"]
    assert sorted(tree(root / "orphans")) == ["bad.json", "bad.png", "bad.txt", "orphans.jsonl"]
    again = run(root, chosen=PLAIN)
    assert again.shortfall == ""
    assert (again.extract.files, again.compile.rows) == (0, 4)


@EACH
def test_one_command_does_it_at_the_first_run_and_tells_what_it_unpacked(tmp_path, body, what):
    root = shards(tmp_path, body)
    moved = run(root, chosen=MOVE)
    assert moved.shortfall == ""
    assert (moved.extract.files, moved.compile.rows, moved.verify.images) == (10, 4, 4)


def test_a_shard_that_brings_the_image_is_unpacked_though_the_sample_was_moved(tmp_path):
    root = shards(tmp_path, b"")
    run(root, chosen=MOVE)
    good = [member for name in ("a", "b", "c", "d", "bad") for member in sample(name)]
    (root / "data/p.tar").write_bytes(by_tarfile(good))
    again = run(root, chosen=PLAIN)
    assert again.shortfall == ""
    assert again.compile.rows == 5
    assert (root / "data/bad.png").read_bytes() == png()


def loose(tmp_path, count=6):
    root = tmp_path / "set"
    write_sidecars(root / "data", numbered(count))
    for number in range(count):
        (root / f"data/{number:03}.png").write_bytes(IMAGE)
    return root


@EACH
def test_loose_samples_are_moved_and_put_back_as_they_were(tmp_path, body, what):
    root = loose(tmp_path)
    (root / "data/003.png").write_bytes(body)
    before = tree(root / "data")
    assert run(root, chosen=MOVE).compile.rows == 5
    restored = restore_orphans(root / "set.parquet", root / "data", root / "orphans")
    assert restored.orphans == {"not_compiled": 1}
    there = tree(root / "data")
    assert {path: there[path] for path in before} == before
    assert what in run(root, chosen=PLAIN).shortfall


def test_verify_alone_moves_them_and_advises_the_compile_that_is_due(tmp_path):
    root = loose(tmp_path)
    (root / "data/003.png").write_bytes(b"")
    table, data = root / "set.parquet", root / "data"
    run(root, chosen=PLAIN)
    left = move_orphans(table, data, tmp_path / "away")
    assert left.moved_rows == {"empty_image": 1}
    assert left.findings["rows_without_image"].examples == ("003.png",)
    assert f"with `cutline compile {data} {table}`" in left.shortfall
    lines = [json.loads(line) for line in (tmp_path / "away/orphans.jsonl").open()][1:]
    assert {line["path"] for line in lines} == {"003.json", "003.png", "003.txt"}
    assert {line["reason"] for line in lines} == {"empty_image"}


def test_a_sidecar_behind_the_image_is_moved_and_one_that_names_another_image_is_not(tmp_path):
    root = loose(tmp_path, 8)
    data = root / "data"
    (data / "003.json").rename(data / "003.png.json")
    (data / "004.json").rename(data / "other.json")
    write_sidecars(data, {"004.json": record("005.png", width=...)})
    for name in ("003.png", "004.png"):
        (data / name).write_bytes(b"")
    run(root, chosen=PLAIN)
    move_orphans(root / "set.parquet", data, tmp_path / "away")
    moved = set(tree(tmp_path / "away"))
    assert {"003.png.json", "003.png", "004.png"} <= moved
    assert not {"004.json", "other.json"} & moved


@EACH
def test_where_most_images_are_none_nothing_is_moved_for_they_have_to_come_anew(
    tmp_path, body, what
):
    root = loose(tmp_path)
    for number in range(4):
        (root / f"data/{number:03}.png").write_bytes(body)
    moved = run(root, chosen=MOVE)
    assert f"{what} 4; download the images again" in moved.shortfall
    assert not (root / "orphans").exists()
    assert moved.compile.rows == 6


def test_where_empty_images_and_web_pages_are_most_together_nothing_is_moved(tmp_path):
    root = loose(tmp_path)
    for number in range(4):
        (root / f"data/{number:03}.png").write_bytes(b"" if number % 2 else b"<html>")
    moved = run(root, chosen=MOVE)
    assert "empty images 2, broken images 2; download the images again" in moved.shortfall
    assert not (root / "orphans").exists()
    assert moved.compile.rows == 6


def test_where_missing_and_broken_images_are_most_together_nothing_is_moved(tmp_path):
    """Else whoever moves them twice would be told that the folder is another table's."""
    root = loose(tmp_path)
    for number in range(2):
        (root / f"data/{number:03}.png").unlink()
        (root / f"data/{number + 2:03}.png").write_bytes(b"<html>")
    moved = run(root, chosen=MOVE)
    assert "rows without image 2, broken images 2" in moved.shortfall
    assert not (root / "orphans").exists()


def test_an_image_that_cannot_be_read_just_now_or_of_a_format_that_is_not_known_is_not_moved(
    tmp_path, monkeypatch
):
    root = loose(tmp_path)
    (root / "data/003.png").write_bytes(IMAGE[:20])  # Pillow knows it for a PNG
    record_of = (root / "data/004.json").read_bytes().replace(b"004.png", b"004.jxl")
    (root / "data/004.json").write_bytes(record_of)
    (root / "data/004.png").rename(root / "data/004.jxl")
    (root / "data/004.jxl").write_bytes(b"\xff\x0a of a format to come")
    run(root, chosen=MOVE)
    assert (root / "data/003.png").exists()
    assert (root / "data/004.jxl").exists()


def test_what_a_sample_of_headers_shows_is_looked_for_in_all_and_moved_by_one_command(
    tmp_path, monkeypatch
):
    """The sample of a smaller table is another one, and would show others each time."""
    monkeypatch.setattr(checks, "SAMPLE", 3)
    root = loose(tmp_path, 30)
    for number in range(0, 30, 3):
        (root / f"data/{number:03}.png").write_bytes(b"<html>404 not found</html>")
    moved = run(root, chosen=MOVE)
    assert moved.shortfall == ""
    assert moved.compile.rows == 20
    assert moved.verify.headers_read == 20


def test_nothing_is_advised_to_be_moved_out_of_shards(tmp_path):
    root = shards(tmp_path, b"")
    told = run(root, chosen=RunOptions(in_place=True, loader=SMALL)).shortfall
    assert "unpack them by a run without --no-extract, and with --orphans move" in told
    assert "move their sidecars away" not in told
