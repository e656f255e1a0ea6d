import dataclasses
import io
import itertools
import json
import os
import re
import subprocess
import tarfile
from collections import Counter

import pytest
from PIL import Image

from cutline.demo.faults import DUPLICATES, FAULTS, ODDITIES, TOO_LARGE, plan
from cutline.demo.making import Expected, make_demo
from cutline.demo.samples import DemoOptions, samples
from cutline.errors import CutlineError, UsageError

REASONS = {*FAULTS, "duplicate", "too_large"}
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}
SMALL = DemoOptions(records=100, images=False)


# The oracle: what a row is, as plainly as it can be said.


def is_size(value):
    if isinstance(value, str) and re.fullmatch("[0-9]+", value):
        value = int(value)
    return type(value) in (int, float) and value == int(value) and 0 < value < 2**31


def is_image_name(name):
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not re.search(r"[/\\\x00-\x1f\x7f-\x9f]", name)
        and len(name.encode()) <= 250
        and not name.endswith(".txt")
    )


def judge_caption(caption):
    if caption is None:
        return "no_caption"
    texts = caption if isinstance(caption, list) else [caption]
    if not all(isinstance(text, str) for text in texts):
        return "bad_caption"
    return None if any(text.strip() for text in texts) else "no_caption"


def judge_fields(fields):
    if not isinstance(fields, dict):
        return "not_object"
    if fields.get("width") is None:
        return "no_width"
    if not is_size(fields["width"]):
        return "bad_width"
    if not is_size(fields.get("height")):
        return "bad_height"
    if fields.get("image_name") is None:
        return "no_image_name"
    if not is_image_name(fields["image_name"]):
        return "bad_image_name"
    return judge_caption(fields.get("short_caption"))


def judge(sidecar):
    """The reason to reject a sidecar's bytes (None: a folder), and its fields."""
    if sidecar is None:
        return "unreadable", None
    if len(sidecar) > 16 * 1024 * 1024:
        return "too_large", None
    try:
        fields = json.loads(sidecar.decode("utf-8-sig"))
    except ValueError:
        return "bad_json", None
    return judge_fields(fields), fields


def rows_and_rejects(data):
    """Walk a folder: {sidecar's name: fields} of the rows, and the reasons of the rest."""
    rows, rejects, keys = {}, Counter(), set()
    for path in sorted(data.glob("*.json"), key=os.fsencode):
        reason, fields = judge(None if path.is_dir() else path.read_bytes())
        if reason is None and (key := os.path.splitext(fields["image_name"])[0]) in keys:
            reason = "duplicate"
        if reason is None:
            keys.add(key)
            rows[path.name] = fields
        else:
            rejects[reason] += 1
    return rows, rejects


def stem(name):
    return os.path.splitext(name)[0]


