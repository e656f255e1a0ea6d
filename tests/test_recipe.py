import json
import os
import re
import subprocess

import pyarrow.parquet as pq
import pytest

import cutline
from cutline import (
    CompileOptions,
    CutlineError,
    Rules,
    RunOptions,
    UsageError,
    VerifyOptions,
    compile_table,
    move_orphans,
    run,
)
from cutline.recipe import layout
from jobs_at_work import Listener
from sidecars import IMAGE, as_bytes, numbered, record, write_sidecars
from trees import texts, tree


@pytest.fixture
def root(tmp_path):
    """A dataset of ten good samples and one without a width."""
    folder = tmp_path / "flowers"
    folder.mkdir()
    write_sidecars(folder / "data", numbered(10) | {"no.json": record("no.png", width=...)})
    for number in range(10):
        (folder / f"data/{number:03}.png").write_bytes(IMAGE)
    return folder


def test_a_run_is_a_compile_and_then_the_captions_and_then_a_look_at_all(root):
    summary = run(str(root))
    assert (summary.compile.sidecars, summary.compile.rows) == (11, 10)
    assert summary.compile.rejects == {"no_width": 1}
    assert (summary.captions.written, summary.captions.rejects) == (10, {})
    assert (summary.verify.ok, summary.verify.rows, summary.verify.images) == (True, 10, 10)
    assert summary.shortfall == ""


def test_a_run_gives_the_table_of_a_compile(root, tmp_path):
    run(str(root))
    compile_table(str(root / "data"), str(tmp_path / "t.parquet"))
    made = {name: held for name, held in tree(root).items() if name.endswith(".parquet")}
    alone = {name: held for name, held in tree(tmp_path).items() if name.startswith("t.")}
    assert made["flowers.parquet"] == alone["t.parquet"]
    assert made["flowers.rejects.parquet"] == alone["t.rejects.parquet"]


def test_the_captions_are_those_of_the_table(root):
    run(str(root), CompileOptions(Rules(caption_fields=("long_caption",))))
    rows = pq.read_table(root / "flowers.parquet").to_pylist()
    expected = {row["filename"][:-4] + ".txt": row["caption"].encode() for row in rows}
    assert texts(root / "data") == expected


def test_the_steps_are_shown_under_their_own_names(root):
    body = run(str(root)).as_json()
    steps = ["compile", "captions", "verify", "loader", "report"]
    assert list(body) == ["job", *steps, "seconds"]
    assert [body[step]["job"] for step in steps] == steps


def test_a_second_run_changes_nothing_but_the_report(root):
    run(str(root))
    before = {path: held for path, held in tree(root).items() if not path.endswith(".html")}
    times = {path: os.stat(root / path).st_mtime_ns for path in before if ".cutline" not in path}
    summary = run(str(root))
    assert (summary.compile.parts, summary.compile.reused_parts) == (1, 1)
    assert (summary.captions.written, summary.captions.unchanged) == (0, 10)
    assert texts(root / "data") == texts(root / "data")
    assert {path: os.stat(root / path).st_mtime_ns for path in times if before[path]} == {
        path: time for path, time in times.items() if before[path]
    }


def test_a_run_whose_table_fails_writes_no_captions(root):
    before = tree(root)
    with pytest.raises(CutlineError, match="were rejected"):
        run(str(root), CompileOptions(Rules(caption_fields=("nothing",))))
    assert texts(root / "data") == {}
    assert "flowers.parquet" not in tree(root)
    assert before.items() <= tree(root).items()


def test_captions_that_cannot_be_written_are_the_shortfall_of_the_run(root):
    (root / "data" / "003.txt").mkdir()
    summary = run(str(root))
    assert summary.shortfall == f"{summary.captions.shortfall} {summary.verify.shortfall}"
    assert summary.shortfall.startswith("1 caption file")
    assert ": images without caption file 1; write" in summary.verify.shortfall


def test_a_run_reads_the_headers_of_as_many_images_as_it_is_told(root):
    for number in range(10):
        (root / f"data/{number:03}.png").write_bytes(b"no header")
    asked = [RunOptions(verify=VerifyOptions(**how)) for how in ({"headers": 3}, {"sizes": True})]
    checks = [run(str(root), chosen=chosen).verify.findings for chosen in asked]
    assert [check["broken_images"].count for check in checks] == [3, 10]


