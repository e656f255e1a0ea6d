import json
import os
from dataclasses import replace
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cutline.errors import CutlineError, UsageError
from cutline.store import disk
from cutline.trainers.loader import loader_entry, write_loader
from cutline.trainers.simpletuner import LoaderOptions

# The last block of the recipe, as it stands there.
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

DALLE3 = LoaderOptions()


class Dataset:
    def __init__(self, root):
        self.root = root
        self.data = str(root / "data")
        self.table = str(root / "dalle3.parquet")
        self.out = str(root / "multidatabackend.json")
        os.mkdir(self.data)
        columns = {"width": [1], "height": [1], "caption": ["a cat"], "filename": ["a.png"]}
        with open(self.table, "wb") as file:
            pq.write_table(pa.table(columns), file)

    def write(self, options=DALLE3):
        return write_loader(self.table, self.data, self.out, options)

    def put(self, content):
        with open(self.out, "w") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))

    def written(self):
        with open(self.out) as file:
            return json.load(file)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


def without_paths(entry):
    """The entry as JSON text, in which 1.0 is not 1 and the order of the fields counts."""
    entry = json.loads(json.dumps(entry))
    entry["instance_data_dir"] = entry["cache_dir_vae"] = entry["parquet"]["path"] = ""
    return json.dumps(entry)


def test_the_entry_equals_the_recipe_s_in_every_field_but_the_paths(dataset):
    entry = loader_entry(dataset.table, dataset.data)
    assert without_paths(entry) == without_paths(json.loads(RECIPE))


def test_paths_are_absolute_and_real(dataset, monkeypatch):
    os.symlink(dataset.data, dataset.root / "link")
    monkeypatch.chdir(dataset.root)
    entry = loader_entry("dalle3.parquet", "link")
    assert entry["instance_data_dir"] == os.path.realpath(dataset.data)
    assert entry["parquet"]["path"] == os.path.realpath(dataset.table)
    assert entry["cache_dir_vae"] == os.path.realpath(dataset.root / "cache/vae/dalle3")


def test_the_file_is_complete_with_a_cache_of_text_embeddings(dataset):
    entries = dataset.write()
    assert dataset.written() == entries
    assert entries == [
        loader_entry(dataset.table, dataset.data),
        {
            "id": "text-embeds",
            "type": "local",
            "dataset_type": "text_embeds",
            "default": True,
            "cache_dir": os.path.realpath(dataset.root / "cache/text/dalle3"),
        },
    ]


def test_writing_again_changes_nothing(dataset):
    dataset.write()
    before = dataset.written()
    dataset.write()
    assert dataset.written() == before


def test_options_reach_the_entry(dataset):
    chosen = LoaderOptions(
        id="other",
        strategy="parquet",
        resolution=512,
        resolution_type="pixel_area",
        minimum_image_size=256,
        maximum_image_size=1024,
        target_downsample_size=768,
        cache_dir_vae="latents/{model_family}",
        cache_dir_text="/text",
    )
    entry, text = dataset.write(chosen)
    assert (entry["id"], entry["caption_strategy"]) == ("other", "parquet")
    assert entry["resolution_type"] == "pixel_area"
    assert entry["cache_dir_vae"] == os.path.abspath("latents/{model_family}")
    assert text["cache_dir"] == "/text"
    # The trainer takes 512 here and refuses 512.0.
    sizes = ("resolution", "minimum_image_size", "maximum_image_size", "target_downsample_size")
    assert [json.dumps(entry[size]) for size in sizes] == ["512", "256", "1024", "768"]


def test_a_size_of_zero_is_left_out(dataset):
    none = replace(DALLE3, minimum_image_size=0, maximum_image_size=0, target_downsample_size=0)
    entry = loader_entry(dataset.table, dataset.data, none)
    assert not [field for field in entry if field.endswith("_size")]
    assert entry["resolution"] == 1.0


