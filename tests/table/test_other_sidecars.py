"""Sets as other tools write them, compiled and told apart, against an oracle as plain as can be."""

import io
import json
import os
import shutil
import tarfile
from dataclasses import replace

import dask
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cutline.captions import write_captions
from cutline.errors import CutlineError, UsageError
from cutline.plan.receipts import FORMAT
from cutline.record.judging import Rules
from cutline.table.compile_options import CAPTION_LIST, CompileOptions
from cutline.table.compiling import compile_table
from cutline.table.head import as_csv, first_rows
from cutline.trainers import export
from cutline.verify import verify_dataset
from jobs_at_work import Listener
from outputs import ledger_of, rows_of
from sidecars import numbered, record, write_sidecars

ANY = CompileOptions(partition_size=7, max_rejects=1)


@pytest.fixture(autouse=True)
def synchronous():
    with dask.config.set(scheduler="synchronous"):
        yield


def with_rules(**rules):
    return replace(ANY, rules=Rules(**rules))


def image(width, height, form="PNG", turned=False):
    """An image's bytes; one that is turned has width and height the other way round inside."""
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 6
    data = io.BytesIO()
    size = (height, width) if turned else (width, height)
    Image.new("RGB", size).save(data, form, exif=exif)
    return data.getvalue()


# The fields and names that the tools write, by their documentation: img2dataset with
# --output_format files, gallery-dl with --write-metadata. What the tools themselves
# wrote is in tests/record/sets.


def of_img2dataset(number):
    return {
        "caption": f"What {number} shows.",
        "url": f"http://127.0.0.1/{number}.jpg",
        "key": f"{number:09}",
        "status": "success",
        "error_message": None,
        "width": 40 + number,
        "height": 30,
        "original_width": 80,
        "original_height": 60,
        "exif": "{}",
        "sha256": "5d",
    }


def of_gallery_dl(number):
    return {
        "category": "danbooru",
        "extension": "jpg",
        "filename": f"{number}",
        "id": number,
        "image_height": 30,
        "image_width": 40 + number,
        "tags": ["fox", "snow", f"number {number}"],
    }


def img2dataset_set():
    """The files of a set, the rows of it and the ledger."""
    files, rows, ledger = {}, [], []
    for number in range(20):
        stem = f"{number // 10:05}/{number:09}"
        extension = ("jpg", "webp", "png")[number % 3]
        files[f"{stem}.json"] = of_img2dataset(number)
        files[f"{stem}.{extension}"] = image(40 + number, 30)
        files[f"{stem}.txt"] = f"What {number} shows.".encode()
        rows.append((40 + number, 30, f"What {number} shows.", f"{stem}.{extension}"))
    del files["00000/000000003.jpg"]
    ledger = [("00000/000000003.json", "no_image", None)]
    return files, [row for row in rows if "3.jpg" not in row[3] or "13" in row[3]], ledger


def gallery_dl_set():
    files, rows = {}, []
    for number in range(12):
        files[f"x/{number}.jpg.json"] = of_gallery_dl(number)
        files[f"x/{number}.jpg"] = image(40 + number, 30)
        rows.append((40 + number, 30, f"fox, snow, number {number}", f"x/{number}.jpg"))
    files["x/film.mp4.json"] = of_gallery_dl(99)
    files["x/film.mp4"] = b"moving"
    files["x/titled.png.json"] = of_gallery_dl(50) | {"title": "A fox", "width": 7, "height": 8}
    files["x/titled.png"] = image(7, 8)
    rows.append((7, 8, "A fox", "x/titled.png"))
    return files, sorted(rows, key=lambda row: row[3]), [("x/film.mp4.json", "no_image", None)]


SETS = {
    "img2dataset": (img2dataset_set, {"dialect": "img2dataset"}),
    "gallery-dl": (gallery_dl_set, {"dialect": "gallery-dl", "join": ", "}),
}


def as_shard(files, path):
    with tarfile.open(path, "w") as shard:
        for name, data in files.items():
            held = data if isinstance(data, bytes) else json.dumps(data).encode()
            info = tarfile.TarInfo(name)
            info.size = len(held)
            shard.addfile(info, io.BytesIO(held))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", ["files", "shards"])
def test_a_set_of_another_tool_gives_the_rows_and_the_ledger_that_it_should(tmp_path, name, kind):
    make, rules = SETS[name]
    files, rows, ledger = make()
    source = tmp_path / "source"
    if kind == "files":
        write_sidecars(source, files)
    else:
        source.mkdir()
        as_shard(files, source / "a.tar")
    table = tmp_path / "t.parquet"
    summary = compile_table(source, table, with_rules(**rules))
    prefix = "" if kind == "files" else "a.tar/"
    assert sorted(rows_of(table), key=lambda row: row[3]) == rows
    assert [line[:2] for line in ledger_of(str(table))] == [(prefix + ledger[0][0], ledger[0][1])]
    assert summary.stem_mismatches == 0
    again = compile_table(source, table, with_rules(**rules))
    assert again.reused_parts == again.parts == summary.parts