def test_a_sample_of_no_image_is_refused_before_anything_is_done():
    with pytest.raises(UsageError, match="raise --headers"):
        VerifyOptions(headers=0)


def test_orphans_are_the_shortfall_of_the_run_with_the_command_that_mends(root):
    (root / "data/no.png").write_bytes(IMAGE)
    summary = run(str(root))
    assert summary.verify.orphans == {"no_width": 1}
    command = f"cutline run {root} --orphans move"
    assert summary.shortfall.endswith(f" with `{command}`.")
    assert move_orphans(f"{root}/flowers.parquet", f"{root}/data", f"{root}/orphans").ok
    assert run(str(root)).shortfall == ""


def test_the_trainers_entry_is_the_recipes_in_every_field_but_the_paths(root):
    """The recipe's own text, for a folder of the name that it has."""
    os.rename(root, root.parent / "dalle3")
    root = root.parent / "dalle3"
    assert run(str(root)).loader.written
    first, second = json.loads((root / "multidatabackend.json").read_text())
    assert first == json.loads(RECIPE) | {
        "instance_data_dir": f"{root}/data",
        "cache_dir_vae": f"{root}/cache/vae/dalle3",
        "parquet": json.loads(RECIPE)["parquet"] | {"path": f"{root}/dalle3.parquet"},
    }
    assert second["dataset_type"] == "text_embeds"


RECIPE = """
    {
        "id": "dalle3",
        "type": "local",
        "instance_data_dir": "/home/user/training/data/dalle3/data",
        "resolution": 1.0,
        "maximum_image_size": 2.0,
        "minimum_image_size": 0.75,
        "target_downsample_size": 1.75,
        "resolution_type": "area",
        "cache_dir_vae": "/path/to/cache/vae/",
        "caption_strategy": "textfile",
        "metadata_backend": "parquet",
        "parquet": {
            "path": "/home/user/training/data/dalle3/dalle3.parquet",
            "caption_column": "caption",
            "filename_column": "filename",
            "width_column": "width",
            "height_column": "height",
            "identifier_includes_extension": true
        }
    }
"""


def test_an_entry_that_somebody_has_changed_is_left_alone(root):
    run(str(root))
    path = root / "multidatabackend.json"
    entries = json.loads(path.read_text())
    entries[0]["repeats"] = 10
    path.write_text(json.dumps(entries))
    before = path.read_bytes()
    loader = run(str(root)).loader
    assert not loader.written
    assert loader.in_words() == f"the entry flowers is as it was; {root}/multidatabackend.json"
    assert path.read_bytes() == before


def test_other_entries_keep_their_place(root):
    path = root / "multidatabackend.json"
    path.write_text('[{"id": "other", "crop": true}, {"id": "t", "dataset_type": "text_embeds"}]')
    assert run(str(root)).loader.written
    entries = json.loads(path.read_text())
    assert [entry["id"] for entry in entries] == ["other", "t", "flowers"]


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_file_that_is_not_the_trainers_is_left_alone_and_the_run_goes_on(root, text):
    (root / "multidatabackend.json").write_text(text)
    summary = run(str(root))
    assert (summary.loader.written, summary.compile.rows) == (False, 10)
    assert summary.shortfall.startswith("The trainer's file ")
    assert (root / "multidatabackend.json").read_text() == text


def test_a_trainers_file_that_cannot_be_read_costs_no_other_step(root):
    (root / "multidatabackend.json").mkdir()
    summary = run(str(root))
    assert "cannot be read (Is a directory): move it away." in summary.shortfall
    assert os.path.exists(summary.report.page)


def test_the_entry_of_a_dataset_that_was_moved_is_told_with_the_command_that_replaces_it(
    root, tmp_path
):
    run(str(root))
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere/flowers"
    root.rename(moved)
    summary = run(str(moved))
    assert summary.shortfall == (
        f"The images of the entry 'flowers' in {moved}/multidatabackend.json are not there: replace"
        f" it by `cutline loader {moved}/flowers.parquet {moved}/data --id flowers`."
    )


@pytest.mark.parametrize(
    "place",
    [
        {"instance_data_dir": "/proc"},
        {"instance_data_dir": "datasets/flowers"},
        {"instance_data_dir": "{output_dir}/flowers"},
        {"type": "aws", "instance_data_dir": ""},
    ],
)
def test_an_entry_whose_images_somebody_has_elsewhere_is_left_alone(root, place):
    run(str(root))
    out = root / "multidatabackend.json"
    entries = json.loads(out.read_text())
    entries[0] |= place
    out.write_text(json.dumps(entries))
    listener = Listener()
    assert run(str(root), watcher=listener).shortfall == ""
    assert f"{out} has an entry 'flowers' of its own: left as it is." in listener.said
    assert json.loads(out.read_text()) == entries