OTHERS = """[
  {"id": "first", "big": 123456789012345678901234567890, "float": 0.1, "list": [1, {"a": null}]},
  {"id": "text", "dataset_type": "text_embeds", "default": true, "cache_dir": "/t"},
  {"id": "\\ud83d\\ude00", "lone": "\\udc80", "instance_data_dir": "/\u00e9"}
]"""


def test_other_entries_keep_their_order_and_values_and_the_text_cache_is_not_doubled(dataset):
    dataset.put(OTHERS)
    dataset.write()
    assert dataset.written()[:3] == json.loads(OTHERS)
    assert [entry["id"] for entry in dataset.written()[3:]] == ["dalle3"]


def test_an_entry_of_the_same_id_is_replaced_where_it_stands(dataset):
    others = json.loads(OTHERS)
    dataset.put([others[0], {"id": "dalle3", "resolution": 512}, *others[1:]])
    dataset.write()
    now = dataset.written()
    assert now.pop(1) == loader_entry(dataset.table, dataset.data)
    assert now == others


def test_an_entry_of_other_images_is_replaced_only_if_they_are_gone(dataset):
    other = dataset.root / "other"
    other.mkdir()
    dataset.put([{"id": "dalle3", "instance_data_dir": str(other)}])
    with pytest.raises(
        UsageError, match=r"'dalle3' is that of the images in .*other: take that entry out"
    ):
        dataset.write()
    assert dataset.written() == [{"id": "dalle3", "instance_data_dir": str(other)}]
    other.rmdir()
    dataset.write()
    assert dataset.written()[0] == loader_entry(dataset.table, dataset.data)


@pytest.mark.parametrize("switch", ["disabled", "disable"])
def test_a_disabled_text_cache_does_not_count_and_its_id_stays_taken(dataset, switch):
    off = {"id": "text-embeds", "dataset_type": "text_embeds", switch: True}
    dataset.put([off])
    dataset.write()
    assert dataset.written()[0] == off
    assert [entry["id"] for entry in dataset.written()[1:]] == ["dalle3", "text-embeds-1"]


def test_a_text_cache_counts_however_its_type_is_written(dataset):
    dataset.put([{"id": "t", "dataset_type": " Text_Embeds"}])
    dataset.write()
    assert [entry["id"] for entry in dataset.written()] == ["t", "dalle3"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "{}", '"text"', '[{"id": "a"}, 1]', "[" * 100_000, "[] []", "null"],
)
def test_a_file_that_is_no_list_of_objects_is_refused_and_stays(dataset, content):
    dataset.put(content)
    with pytest.raises(UsageError, match="mend it"):
        dataset.write()
    with open(dataset.out) as file:
        assert file.read() == content


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([{"id": "dalle3"}, {"id": "dalle3"}], "2 entries have the id"),
        ([{"id": "dalle3", "dataset_type": "text_embeds"}], "that of a text_embeds entry"),
        ([{"id": "a", "cache_dir_vae": "ROOT/cache/vae/dalle3/"}], "also that of 'a'"),
        ([{"id": "t", "dataset_type": "text_embeds", "cache_dir": "ROOT/cache/vae/dalle3"}], "'t'"),
    ],
)
def test_what_the_trainer_would_refuse_in_the_whole_file_is_refused(dataset, entries, words):
    content = json.dumps(entries).replace("ROOT", os.path.realpath(dataset.root))
    dataset.put(content)
    with pytest.raises(UsageError, match=words):
        dataset.write()
    with open(dataset.out) as file:
        assert file.read() == content


def test_one_folder_for_latents_and_text_is_refused(dataset):
    with pytest.raises(UsageError, match="cache folder /both is also that of 'text-embeds'"):
        dataset.write(replace(DALLE3, cache_dir_vae="/both", cache_dir_text="/both/"))
    assert not os.path.exists(dataset.out)