@pytest.mark.parametrize("name", SETS)
def test_caption_files_of_a_set_of_another_tool_are_beside_its_images(tmp_path, name):
    make, rules = SETS[name]
    files, rows, _ = make()
    data = write_sidecars(tmp_path / "data", files)
    compile_table(data, tmp_path / "t.parquet", with_rules(**rules))
    write_captions(tmp_path / "t.parquet", data, overwrite=True)
    for row in rows:
        with open(os.path.join(data, os.path.splitext(row[3])[0] + ".txt")) as file:
            assert file.read() == row[2]


# The image beside, and its size


def test_of_two_images_with_one_stem_the_first_is_the_row_s(tmp_path):
    files = {"a.json": record(), "a.png": image(1, 1), "a.jpg": image(1, 1, "JPEG")}
    data = write_sidecars(tmp_path / "data", files)
    compile_table(data, tmp_path / "t.parquet", with_rules(image_beside=True))
    assert [row[3] for row in rows_of(tmp_path / "t.parquet")] == ["a.jpg"]


def test_two_sidecars_of_one_stem_are_one_sample(tmp_path):
    files = {"x.jpg.json": record(), "x.jpg": image(1, 1, "JPEG")}
    files |= {"x.png.json": record(), "x.png": image(1, 1)}
    data = write_sidecars(tmp_path / "data", files)
    compile_table(data, tmp_path / "t.parquet", with_rules(image_beside=True))
    assert [row[3] for row in rows_of(tmp_path / "t.parquet")] == ["x.jpg"]
    assert [line[1] for line in ledger_of(str(tmp_path / "t.parquet"))] == ["duplicate"]


def test_a_part_is_made_again_when_the_image_beside_has_another_name(tmp_path):
    data = write_sidecars(tmp_path / "data", {"a.json": record(), "a.png": image(1, 1)})
    table = tmp_path / "t.parquet"
    compile_table(data, table, with_rules(image_beside=True))
    os.rename(f"{data}/a.png", f"{data}/a.webp")
    summary = compile_table(data, table, with_rules(image_beside=True))
    assert (summary.reused_parts, rows_of(table)[0][3]) == (0, "a.webp")


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_a_missing_size_is_measured_as_the_image_is_seen(tmp_path, kind):
    files = {}
    sizes = {"png": (70, 30), "jpg": (71, 31), "webp": (72, 32), "gif": (73, 33)}
    forms = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "gif": "GIF"}
    for name, size in sizes.items():
        files[f"{name}.json"] = record(f"{name}.{name}", width=..., height=...)
        files[f"{name}.{name}"] = image(*size, forms[name])
    files["turned.json"] = record("turned.jpg", width=...)
    files["turned.jpg"] = image(74, 34, "JPEG", turned=True)
    files["broken.json"] = record("broken.jpg", width=...)
    files["broken.jpg"] = b"<html>"
    files["own.json"] = record("own.jpg")
    files["own.jpg"] = image(1, 1, "JPEG")
    source = tmp_path / "source"
    source.mkdir()
    write_sidecars(source, files) if kind == "files" else as_shard(files, source / "a.tar")
    table = tmp_path / "t.parquet"
    compile_table(source, table, with_rules(measure=True))
    found = {row[3].split(".")[0]: row[:2] for row in rows_of(table)}
    assert found == sizes | {"turned": (74, 34), "own": (1024, 768)}
    assert [line[1] for line in ledger_of(str(table))] == ["no_width"]


def test_an_image_that_was_measured_and_has_changed_is_measured_again(tmp_path):
    data = write_sidecars(tmp_path / "data", {"a.json": record(width=...), "a.png": image(5, 6)})
    table = tmp_path / "t.parquet"
    compile_table(data, table, with_rules(measure=True))
    write_sidecars(data, {"a.png": image(50, 60)})
    assert compile_table(data, table, with_rules(measure=True)).reused_parts == 0
    assert rows_of(table)[0][:2] == (50, 60)


def test_a_plan_without_images_is_no_plan_of_a_job_that_uses_them(tmp_path):
    data = write_sidecars(tmp_path / "data", {"a.json": record(), "a.png": image(1, 1)})
    for rules in ({}, {"image_beside": True}, {}, {"measure": True}):
        summary = compile_table(data, tmp_path / "t.parquet", with_rules(**rules))
        assert (summary.rows, summary.reused_parts) == (1, 0)


# A job that uses no new option