def test_two_entries_of_its_id_are_told_as_the_loader_tells_them(root):
    (root / "multidatabackend.json").write_text('[{"id": "flowers"}, {"id": "flowers"}]')
    assert "2 entries have the id 'flowers'" in run(str(root)).shortfall


@pytest.mark.parametrize("folder", ["a\\u0000b", "a\\ud800b"])
def test_a_path_that_is_none_in_another_entry_is_no_matter(root, folder):
    path = root / "multidatabackend.json"
    path.write_text(f'[{{"id": "other", "instance_data_dir": "{folder}"}}]')
    assert run(str(root)).loader.written


def test_an_entry_of_the_same_images_under_another_name_is_told(root):
    run(str(root))
    (root.parent / "roses").symlink_to(root)
    listener = Listener()
    run(str(root.parent / "roses"), watcher=listener)
    assert [line for line in listener.said if "has an entry 'flowers' of the same images" in line]


def test_an_entry_whose_images_are_not_there_any_more_is_told(root):
    run(str(root))
    root.rename(root.parent / "roses")
    listener = Listener()
    run(str(root.parent / "roses"), watcher=listener)
    (told,) = [line for line in listener.said if "entry 'flowers'" in line]
    assert told.endswith("multidatabackend.json are not there: take it out.")


def test_paths_may_be_those_of_pathlib(root, tmp_path):
    table, data = root / "flowers.parquet", root / "data"
    assert cutline.run(root).compile.rows == 10
    assert cutline.write_captions(table, data).unchanged == 10
    assert cutline.verify_dataset(table, data).rows == 10
    assert cutline.first_rows(table, 3).num_rows == 3
    assert cutline.export(table, root / "flowers.jsonl", "jsonl", data) == 10
    assert len(cutline.write_loader(table, data, root / "other.json")) == 2
    assert cutline.report_table(table, data).page == str(root / "flowers.report.html")
    assert cutline.move_orphans(table, data, tmp_path / "orphans").rows == 10


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/.", "{}/data/.."])
def test_the_table_has_the_name_of_the_folder(root, spelling):
    found = layout(spelling.format(root))
    assert found == (f"{root}/flowers.parquet", f"{root}/data")


def test_the_table_of_the_folder_at_hand_has_its_name(root, monkeypatch):
    monkeypatch.chdir(root)
    assert layout(".") == (f"{root}/flowers.parquet", f"{root}/data")


@pytest.mark.parametrize(
    ("missing", "mend"),
    [
        ("none", "There is no folder .*/none: correct the name"),
        ("empty", "nothing to prepare in .*/empty: put tar shards into it, or images"),
    ],
)
def test_a_folder_without_data_is_refused(tmp_path, missing, mend):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=mend):
        run(str(tmp_path / missing))
    assert os.listdir(tmp_path) == ["empty"]


def test_for_a_file_of_a_dataset_the_dataset_is_named(root):
    (root / "data" / "a.jpg").write_bytes(b"")
    for file, meant in (("data/a.jpg", root), ("x.parquet", root)):
        (root / "x.parquet").write_bytes(b"")
        with pytest.raises(UsageError, match=f"is no folder, .*: run `cutline run {meant}`"):
            layout(root / file)


# What is in a dataset already is none


def meant(folder):
    """The command that is advised instead of a run of a folder."""
    with pytest.raises(UsageError) as caught:
        run(str(folder))
    return str(caught.value).partition("run `cutline run ")[2].partition("`")[0]


@pytest.mark.parametrize("prepared", [False, True])
def test_a_run_of_the_data_of_a_dataset_is_refused_with_the_command_that_was_meant(root, prepared):
    if prepared:
        run(str(root))
    before = tree(root)
    assert meant(root / "data") == meant(f"{root}/data/") == str(root)
    os.symlink(root / "data", root.parent / "link")
    with pytest.raises(UsageError, match=r"holds images and sidecars itself, such as \d+\.json"):
        run(str(root.parent / "link"))
    assert tree(root) == before