def test_a_table_that_the_trainer_cannot_read_is_refused(dataset):
    def refused(table):
        with pytest.raises(UsageError) as error:
            loader_entry(table, dataset.data)
        return str(error.value)

    text = str(dataset.root / "text.parquet")
    with open(text, "w") as file:
        file.write("width,height\n")
    narrow = str(dataset.root / "narrow.parquet")
    pq.write_table(pa.table({"width": [1], "caption": ["a"], "filename": ["a"]}), narrow)
    named_json = str(dataset.root / "table.jsonl")
    os.link(dataset.table, named_json)

    assert "There is no" in refused(str(dataset.root / "none.parquet"))
    assert "is a folder: name the merged table" in refused(dataset.data)
    assert "is a URL" in refused("s3://bucket/dalle3.parquet")
    assert "is no parquet file" in refused(text)
    assert "has no column height" in refused(narrow)
    assert "as JSON" in refused(named_json)


def test_a_data_folder_that_the_trainer_cannot_read_is_refused(dataset):
    for data, words in (
        ("s3://bucket/data", "is a URL"),
        (str(dataset.root / "none"), "There is no folder"),
        (dataset.table, "There is no folder"),
    ):
        with pytest.raises(UsageError, match=words):
            loader_entry(dataset.table, data)


def test_a_folder_whose_name_the_trainer_would_replace_is_refused(tmp_path):
    for name in ("{id}", "x{env:HOME}y"):
        (tmp_path / name).mkdir()
        with pytest.raises(UsageError, match="The trainer replaces"):
            Dataset(tmp_path / name).write()
    (tmp_path / "{other}").mkdir()
    Dataset(tmp_path / "{other}").write()


def test_a_folder_whose_name_is_not_utf_8_comes_back_as_it_is(tmp_path):
    root = tmp_path / os.fsdecode(b"\xff caf\xc3\xa9")
    root.mkdir()
    dataset = Dataset(root)
    dataset.write()
    assert os.path.isdir(dataset.written()[0]["instance_data_dir"])


def test_two_that_write_at_once_lose_no_entry(dataset):
    with disk.one_at_a_time(dataset.root):
        other = Thread(target=dataset.write)
        other.start()
        other.join(0.5)  # long enough to be done, if it did not wait
        dataset.put([{"id": "mine"}])
    other.join()
    assert [entry["id"] for entry in dataset.written()] == ["mine", "dalle3", "text-embeds"]


def test_whoever_could_not_read_the_file_before_cannot_now(dataset):
    dataset.put("[]")
    os.chmod(dataset.out, 0o600)
    dataset.write()
    assert os.stat(dataset.out).st_mode & 0o777 == 0o600


def test_a_table_without_a_row_is_refused(dataset):
    pq.write_table(pq.read_table(dataset.table).slice(0, 0), dataset.table)
    with pytest.raises(UsageError, match="has no row"):
        dataset.write()
    assert not os.path.exists(dataset.out)


def test_a_link_to_the_file_stays_a_link(dataset):
    real = dataset.root / "real.json"
    real.write_text("[]")
    os.symlink(real, dataset.out)
    dataset.write()
    assert os.path.islink(dataset.out)
    assert len(json.loads(real.read_text())) == 2


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(dataset, monkeypatch):
    dataset.put("[]")
    before = sorted(os.listdir(dataset.root))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CutlineError, match="cannot be written: No space left"):
        dataset.write()
    assert dataset.written() == []
    assert sorted(os.listdir(dataset.root)) == before


def test_a_place_where_the_file_cannot_be_is_refused(dataset):
    def refused(out, kind=UsageError):
        with pytest.raises(kind) as error:
            write_loader(dataset.table, dataset.data, str(out), DALLE3)
        return str(error.value)

    assert "make it first" in refused(dataset.root / "none/x.json")
    assert "would pass for a sidecar" in refused(dataset.root / "data/x.json")
    (dataset.root / "folder.json").mkdir()
    assert "Is a directory" in refused(dataset.root / "folder.json", CutlineError)
    assert os.listdir(dataset.data) == []