def image_name(sidecar):
    """What a sidecar says that its image is called, if it says anything."""
    try:
        return json.loads(sidecar.read_text("utf-8-sig"))["image_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The default demo, with images."""
    folder = tmp_path_factory.mktemp("thousand")
    return folder, make_demo(folder, DemoOptions())


# What is counted


@pytest.mark.parametrize("records", [100, 119, 120, 200, 1000])
@pytest.mark.parametrize("seed", [0, 7])
def test_a_demo_counts_as_the_oracle_counts(tmp_path, records, seed):
    expected = make_demo(tmp_path, DemoOptions(records, seed))
    rows, rejects = rows_and_rejects(tmp_path / "data")
    names = {path.name for path in (tmp_path / "data").iterdir()}
    images = {name for name in names if not name.endswith(".json")}
    named = {fields["image_name"] for fields in rows.values()}
    mismatches = [
        name for name, fields in rows.items()
        if os.path.splitext(name)[0] != os.path.splitext(fields["image_name"])[0]
    ]  # fmt: skip
    captioned = set(map(stem, named))
    lonely = [
        name for name in names - images
        if stem(name) not in set(map(stem, images))
        and image_name(tmp_path / "data" / name) not in images
    ]  # fmt: skip
    assert named <= images
    assert expected == Expected(
        records=records,
        seed=seed,
        sidecars=len(names - images),
        rows=len(rows),
        rejects=dict(rejects),
        stem_mismatches=len(mismatches),
        images=len(images),
        orphans=len(images - named),
        images_without_caption_file=len([name for name in images if stem(name) not in captioned]),
        sidecars_without_image=len(lonely),
    )
    assert expected.sidecars == expected.rows + sum(expected.rejects.values()) == records


def test_what_is_returned_is_what_the_file_says(demo):
    folder, expected = demo
    said = json.loads((folder / "expected.json").read_bytes())
    assert said.pop("marker").startswith("a cutline demo")
    assert said == {name: getattr(expected, name) for name in said}
    assert list(said["rejects"]) == sorted(said["rejects"])


def test_the_default_demo_has_several_of_everything(demo):
    _, expected = demo
    assert set(expected.rejects) == REASONS
    assert {reason for reason, count in expected.rejects.items() if count == 1} == {
        "too_large",  # 16 MiB: once at any size
        "unreadable",
    }
    assert expected.stem_mismatches > 3
    assert 0 < expected.orphans < sum(expected.rejects.values())


def test_a_demo_without_images_counts_no_images(tmp_path):
    expected = make_demo(tmp_path, SMALL)
    assert (expected.images, expected.orphans) == (0, 0)
    assert all(name.endswith(".json") for name in os.listdir(tmp_path / "data"))


# What is planted


def fields_of(name):
    first = next(sample for sample in samples(SMALL) if sample.reason is None)
    return json.loads(first.sidecar) | {"image_name": name}


@pytest.mark.parametrize("reason", FAULTS)
def test_every_fault_is_rejected_for_its_own_reason_alone(reason):
    written = [write(fields_of("0000001.jpg")) for write in FAULTS[reason]]
    assert {judge(sidecar)[0] for sidecar in written} == {reason}
    assert len(set(written)) == len(written)


def test_the_large_sidecar_is_good_but_for_its_size():
    sidecar = TOO_LARGE.write(fields_of("0000001.jpg"))
    assert len(sidecar) > 16 * 2**20
    assert judge(sidecar.rstrip())[0] is None


def test_every_oddity_is_a_row():
    assert {judge(oddity.write(fields_of("0000001.jpg")))[0] for oddity in ODDITIES} == {None}


def test_rejects_stay_below_a_tenth_and_show_every_reason_from_120_records_up():
    for records in (*range(100, 700), 1000, 2666, 2667, 2800, 3199, 3200, 99_991):
        planned = plan(records)
        reasons = Counter(plant.reason for plant in planned.values() if plant.reason)
        assert max(planned) < records
        assert reasons.total() - reasons["no_width"] < records / 10
        assert reasons["too_large"] == (records >= 120)
        assert set(reasons) == REASONS if records >= 120 else len(reasons) >= 10


@pytest.mark.parametrize("records", [100, 120, 470, 5000])
def test_no_plant_takes_the_place_of_another(records):
    planned = plan(records)
    rejected = [number for number, plant in planned.items() if plant.reason]
    pairs = sum(plant.reason == "duplicate" for plant in planned.values())
    assert len(planned) == 2 * len(rejected) + pairs
    for number in rejected:
        if planned[number].reason == "duplicate":
            assert (planned[number - 1], planned[number]) in DUPLICATES


@pytest.mark.parametrize("records", [1000, 100_000])
def test_faults_are_spread_evenly(records):
    rejected = sorted(number for number, plant in plan(records).items() if plant.reason)
    gaps = [later - earlier for earlier, later in itertools.pairwise(rejected)]
    assert max(gaps) <= min(gaps) + 4  # the second of a duplicate pair is one off


def test_samples_come_in_the_order_of_their_sidecars_names():
    stems = [sample.stem for sample in samples(DemoOptions(3000, images=False))]
    assert stems == sorted(stems, key=os.fsencode)


# What it is made of


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_demo(tmp_path / name, DemoOptions(100, seed))
    once, again, other = (contents(tmp_path / name) for name in "abc")
    assert once == again
    assert once != other


def test_the_sidecars_are_the_same_without_images():
    with_images = [sample._replace(image=None) for sample in samples(DemoOptions(300))]
    assert with_images == list(samples(DemoOptions(300, images=False)))


def test_every_image_is_what_its_name_and_its_row_say(demo):
    data = demo[0] / "data"
    rows, _ = rows_and_rejects(data)
    sizes = {fields["image_name"]: fields for fields in rows.values()}
    seen = Counter()
    for path in data.iterdir():
        if path.suffix != ".json":
            with Image.open(path) as image:
                assert image.format == FORMATS[path.suffix]
                row = sizes.get(path.name, {"width": image.width, "height": image.height})
                assert image.size == (int(row["width"]), int(row["height"]))
            seen[path.suffix] += 1
    assert seen[".jpg"] > seen[".jpeg"] > seen[".png"] > 50


def test_every_picture_can_be_decoded_and_is_small():
    pictures = {sample.image for sample in samples(DemoOptions(1000)) if sample.image}
    assert len(pictures) > 10
    for picture in pictures:
        assert 1000 < len(picture) < 25_000
        with Image.open(io.BytesIO(picture)) as image:
            image.load()


def test_a_sidecar_has_about_2_kb():
    sizes = [len(sample.sidecar) for sample in samples(DemoOptions(1000)) if not sample.reason]
    assert 1500 < sum(sizes) / len(sizes) < 2500
    assert min(sizes) > 1000


def test_captions_hardly_repeat_and_some_are_not_ascii():
    sidecars = [
        json.loads(s.sidecar.decode("utf-8-sig"))
        for s in samples(DemoOptions(1000))
        if not s.reason
    ]
    captions = Counter(str(fields["short_caption"]) for fields in sidecars)
    assert len(captions) > 0.99 * len(sidecars)  # only planted ones come again
    assert 50 < sum(not caption.isascii() for caption in captions) < 500
    seconds = Counter(type(fields.get("short_caption2", "absent")) for fields in sidecars)
    assert set(seconds) == {str, list, type(None)}
    assert any("short_caption2" not in fields for fields in sidecars)


# What is refused


@pytest.mark.parametrize("records", [-1, 99, 2_000_001])
def test_too_few_or_too_many_records_are_refused_with_the_limits(records):
    with pytest.raises(UsageError, match="100 to 2,000,000"):
        DemoOptions(records)


def test_a_folder_that_holds_something_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(UsageError, match="not empty: name another folder"):
        make_demo(tmp_path, SMALL)
    assert contents(tmp_path) == {"thesis.tex": b"years"}


@pytest.mark.parametrize("text", ["{}", "[1]", "no json", '{"marker": 1}'])
def test_an_expected_json_of_somebody_else_is_no_demo(tmp_path, text):
    (tmp_path / "expected.json").write_text(text)
    with pytest.raises(UsageError, match="not empty"):
        make_demo(tmp_path, SMALL)


def test_a_demo_is_not_made_over_a_demo(tmp_path):
    make_demo(tmp_path, SMALL)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="a demo already"):
        make_demo(tmp_path, SMALL)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_where_the_folder_should_be_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="file: name a folder"):
        make_demo(tmp_path / name, SMALL)


