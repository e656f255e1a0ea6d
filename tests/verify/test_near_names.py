"""Images whose record has almost their name: named as such, and left where they are."""

import json
import os
import unicodedata

import pytest

import cutline
from cutline.verify import move_orphans
from cutline.verify.near_names import group
from intact import intact

NFC, NFD = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))


@pytest.fixture
def dataset(tmp_path):
    return intact(tmp_path)


def found(summary):
    return {name: one.examples for name, one in summary.findings.items() if one.count}


# The name that the record has, the name that the image has, and how they differ.
PAIRS = [
    (NFC, NFD, "another Unicode normalisation"),
    (NFD, NFC, "another Unicode normalisation"),
    ("z.png", "z.jpg", "another extension"),
    ("z.jpg", "z.jpeg", "another extension"),
    ("z.jpg", "Z.jpg", "another case"),
    ("z.jpg", "z.JPG", "another case"),
    ("z.jpg", "z.jpg.jpg", "another spelling"),
    ("z é.jpg", "z%20%C3%A9.jpg", "another spelling"),
    (f"sub/{NFC}", f"SUB/{NFD[:-4]}.PNG", "another spelling"),
]


@pytest.mark.parametrize(("named", "called", "how"), PAIRS)
def test_an_image_of_almost_the_name_is_no_orphan_and_stays(dataset, named, called, how):
    dataset.add(named)
    dataset.prepare()
    os.makedirs((dataset.data / called).parent, exist_ok=True)
    os.rename(dataset.data / named, dataset.data / called)
    before = dataset.tree()
    summary = dataset.verify()
    shown = f"{called} (the table names it {named}: {how})"
    assert found(summary)["misnamed_images"] == (shown,)
    assert not {"images_without_row", "rows_without_image"} & set(found(summary))
    assert (summary.ok, summary.orphans) == (False, {})
    assert "give each image the name that its record has" in summary.shortfall
    move_orphans(dataset.table, dataset.data, dataset.root / "orphans")
    assert dataset.tree() == before
    # What is advised is what mends it.
    os.rename(dataset.data / called, dataset.data / named)
    assert found(dataset.verify()) == {}


def test_an_image_beside_the_one_that_is_meant_is_an_orphan(dataset):
    (dataset.data / "A.PNG").write_bytes((dataset.data / "a.png").read_bytes())
    (dataset.data / "A.txt").write_text("A caption")
    summary = dataset.verify()
    assert found(summary) == {"images_without_row": ("A.PNG (no_sidecar: no sidecar names it)",)}


def test_a_record_that_gave_no_row_has_almost_the_name(dataset):
    dataset.add("z.png", width=None)
    dataset.prepare()
    os.rename(dataset.data / "z.png", dataset.data / "z.jpg")
    summary = dataset.verify()
    shown = "z.jpg (its record names it z.png: another extension)"
    assert found(summary) == {"misnamed_images": (shown,)}


@pytest.mark.parametrize("content", ['{"image_name": ', "[]", "{}"])
@pytest.mark.parametrize("sidecar", ["z.jpg.json", "Z.json", "z.jpg.JSON"])
def test_a_broken_sidecar_of_another_form_is_that_of_its_image(dataset, sidecar, content):
    dataset.add("z.jpg")
    os.rename(dataset.data / "z.json", dataset.data / sidecar)
    (dataset.data / sidecar).write_text(content)
    dataset.prepare()
    summary = dataset.verify()
    (shown,) = found(summary).pop("misnamed_images")
    assert shown.startswith(f"z.jpg (its sidecar {sidecar} gave no row: ")
    assert set(found(summary)) == {"misnamed_images"}
    record = {"image_name": "z.jpg", "width": 64, "height": 48, "short_caption": "A z"}
    (dataset.data / sidecar).write_text(json.dumps(record))
    dataset.prepare()
    assert found(dataset.verify()) == {}


def test_a_new_sidecar_behind_the_whole_name_is_for_a_compile(dataset):
    dataset.add("z.jpg")
    os.rename(dataset.data / "z.json", dataset.data / "z.jpg.json")
    summary = dataset.verify()
    assert summary.orphans == {"not_compiled": 1}
    assert "compile the table again" in summary.shortfall
    dataset.prepare()
    assert found(dataset.verify()) == {}


def test_a_new_sidecar_with_almost_the_name_is_read(dataset):
    dataset.add("z.png")
    os.rename(dataset.data / "z.png", dataset.data / "z.webp")
    shown = "z.webp (its sidecar z.json names it z.png: another extension)"
    assert found(dataset.verify()) == {"misnamed_images": (shown,)}


def test_a_broken_sidecar_with_an_image_of_its_own_means_no_other(dataset):
    for name in ("z.jpg", "Z.jpg"):
        dataset.add(name)
    os.remove(dataset.data / "Z.json")
    (dataset.data / "z.json").write_text("{")
    dataset.prepare()
    assert dataset.verify().orphans == {"bad_json": 1, "no_sidecar": 1}


def test_all_images_of_another_normalisation_are_misnamed_and_not_elsewhere(tmp_path):
    dataset = intact(tmp_path)
    for name in [row["filename"] for row in dataset.rows()]:
        os.rename(dataset.data / name, dataset.data / f"{os.path.splitext(name)[0]}.JPE")
    summary = dataset.verify()
    assert summary.findings["misnamed_images"].count == len(dataset.rows())
    assert not summary.is_elsewhere


def test_a_dataset_of_capital_sidecars_is_sound(tmp_path):
    dataset = intact(tmp_path)
    for path in list(dataset.data.rglob("*.json")):
        path.rename(path.with_suffix(".JSON"))
    dataset.prepare()
    assert len(dataset.rows()) == 7
    summary = dataset.verify(expect=7)
    assert found(summary) == {}


def test_tasks_that_join_have_all_that_is_near(dataset, monkeypatch):
    monkeypatch.setattr("cutline.verify.verification.KEYS_A_TASK", 1)
    dataset.add(NFC)
    dataset.prepare()
    os.rename(dataset.data / NFC, dataset.data / NFD)
    assert set(found(dataset.verify())) == {"misnamed_images"}


def test_names_of_any_bytes_have_a_group():
    assert group(b"\xff\xc9") == group(b"\xff\xc9.JPG")
    assert group("ẞ.png".encode()) == group(b"ss")
    assert group(b".jpg") != group(b"x.jpg")


def test_what_is_near_is_what_is_said_in_json(dataset):
    os.rename(dataset.data / "a.png", dataset.data / "a.PNG")
    options = cutline.VerifyOptions(strategy="parquet")
    summary = cutline.verify_dataset(dataset.table, dataset.data, options)
    assert summary.as_json()["checks"]["misnamed_images"]["count"] == 1