def test_a_folder_within_the_data_of_a_dataset_is_refused_too(root):
    write_sidecars(root / "data", {"sub/deep/x.json": record("x.png")})
    run(str(root))
    (root / "data" / "sub" / "deep" / "data").mkdir()
    assert meant(root / "data" / "sub" / "deep") == str(root)


def test_the_data_folder_of_a_plain_download_is_refused(tmp_path):
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "a.tar").write_bytes(bytes(10240))
    assert meant(tmp_path / "set" / "data") == str(tmp_path / "set")
    with pytest.raises(UsageError, match=r"run `cutline run .*/set`"):
        run(str(tmp_path / "set" / "data"))


@pytest.mark.parametrize("name", ["a.b.json", "a.b.JSON"])
def test_loose_samples_in_the_folder_of_a_dataset_are_told_where_to_go(root, name):
    write_sidecars(root, {name: record("a.b.JPG")})
    (root / "a.b.JPG").touch()
    with pytest.raises(UsageError, match=rf"such as {name}: move them into its data with") as told:
        run(str(root))
    subprocess.run(re.findall("`([^`]*)`", str(told.value))[0], shell=True, check=True)
    assert run(str(root)).compile.sidecars == 12


def test_the_advice_for_a_plain_download_makes_the_data_folder(tmp_path):
    root = tmp_path / "a set"
    write_sidecars(root, numbered(2))
    (root / "000.png").write_bytes(IMAGE)
    with pytest.raises(UsageError, match="holds images and sidecars itself") as told:
        run(str(root))
    subprocess.run(re.findall("`([^`]*)`", str(told.value))[0], shell=True, check=True)
    assert run(str(root)).compile.sidecars == 2


def test_a_folder_of_datasets_is_told_with_one_of_them(root):
    with pytest.raises(UsageError, match=rf"run the datasets that are in it, as in `.* {root}`"):
        run(str(root.parent))


def test_prepared_datasets_below_a_folder_called_data_are_not_made_one(root, tmp_path):
    run(str(root))
    above = tmp_path / "training"
    (above / "data").mkdir(parents=True)
    root.rename(above / "data/flowers")
    before = tree(above)
    with pytest.raises(UsageError, match="were prepared, such as flowers, which would become one"):
        run(str(above))
    assert tree(above) == before
    assert run(f"{above}/data/flowers").compile.rows == 10


def test_a_missing_width_is_told_with_the_option_that_measures_it(root):
    listener = Listener()
    run(str(root), watcher=listener)
    [line] = [line for line in listener.said if "without a width" in line]
    assert line == (
        "A record without a width is left out, as in the recipe (1 of 11):"
        f" `cutline run {root} --measure` reads it from the image."
    )
    (root / "data/no.png").write_bytes(IMAGE)
    listener.said.clear()
    assert run(str(root), CompileOptions(Rules(measure=True)), watcher=listener).compile.rows == 11
    assert not [line for line in listener.said if "without a width" in line]


def test_json_files_and_pictures_of_a_dataset_that_are_no_samples_stop_nobody(root):
    names = ("README.md", "dataset_infos.json", "multidatabackend.json", "preview.png")
    for name in (*names, "._preview.json", "._preview.png"):
        (root / name).write_text("{}")
    assert run(str(root)).compile.rows == 10


def test_a_dataset_that_an_earlier_run_has_made_in_the_data_is_refused(root):
    write_sidecars(root / "data" / "data", numbered(3))
    compile_table(str(root / "data" / "data"), str(root / "data" / "data.parquet"))
    with pytest.raises(UsageError, match=r"move .*/data/data and .*/data/data\.\* away"):
        run(str(root))


def test_what_other_jobs_and_the_trainer_leave_among_the_data_gives_no_row(root):
    expected = run(str(root)).compile.sidecars
    data = root / "data"
    compile_table(str(data), str(data / "other.parquet"))
    for name in ("multidatabackend.json", "aspect_ratio_bucket_indices_flowers.json",
                 "aspect_ratio_bucket_metadata_flowers.json", "other.webshart/a.json",
                 "sub/multidatabackend.json"):  # fmt: skip
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(as_bytes(record()))
    summary = run(str(root))
    assert (summary.compile.sidecars, summary.compile.rows) == (expected, 10)
    assert summary.verify.findings["sidecars_without_image"].examples == ("no.json",)
    for source in (str(data), f"file://{data}"):
        again = compile_table(source, str(root / "again.parquet"))
        assert (again.sidecars, again.rows) == (expected, 10)