def test_a_folder_that_cannot_be_made_is_one_sentence_with_the_mend(tmp_path):
    with pytest.raises(CutlineError, match=r"too long\. Name a folder"):
        make_demo(tmp_path / ("x" * 300), SMALL)


def test_the_folder_is_made_with_its_parents(tmp_path):
    make_demo(os.fspath(tmp_path / "new" / "demo"), SMALL)
    assert len(os.listdir(tmp_path / "new" / "demo" / "data")) == 100


# Shards


def members(data):
    """Each member of the shards of a demo, in order: (shard, member, bytes)."""
    for path in sorted(data.glob("*.tar")):
        with tarfile.open(path) as archive:
            for info in archive:
                content = archive.extractfile(info).read() if info.isreg() else None
                yield path.name, info, content


def test_a_demo_of_shards_holds_what_the_demo_of_loose_files_holds(tmp_path):
    loose = make_demo(tmp_path / "loose", DemoOptions(300))
    shards = make_demo(tmp_path / "shards", DemoOptions(300, form="shards"))
    found = {info.name: content for _, info, content in members(tmp_path / "shards" / "data")}
    assert found == contents(tmp_path / "loose" / "data")
    assert dataclasses.replace(shards, shards=0) == loose
    assert shards.shards == len(os.listdir(tmp_path / "shards" / "data")) == 2


def test_the_shards_of_a_demo_are_flat_and_in_order_and_always_the_same(tmp_path):
    for name in "ab":
        make_demo(tmp_path / name, DemoOptions(600, images=False, form="hostile"))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    names = [info.name for shard, info, _ in members(tmp_path / "a" / "data")]
    sidecars = [name for name in names if name.endswith(".json")]
    assert len(sidecars) == 600
    assert sidecars == sorted(sidecars)
    assert not any("/" in name for name in sidecars)


def test_a_hostile_demo_has_a_damaged_shard_that_loses_no_sample(tmp_path):
    sound = make_demo(tmp_path / "sound", DemoOptions(300, form="shards"))
    hostile = make_demo(tmp_path / "hostile", DemoOptions(300, form="hostile"))
    assert hostile.shards == sound.shards + 1
    assert (hostile.rows, hostile.rejects) == (sound.rows, sound.rejects)
    assert hostile.refused["damaged_shard"] == hostile.damaged_shards == 1
    path = sorted((tmp_path / "hostile" / "data").iterdir())[-2]
    listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=False)
    assert listed.returncode == 2  # GNU tar says so, too
    sound_path = tmp_path / "sound" / "data" / path.name
    names = subprocess.run(["tar", "tf", sound_path], capture_output=True, text=True, check=True)
    assert listed.stdout == names.stdout