def test_a_job_without_new_options_is_continued(tmp_path):
    before = [FORMAT, {"caption_fields": ["a"], "columns": [["c", "f"]], "raw_captions": True}]
    options = CompileOptions(Rules(("a",), (("c", "f"),), raw_captions=True))
    form, _, rules = json.loads(options.identity())
    assert [form, rules] == before
    plain = CompileOptions()
    assert json.loads(plain.identity())[2] == {
        "caption_fields": ["short_caption"],
        "columns": [],
        "raw_captions": False,
    }


def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="give --image-field or --image-beside"):
        CompileOptions(Rules(image_field="file", image_beside=True))


# Almost all rejected for one reason


def refusal(tmp_path, fields, name="{}.json"):
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    files = {name.format(number): fields for number in range(20)}
    data = write_sidecars(tmp_path / "data", files)
    try:
        return compile_table(data, tmp_path / "t.parquet").shortfall
    except CutlineError as error:
        return str(error)


ADVICE = [
    ({**of_img2dataset(1)}, "{}.json", "add --dialect img2dataset."),
    ({**of_gallery_dl(1)}, "{}.jpg.json", "add --dialect gallery-dl."),
    (record(short_caption=..., text="A fox."), "{}.json", "add --caption-field long_caption."),
    (
        {"f": "a.jpg", "n": 4, "width_": 4, "height_": 5, "o": {"text": "x"}},
        "{}.json",
        "add --width-field width_ --height-field height_ --image-field f --caption-field o.text.",
    ),
    ({"text": "A fox."}, "{}.json", "add --measure --image-beside --caption-field text."),
]


@pytest.mark.parametrize(("fields", "name", "advice"), ADVICE)
def test_where_almost_all_are_rejected_the_option_that_helps_is_named(
    tmp_path, fields, name, advice
):
    said = refusal(tmp_path, fields, name=name)
    assert said.endswith(advice)
    assert f"The records have {', '.join(fields)}: " in said
    assert "--max-rejects" not in said


def test_where_no_option_helps_the_fields_are_named_all_the_same(tmp_path):
    said = refusal(tmp_path, {"colour": "red"})
    assert "The records have colour: name what you need of them with --image-field" in said


def test_a_fault_that_no_field_can_help_against_is_not_told_of_fields(tmp_path):
    said = refusal(tmp_path, b"[1]")
    assert said.endswith("the sidecar holds a list of 1). Correct them.")
    assert "--max-rejects" not in said


# Several captions


def test_several_captions_go_through_table_files_checks_and_exports(tmp_path):
    files = {}
    for number in range(3):
        fields = record(f"{number}.png", short_caption=["A fox.", "", "A\nred fox."])
        files |= {f"{number}.json": fields, f"{number}.png": image(1024, 768)}
    data = write_sidecars(tmp_path / "data", files)
    table = tmp_path / "t.parquet"
    options = with_rules(caption_fields=("short_caption", "long_caption"), every_caption=True)
    compile_table(data, table, options)
    every = ["A fox.", "A red fox.", "A longer story."]
    assert pq.read_schema(table).field("caption").type == CAPTION_LIST
    assert [row[2] for row in rows_of(table)] == [every] * 3
    write_captions(table, data)
    assert (tmp_path / "data" / "1.txt").read_text() == "\n".join(every)
    verified = verify_dataset(table, data)
    assert verified.ok
    assert not any(finding.count for finding in verified.findings.values())
    (tmp_path / "data" / "1.txt").write_text("A fox.")
    assert verify_dataset(table, data).findings["edited_caption_files"].count == 1
    export(table, tmp_path / "t.jsonl", "jsonl", data)
    first = json.loads((tmp_path / "t.jsonl").read_text().splitlines()[0])
    assert first["caption"] == "\n".join(every)
    export(table, f"{data}/metadata.parquet", "imagefolder", data)
    assert pq.read_table(f"{data}/metadata.parquet")["caption"][0].as_py() == every
    assert '"[""A fox."",""A red fox."",""A longer story.""]"' in as_csv(first_rows(table, 1))


@pytest.mark.parametrize("every", [False, True])
def test_captions_with_line_breaks_are_told_where_caption_files_are_written(tmp_path, every):
    files = numbered(4) | {"9.json": record("9.png", short_caption="A\nfox.")}
    data = write_sidecars(tmp_path / "data", files)
    for raw in (True, False):
        rules = {"raw_captions": raw, "every_caption": every}
        compile_table(data, tmp_path / "t.parquet", with_rules(**rules))
        listener = Listener()
        write_captions(tmp_path / "t.parquet", data, watcher=listener)
        told = "1 caption files hold a caption with a line break"
        warned = [line for line in listener.said if told in line]
        assert len(warned) == raw
