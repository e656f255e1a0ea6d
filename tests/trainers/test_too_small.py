"""What an entry leaves out because it is too small for it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cutline import LoaderOptions, RunOptions, run
from cutline.trainers.too_small import rows_below
from sidecars import as_bytes, numbered, write_sidecars

SIZES = [(1, 1), (800, 900), (1000, 749), (1000, 750), (512, 5000), (511, 5000), (2**31 - 1, 9)]


@pytest.fixture
def table(tmp_path):
    widths, heights = zip(*SIZES, strict=True)
    columns = {
        "width": pa.array(widths, pa.int32()),
        "height": pa.array(heights, pa.int32()),
        "caption": ["A cat."] * len(SIZES),
        "filename": [f"{number}.png" for number in range(len(SIZES))],
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    return str(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("kind", "least", "is_below"),
    [
        ("area", 0.75, lambda width, height: width * height < 750_000),
        ("pixel", 512, lambda width, height: min(width, height) < 512),
        ("pixel_area", 1000, lambda width, height: width * height < 1_000_000),
        ("pixel_area", 1000.5, lambda width, height: width * height < 1000.5**2),
    ],
)
def test_rows_are_counted_in_the_unit_of_the_entry(table, kind, least, is_below):
    small = rows_below(table, {"minimum_image_size": least, "resolution_type": kind})
    assert small.rows == sum(is_below(*size) for size in SIZES)
    assert small.rows + small.others == len(SIZES)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"minimum_image_size": 0, "resolution_type": "area"},
        {"minimum_image_size": "0.75"},
        {"minimum_image_size": 0.75, "resolution_type": "furlongs"},
        {"minimum_image_size": 1e-6},
    ],
)
def test_an_entry_that_asks_for_no_size_leaves_no_row_out(table, entry):
    assert rows_below(table, entry) is None


def dataset(folder, *sizes):
    for number, (width, height) in enumerate(sizes):
        name = f"{number:03}"
        fields = numbered(len(sizes))[f"{name}.json"] | {"width": width, "height": height}
        image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4) + height.to_bytes(4)
        write_sidecars(folder / "data", {f"{name}.json": fields})
        (folder / f"data/{name}.png").write_bytes(image + b"\x08\x02\0\0\0")
    return folder


def test_a_run_whose_entry_leaves_some_rows_out_says_so(tmp_path):
    summary = run(dataset(tmp_path / "x", (64, 64), (1024, 1024), (2000, 300)))
    assert summary.shortfall == ""
    (line,) = summary.loader.lines
    assert line.startswith(
        "2 of 3 rows are of images below 0.75 megapixels, and the trainer leaves"
    )


def test_a_run_whose_entry_leaves_all_rows_out_fails_until_that_is_lower(tmp_path):
    root = dataset(tmp_path / "x", (64, 64), (64, 96))
    told = "lower minimum_image_size of the entry 'x' in"
    assert told in run(root).shortfall
    path = root / "multidatabackend.json"
    entries = json.loads(path.read_bytes())
    entries[0]["minimum_image_size"] = 0.001
    path.write_bytes(as_bytes(entries))
    assert run(root).shortfall == ""
    path.unlink()
    assert run(root, chosen=RunOptions(loader=LoaderOptions(minimum_image_size=0))).shortfall == ""
