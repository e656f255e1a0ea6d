import json
import os
import shutil

import pyarrow.parquet as pq
import pytest

from cutline import (
    DemoOptions,
    ExtractOptions,
    LoaderOptions,
    RunOptions,
    VerifyOptions,
    make_demo,
    recipe,
)
from cutline.errors import CutlineError, UsageError
from cutline.table.compile_options import CompileOptions
from cutline.table.compiling import compile_table
from sidecars import IMAGE, as_bytes, record
from tar_bytes import by_tarfile


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A demo of shards, to copy: its folder, and what a run must count."""
    folder = tmp_path_factory.mktemp("made") / "demo"
    return folder, make_demo(folder, DemoOptions(300, form="shards"))


@pytest.fixture
def demo(made, tmp_path):
    """A demo of shards that the test may change."""
    shutil.copytree(made[0], tmp_path / "demo")
    return tmp_path / "demo", made[1]


def test_a_run_unpacks_the_shards_and_goes_on_with_the_files(demo):
    root, expected = demo
    summary = recipe.run(f"{root}")
    assert summary.extract.files == expected.sidecars - 1 + expected.images  # and a folder
    assert (summary.compile.rows, summary.compile.rejects) == (expected.rows, expected.rejects)
    assert summary.captions.written == expected.rows
    steps = ["extract", "compile", "captions", "verify", "loader", "report"]
    assert list(summary.as_json()) == ["job", *steps, "seconds"]
    assert summary.extract.shortfall == summary.compile.shortfall == ""
    assert pq.read_metadata(root / "demo.parquet").num_rows == expected.rows
    data = os.listdir(root / "data")
    assert sum(name.endswith(".txt") for name in data) == expected.rows


def test_a_second_run_unpacks_only_what_is_missing(demo):
    root, expected = demo
    first = recipe.run(f"{root}")
    (root / "data" / "0000001.json").unlink()
    again = recipe.run(f"{root}")
    assert (again.extract.files, again.extract.skipped) == (1, first.extract.files - 1)
    assert again.compile.rejects == expected.rejects
    assert again.captions.unchanged == expected.rows


def test_a_sidecar_that_was_mended_by_hand_stays_as_it_is(demo):
    root, expected = demo
    recipe.run(f"{root}")
    path = next(
        path
        for path in sorted((root / "data").glob("*.json"))
        if path.is_file() and b'"width"' not in path.read_bytes() and path.read_bytes()[:1] == b"{"
    )
    mended = path.read_bytes().replace(b"{", b'{"width": 640, ', 1)
    path.write_bytes(mended)
    again = recipe.run(f"{root}")
    assert path.read_bytes() == mended
    assert again.compile.rows == expected.rows + 1


def write_shard(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(by_tarfile(members))


def samples(count, extra=()):
    names = [f"{number:05}" for number in range(count)]
    sidecars = [(f"{name}.json", as_bytes(record(f"{name}.jpg"))) for name in names]
    return [*sidecars, *((f"{name}.jpg", IMAGE) for name in names), *extra]


def test_a_run_again_leaves_the_captions_that_it_has_written_over_the_texts_of_shards(tmp_path):
    texts = [(f"{number:05}.txt", b"A text of the shard.") for number in range(5)]
    write_shard(tmp_path / "set" / "a.tar", samples(5, texts))
    first = recipe.run(tmp_path / "set")
    assert (first.extract.files, first.captions.replaced) == (15, 5)
    again = recipe.run(tmp_path / "set")
    assert (again.extract.files, again.extract.skipped) == (0, 15)
    assert again.captions.unchanged == 5


def test_sidecars_that_get_into_no_file_are_rejects_as_of_a_compile_from_the_shards(tmp_path):
    root = tmp_path / "set"
    bad = ("../outside.json", as_bytes(record("outside.jpg")))
    for shard in "abc":
        write_shard(root / f"{shard}.tar", samples(5, [bad]))
    with pytest.raises(CutlineError, match=r"10 duplicate \(b\.tar/00000\.json: another member"):
        recipe.run(root)
    options = CompileOptions(max_rejects=1)
    summary = recipe.run(root, options)
    assert (summary.compile.sidecars, summary.compile.rows) == (18, 5)
    assert summary.compile.rejects == {"duplicate": 10, "unreadable": 3}
    assert summary.extract.shortfall == ""
    lines = pq.read_table(root / "set.rejects.parquet")["source"].to_pylist()
    assert len(lines) == 13
    straight = compile_table(f"{root}/*.tar", f"{tmp_path}/straight.parquet", options)
    assert straight.rejects == summary.compile.rejects
    assert sorted(pq.read_table(tmp_path / "straight.rejects.parquet")["source"].to_pylist()) == (
        sorted(lines)
    )


def test_what_is_below_a_folder_named_as_a_sidecar_is_none_in_the_shards_and_unpacked(tmp_path):
    below = [("a.json/b.json", as_bytes(record("b.jpg"))), ("a.json/b.jpg", IMAGE)]
    write_shard(tmp_path / "set" / "a.tar", samples(5, below))
    unpacked = recipe.run(tmp_path / "set", CompileOptions(max_rejects=1)).compile
    in_place = compile_table(f"{tmp_path}/set/*.tar", f"{tmp_path}/in place.parquet")
    assert unpacked.rows == in_place.rows == 5
    assert unpacked.rejects == {"unreadable": 1}  # the folder, which no member of the shard is


def test_where_there_are_only_damaged_shards_that_is_what_is_said(tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "a.tar").write_bytes(b"<html>404 Not Found</html>")
    damaged = r"1 of 1 shards are damaged, .* \(the first: a\.tar at byte 0: .*download them again"
    with pytest.raises(CutlineError, match=rf"There is no .json file .*{damaged}"):
        recipe.run(tmp_path / "set")
    with pytest.raises(CutlineError, match=rf"^{damaged}"):
        compile_table(f"{tmp_path}/set/data", tmp_path / "t.parquet")


def test_shards_beside_the_data_folder_are_found_too(demo):
    root, expected = demo
    shards = sorted((root / "data").iterdir())
    shards[0].rename(root / shards[0].name)
    assert recipe.run(f"{root}").compile.rows == expected.rows
    for shard in shards[1:]:
        shard.rename(root / shard.name)
    shutil.rmtree(root / "data")
    assert recipe.run(f"{root}").compile.rows == expected.rows


IN_PLACE = RunOptions(in_place=True)


def test_without_extraction_there_are_table_index_entry_and_report(demo):
    root, expected = demo
    before = set(os.listdir(root / "data"))
    summary = recipe.run(f"{root}", chosen=IN_PLACE)
    assert summary.shortfall == ""
    assert (summary.compile.rows, summary.compile.rejects) == (expected.rows, expected.rejects)
    steps = ["compile", "index", "verify", "loader", "report"]
    assert list(summary.as_json()) == ["job", *steps, "seconds"]
    assert (summary.index.rows, summary.index.without_image) == (expected.rows, 0)
    assert set(os.listdir(root / "data")) == before
    entry = json.loads((root / "multidatabackend.json").read_bytes())[0]
    assert (entry["source"], entry["metadata"]) == (f"{root}/data", f"{root}/demo.webshart")
    table = (root / "demo.parquet").read_bytes()
    again = recipe.run(f"{root}", chosen=IN_PLACE)
    assert (again.shortfall, again.loader.written) == ("", False)
    recipe.run(f"{root}")
    assert (root / "demo.parquet").read_bytes() == table


def test_the_strategy_webshart_is_a_run_without_extraction(demo):
    root, _ = demo
    by_strategy = RunOptions(
        verify=VerifyOptions(strategy="webshart"), loader=LoaderOptions(strategy="webshart")
    )
    assert recipe.run(root, chosen=by_strategy).extract is None


def test_shards_in_two_folders_are_refused_before_anything_is_done(demo):
    root, _ = demo
    shard = next((root / "data").iterdir())
    shard.rename(root / shard.name)
    with pytest.raises(UsageError, match=r"in several folders, such as .*: move them together"):
        recipe.run(root, chosen=IN_PLACE)
    assert not (root / "demo.parquet").exists()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"orphans": "move"}, "Only files can be replaced or moved"),
        ({"extract": ExtractOptions(overwrite=True)}, "Only files can be replaced or moved"),
        ({"verify": VerifyOptions(strategy="parquet")}, "choose one strategy"),
    ],
)
def test_what_only_files_allow_is_refused_without_them(chosen, words):
    with pytest.raises(UsageError, match=words):
        RunOptions(in_place=True, **chosen)


def test_with_captions_from_the_table_no_caption_file_is_written(demo):
    root, expected = demo
    by_table = RunOptions(
        verify=VerifyOptions(strategy="parquet", expect=expected.sidecars),
        loader=LoaderOptions(strategy="parquet", resolution=0.5, id="flowers"),
        orphans="move",
    )
    summary = recipe.run(root, chosen=by_table)
    assert (summary.captions, summary.shortfall) == (None, "")
    assert list((root / "data").glob("*.txt")) == []
    entry = json.loads((root / "multidatabackend.json").read_bytes())[0]
    assert (entry["id"], entry["resolution"], entry["caption_strategy"]) == (
        ("flowers", 0.5, "parquet")
    )


def test_loose_files_are_run_without_an_extraction(tmp_path):
    expected = make_demo(tmp_path / "demo", DemoOptions(100))
    summary = recipe.run(f"{tmp_path}/demo")
    assert (summary.extract, summary.compile.rows) == (None, expected.rows)
    with pytest.raises(UsageError, match=r"no \.tar file in .*: leave --no-extract out"):
        recipe.run(f"{tmp_path}/demo", chosen=IN_PLACE)


def test_damage_goes_through_to_the_end_and_is_said(tmp_path):
    expected = make_demo(tmp_path / "demo", DemoOptions(300, form="hostile"))
    summary = recipe.run(f"{tmp_path}/demo")
    assert summary.extract.rejects == expected.refused
    assert summary.compile.rejects == expected.rejects
    assert summary.captions.written == expected.rows
    assert summary.shortfall.startswith("1 of 3 shards are damaged")
    borne = recipe.run(f"{tmp_path}/demo", CompileOptions(allow_damaged=True))
    assert borne.extract.shortfall == ""


def damages_in(ledger):
    lines = pq.read_table(ledger).to_pylist()
    return [line for line in lines if line["reason"] == "damaged_shard"]


def test_the_ledger_of_a_run_has_the_damage_that_a_compile_from_the_shards_finds(tmp_path):
    root = tmp_path / "demo"
    expected = make_demo(root, DemoOptions(300, form="hostile"))
    ledger = root / "demo.rejects.parquet"
    compile_table(f"{root}/data", f"{tmp_path}/straight.parquet")
    damages = damages_in(tmp_path / "straight.rejects.parquet")
    assert [line["detail"][:8] for line in damages] == ["at byte "]
    first = recipe.run(f"{root}")
    assert damages_in(ledger) == damages
    lines = pq.read_metadata(ledger).num_rows
    assert lines == sum(expected.rejects.values()) + 1  # it is a line of its own, and no reject
    table = (root / "demo.parquet").stat()

    again = recipe.run(f"{root}")  # which finds every file there
    assert again.extract.files == 0
    assert damages_in(ledger) == damages
    assert (root / "demo.parquet").stat() == table
    counts = [
        (one.compile.sidecars, one.compile.rows, one.compile.rejects) for one in (first, again)
    ]
    assert counts == [(expected.sidecars, expected.rows, expected.rejects)] * 2
    shown = (root / "demo.report.html").read_text()
    assert f"<b>{expected.sidecars}</b><span>sidecars" in shown
    assert damages[0]["detail"] in shown


def test_a_shard_that_was_fetched_anew_is_no_longer_in_the_ledger(demo):
    root, expected = demo
    shard = min((root / "data").iterdir())
    sound = shard.read_bytes()
    shard.write_bytes(sound + b"more")
    recipe.run(f"{root}")
    table = (root / "demo.parquet").read_bytes()
    (line,) = damages_in(root / "demo.rejects.parquet")
    assert line["source"] == shard.name
    shard.write_bytes(sound)
    summary = recipe.run(f"{root}")
    assert damages_in(root / "demo.rejects.parquet") == []
    assert (root / "demo.parquet").read_bytes() == table
    assert summary.compile.rejects == expected.rejects


def test_a_folder_with_neither_data_nor_shards_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"nothing to prepare in .*: put tar shards into it"):
        recipe.layout(f"{tmp_path}")
