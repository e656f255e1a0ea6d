"""The index for webshart, read by webshart itself."""

import json
import os
import shutil
import time

import pytest
import webshart

from cutline import DemoOptions, make_demo
from cutline.errors import CutlineError, UsageError
from cutline.table import compile_table
from cutline.trainers import export, loader, write_loader
from cutline.trainers import webshart as ours
from cutline.trainers.simpletuner import LoaderOptions
from cutline.verify import VerifyOptions, verify_dataset
from jobs_at_work import Listener
from shards_at_home import ShardSet, png, sample
from sidecars import as_bytes, record

IN_SHARDS = LoaderOptions(strategy="webshart")


def write(dataset, **more):
    return export(dataset.table, dataset.index, "webshart", **more)


def read(dataset, cache=None):
    """What webshart finds: by filename the shard, size, captions and bytes of each sample."""
    found = webshart.discover_dataset(source=str(dataset.data), metadata=str(dataset.index))
    if cache:
        found.enable_metadata_cache(location=str(cache))
    loader = webshart.TarDataLoader(found, load_file_data=True)
    samples = {}
    for number in range(found.num_shards):
        (shown,) = loader.list_shard_sample_aspect_buckets([number])
        for entry in (one for bucket in shown["buckets"].values() for one in bucket):
            loaded = loader.load_sample(number, entry["sample_idx"])
            assert (loaded.path, entry["filename"] in samples) == (entry["filename"], False)
            shard = os.path.basename(found.get_shard_info(number)["tar_path"])[:-4]
            size = entry["width"], entry["height"]
            samples[loaded.path] = shard, size, loaded.captions, bytes(loaded.data)
    return samples


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo of three shards, compiled and with its index."""
    dataset = ShardSet(tmp_path_factory.mktemp("sets") / "demo")
    shutil.rmtree(dataset.root)
    dataset.expected = make_demo(dataset.root, DemoOptions(300, form="shards"))
    dataset.compile()
    dataset.count = write(dataset)
    return dataset


@pytest.fixture
def dataset(tmp_path):
    return ShardSet(tmp_path / "set")


def test_webshart_loads_every_row_with_its_size_its_caption_and_its_bytes_and_nothing_else(demo):
    samples, members = read(demo), demo.members()
    assert demo.count == demo.expected.rows == len(samples)
    assert {name: (size, caption) for name, (_, size, caption, _) in samples.items()} == {
        name: ((row["width"], row["height"]), row["caption"]) for name, row in demo.rows().items()
    }
    for name, (shard, _, _, data) in samples.items():
        assert data == members[shard, name]


def test_there_is_an_index_for_each_shard_and_nothing_else(demo):
    shards = sorted(path.stem for path in demo.data.glob("*.tar"))
    assert sorted(os.listdir(demo.index)) == [f"{name}.json" for name in shards]
    for name in shards:
        content = json.loads((demo.index / f"{name}.json").read_bytes())
        assert content["filesize"] == (demo.data / f"{name}.tar").stat().st_size


def test_several_captions_are_a_list_and_one_with_line_breaks_is_one(dataset):
    dataset.write(a=[*sample("x"), *sample("y"), *sample("z")]).compile()
    dataset.replace_captions([["one", "two"], ["alone"], ["a\nb", "c"]])
    write(dataset)
    captions = {name: caption for name, (_, _, caption, _) in read(dataset).items()}
    assert captions == {"x.png": ["one", "two"], "y.png": ["alone"], "z.png": ["a\nb", "c"]}
    dataset.replace_captions(["one\ntwo", "b", "c"])
    write(dataset)
    assert read(dataset)["x.png"][2] == "one\ntwo"


def test_an_image_is_taken_from_the_shard_of_its_sidecar_and_else_from_the_first_that_has_it(
    dataset,
):
    own = sample("own", shade=3)
    sidecar, image = sample("far")
    dataset.write(
        a=[("own.png", png(shade=1)), sidecar, *sample("a")],
        b=[*own, ("far.png", png(shade=4)), ("far.png", png(shade=5))],
        c=[image, *sample("c")],
    ).compile()
    assert write(dataset) == 4
    samples, members = read(dataset), dataset.members()
    assert samples["own.png"][0] == "b"
    assert samples["own.png"][3] == own[1][1] == members["b", "own.png"]
    assert (samples["far.png"][0], samples["far.png"][3]) == ("b", png(shade=4))


def test_names_in_folders_and_other_alphabets_are_found(dataset):
    names = ["sub/deep/a", "b.c d", "caf\u00e9 \U0001f408"]
    members = [
        (f"{name}.{ending}", data)
        for name in names
        for ending, data in (
            ("json", as_bytes(record(os.path.basename(name) + ".png", width=64, height=48))),
            ("png", png()),
        )
    ]
    dataset.write(a=members).compile()
    write(dataset)
    assert sorted(read(dataset)) == sorted(f"{name}.png" for name in names)


def test_a_row_without_image_is_left_out_and_told_and_so_is_an_empty_image(dataset):
    sidecar, _ = sample("gone")
    empty, _ = sample("empty")
    dataset.write(a=[*sample("here"), sidecar, empty, ("empty.png", b"")]).compile()
    listener = Listener()
    assert write(dataset, watcher=listener) == 1
    assert list(read(dataset)) == ["here.png"]
    assert "2 rows have no image in the shards, such as" in listener.said[0]
    summary = verify(dataset)
    assert summary.findings["rows_without_image"].examples == ("empty.png", "gone.png")
    assert summary.shortfall


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda one: shutil.rmtree(one.root / "set.cutline"), "was not compiled from shards"),
        (lambda one: shutil.rmtree(one.root / "set.parts"), "is not there or damaged: compile"),
        (lambda one: one.write(a=sample("new")), "has changed since .* compile it again"),
        (lambda one: os.rename(one.data / "a.tar", one.data / "b.tar"), "is not in .*: name the"),
        (lambda one: shutil.copy(one.data.parent / "other.parquet", one.table), "has not the rows"),
    ],
)
def test_what_is_not_the_table_of_these_shards_is_refused(dataset, spoil, words):
    dataset.write(a=[*sample("x"), *sample("y")]).compile()
    other = ShardSet(dataset.root / "other").write(a=sample("x"))
    other.compile()
    shutil.copy(other.table, dataset.root / "other.parquet")
    spoil(dataset)
    with pytest.raises(UsageError, match=words):
        write(dataset)
    assert not dataset.index.exists()


def test_a_table_of_loose_sidecars_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.json").write_bytes(as_bytes(record("a.png")))
    (tmp_path / "data/a.tar").write_bytes(bytes(10240))
    compile_table(tmp_path / "data", tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="was not compiled from shards"):
        export(tmp_path / "x.parquet", tmp_path / "x.webshart", "webshart")


def test_shards_that_webshart_would_not_find_are_refused(dataset):
    dataset.write(a=sample("x")).compile()
    (dataset.data / "sub").mkdir()
    shutil.copy(dataset.data / "a.tar", dataset.data / "sub/b.tar")
    with pytest.raises(UsageError, match=r"in several folders, such as sub/b\.tar"):
        write(dataset, data=[dataset.data / "a.tar", dataset.data / "sub/b.tar"])
    os.rename(dataset.data / "a.tar", dataset.data / "a.TAR")
    with pytest.raises(UsageError, match=r"let its name end in \.tar"):
        write(dataset)


def test_another_name_for_the_index_is_refused(dataset):
    dataset.write(a=sample("x")).compile()
    with pytest.raises(UsageError, match="where it is looked for"):
        export(dataset.table, dataset.root / "y.webshart", "webshart")


@pytest.mark.parametrize("shards", [1, 3])
def test_an_index_that_cannot_be_finished_leaves_the_old_one_or_none(dataset, monkeypatch, shards):
    dataset.write(**{name: sample(name) for name in "abc"[:shards]}).compile()
    index_of, made = ours.index_of, []

    def full(*arguments):
        made.append(arguments)
        if len(made) == shards:
            raise OSError(28, "No space left on device")
        return index_of(*arguments)

    monkeypatch.setattr(ours, "index_of", full)
    before = sorted(os.listdir(dataset.root))
    with pytest.raises(CutlineError, match="No space left on device"):
        write(dataset)
    assert sorted(os.listdir(dataset.root)) == before
    monkeypatch.undo()
    write(dataset)
    old = {path.name: path.read_bytes() for path in dataset.index.iterdir()}
    dataset.replace_captions([f"another {number}" for number in range(shards)])
    made.clear()
    monkeypatch.setattr(ours, "index_of", full)
    with pytest.raises(CutlineError, match="No space left on device"):
        write(dataset)
    assert {path.name: path.read_bytes() for path in dataset.index.iterdir()} == old
    assert not (dataset.root / "set.cutline/attempts").exists()


def test_what_is_not_an_index_in_its_folder_is_not_thrown_away(dataset):
    dataset.write(a=sample("x")).compile()
    dataset.index.mkdir()
    (dataset.index / "notes.txt").write_text("mine")
    with pytest.raises(CutlineError, match=r"holds notes\.txt, which is no index"):
        write(dataset)
    assert (dataset.index / "notes.txt").read_text() == "mine"


def stamps(folder):
    found = {path.name: path.stat() for path in [folder, *folder.iterdir()]}
    return {name: (one.st_ino, one.st_mtime_ns, one.st_ctime_ns) for name, one in found.items()}


def test_an_index_that_has_not_changed_keeps_its_times_and_one_of_a_shard_that_is_gone_goes(
    dataset,
):
    dataset.write(a=sample("x"), b=sample("y")).compile()
    write(dataset)
    before = stamps(dataset.index)
    write(dataset)
    assert stamps(dataset.index) == before
    (dataset.data / "b.tar").unlink()
    dataset.compile()
    write(dataset)
    assert os.listdir(dataset.index) == ["a.json"]


def entry_of(dataset):
    out = dataset.root / "multidatabackend.json"
    return write_loader(dataset.table, dataset.data, out, IN_SHARDS)[0]


def test_the_entry_is_what_the_trainer_s_webshart_backend_takes(dataset):
    dataset.write(a=sample("x")).compile()
    with pytest.raises(UsageError, match=r"no index .*: make it with `cutline export .*webshart`"):
        entry_of(dataset)
    write(dataset)
    entry = entry_of(dataset)
    root = str(dataset.root)
    assert entry == {
        "id": "set",
        "type": "webshart",
        "source": f"{root}/data",
        "metadata": f"{root}/set.webshart",
        "resolution": 1.0,
        "maximum_image_size": 2.0,
        "minimum_image_size": 0.75,
        "target_downsample_size": 1.75,
        "resolution_type": "area",
        "cache_dir_vae": f"{root}/cache/vae/set",
        "caption_strategy": "webshart",
        "metadata_backend": "webshart",
        "webshart": {"cache_dir": f"{root}/cache/webshart/set", "shard_cache_gb": 0},
    }
    os.rename(dataset.data / "a.tar", dataset.root / "a.tar")
    with pytest.raises(UsageError, match=r"is of a shard .*/data/a\.tar: name the shards' folder"):
        entry_of(dataset)


def test_a_cache_of_an_older_index_is_told_until_it_is_removed(dataset):
    """webshart itself serves the old captions from it."""
    dataset.write(a=sample("x")).compile()
    write(dataset)
    entry = entry_of(dataset)
    cache = entry["webshart"]["cache_dir"]
    out = str(dataset.root / "multidatabackend.json")
    read(dataset, f"{cache}/metadata_cache")
    assert loader.about_caches(out, str(dataset.table)) == []
    time.sleep(0.02)  # the times of files are as fine as the kernel's clock ticks
    dataset.replace_captions(["Another one."])
    write(dataset)
    assert read(dataset, f"{cache}/metadata_cache")["x.png"][2] == "What x.png shows."
    (told,) = loader.about_caches(out, str(dataset.table))
    assert f"`rm -r {cache}`" in told
    summary = verify(dataset)
    mend = f"remove what webshart keeps with `rm -r {cache}`."
    assert summary.shortfall.endswith(f"stale caches 1; {mend}")
    shutil.rmtree(cache)
    assert loader.about_caches(out, str(dataset.table)) == []
    assert verify(dataset).shortfall == ""
    assert read(dataset, f"{cache}/metadata_cache")["x.png"][2] == "Another one."


def verify(dataset, **options):
    how = VerifyOptions(strategy="webshart", **options)
    return verify_dataset(dataset.table, dataset.data, how)


def test_a_sound_dataset_passes_its_verification(demo):
    summary = verify(demo, sizes=True, expect=demo.expected.sidecars)
    assert (summary.shortfall, summary.images) == ("", demo.expected.rows)
    assert "images_without_row" not in summary.findings
    assert summary.findings["sidecar_count"].count == 0


def spoil_entry(index, **changes):
    content = json.loads(index.read_bytes())
    content["files"]["x.png"] |= changes
    index.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda index: spoil_entry(index, offset=0), ["a.json: x.png"]),
        (lambda index: spoil_entry(index, captions="Another."), ["a.json: x.png"]),
        (lambda index: index.write_text('{"filesize": 1, "files": {}}'),
         ["a.json: x.png", "a.json: y.png", "a.json: {'filesize': 1}"]),
        (lambda index: index.write_text("["), ["a.json: no index of webshart"]),
        (lambda index: index.write_text("[]"), ["a.json: no index of webshart"]),
        (lambda index: index.unlink(), ["a.json: there is no such index"]),
        (lambda index: shutil.copy(index, index.parent / "b.json"),
         ["b.json: of no shard of the table"]),
    ],
)  # fmt: skip
def test_an_index_entry_that_does_not_point_at_its_member_fails(dataset, spoil, found):
    dataset.write(a=[*sample("x"), *sample("y")]).compile()
    write(dataset)
    spoil(dataset.index / "a.json")
    summary = verify(dataset)
    assert sorted(summary.findings["index_entries"].examples) == found
    command = f"cutline export {dataset.table} {dataset.data} --format webshart"
    assert summary.shortfall.endswith(f"; write the index with `{command}`.")
    write(dataset)
    assert verify(dataset).shortfall == ""


def test_sizes_that_the_headers_in_the_shards_do_not_have_fail(dataset):
    wrong = [("w.json", as_bytes(record("w.png", width=64, height=64))), ("w.png", png())]
    unreadable = [sample("u")[0], ("u.png", b"x")]
    dataset.write(a=[*sample("x"), *wrong, *unreadable]).compile()
    write(dataset)
    findings = verify(dataset).findings
    assert findings["wrong_sizes"].examples == ("w.png (64x48, not 64x64)",)
    assert findings["unreadable_images"].examples == ("u.png",)


def test_rows_that_somebody_has_spoiled_fail(dataset):
    dataset.write(a=[*sample("x"), *sample("y")]).compile()
    dataset.replace_captions([" ", "fine"])
    write(dataset)
    assert verify(dataset).findings["empty_captions"].examples == ("x.png",)
