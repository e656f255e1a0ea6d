import json
import os
import subprocess
import sys

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cutline.errors import CutlineError, UsageError
from cutline.trainers.exporting import _stays_inside, export

ROWS = [
    # width, height, caption, filename
    (64, 32, "a cat, asleep", "a.png"),
    (32, 64, 'two "dogs" \\ and a caf\u00e9 \U0001f408', "b.c d.jpg"),
    (48, 48, "a line\u2028and another", "sub/deep/c.png"),
]

OUT = {"jsonl": "x.jsonl", "kohya": "x.json", "imagefolder": "data/metadata.parquet"}


class Dataset:
    def __init__(self, root):
        self.root = root
        self.data = str(root / "data")
        self.table = str(root / "x.parquet")
        os.makedirs(root / "data/sub/deep")

    def fill(self, rows=ROWS, **extra):
        width, height, caption, filename = zip(*rows, strict=True) if rows else ([], [], [], [])
        columns = {
            "width": pa.array(width, pa.int64()),
            "height": pa.array(height, pa.int64()),
            "caption": pa.array(caption, pa.string()),
            "filename": pa.array(filename, pa.string()),
        }
        pq.write_table(pa.table(columns | extra), self.table)

    def export(self, file_format, out=None):
        path = str(self.root / (out or OUT[file_format]))
        self.count = export(self.table, path, file_format, self.data)
        return path

    def samples(self):
        """What the trainers' formats have to say: absolute path, caption, size."""
        root = os.path.realpath(self.data)
        return [(f"{root}/{name}", text, [wide, high]) for wide, high, text, name in ROWS]


@pytest.fixture
def dataset(tmp_path):
    dataset = Dataset(tmp_path)
    dataset.fill()
    for width, height, _, filename in ROWS:
        Image.new("RGB", (width, height)).save(tmp_path / "data" / filename)
    return dataset


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Hugging Face `datasets`, offline and with a cache of its own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf" / "datasets"))
    import datasets  # noqa: PLC0415 - it reads the environment when it is imported

    datasets.disable_progress_bars()

    def load(kind, **where):
        cache = str(tmp_path / "hf" / "datasets")
        return datasets.load_dataset(kind, split="train", cache_dir=cache, **where)

    return load


def test_jsonl_loads_with_datasets(dataset, load):
    out = dataset.export("jsonl")
    rows = load("json", data_files=out)
    read = [(row["image_path"], row["caption"], row["image_size"]) for row in rows]
    assert read == dataset.samples()
    assert rows.column_names == ["image_path", "caption", "image_size"]
    assert dataset.count == 3


def test_jsonl_reads_as_the_trainers_read_it(dataset):
    """A line at a time in text mode, as sd-scripts and musubi-tuner do."""
    with open(dataset.export("jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [tuple(line.values()) for line in lines] == dataset.samples()
    for line in lines:
        with Image.open(line["image_path"]) as image:
            assert list(image.size) == line["image_size"]


@pytest.mark.parametrize("out", ["data/metadata.parquet", "metadata.parquet"])
def test_imagefolder_loads_with_datasets(dataset, load, out):
    folder = os.path.dirname(dataset.export("imagefolder", out))
    for name in ("a.json", "a.txt"):  # what else stands in DATA
        (dataset.root / "data" / name).write_text("{}")
    rows = load("imagefolder", data_dir=folder)
    assert rows.column_names == ["image", "caption", "width", "height"]
    read = [(row["width"], row["height"], row["caption"]) for row in rows]
    assert read == [row[:3] for row in ROWS]
    assert [row["image"].size for row in rows] == [row[:2] for row in ROWS]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "below/metadata.csv"])
def test_imagefolder_is_not_written_beside_metadata_that_would_spoil_it(dataset, load, name):
    out = dataset.export("imagefolder")
    other = dataset.root / "data" / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("file_name\na.png\n")
    with pytest.raises(ValueError, match="metadata files with different extensions"):
        load("imagefolder", data_dir=os.path.dirname(out))
    with pytest.raises(UsageError, match="metadata file of another kind"):
        dataset.export("imagefolder")


def test_imagefolder_keeps_to_the_four_columns(dataset):
    """Another that ends in _file_name would be loaded as images."""
    dataset.fill(source_file_name=["x", "y", "z"])
    assert pq.read_schema(dataset.export("imagefolder")).names == [
        "file_name",
        "caption",
        "width",
        "height",
    ]


def test_kohya_is_an_object_of_objects_by_path(dataset):
    with open(dataset.export("kohya"), encoding="utf-8") as file:
        read = json.load(file)
    assert read == {
        path: {"caption": caption, "image_size": size} for path, caption, size in dataset.samples()
    }
    assert list(read) == [path for path, _, _ in dataset.samples()]


def test_an_empty_table_gives_empty_files(dataset):
    dataset.fill([])
    with open(dataset.export("jsonl"), "rb") as file:
        assert file.read() == b""
    with open(dataset.export("kohya"), "rb") as file:
        assert orjson.loads(file.read()) == {}
    assert pq.read_table(dataset.export("imagefolder")).num_rows == 0
    assert dataset.count == 0


def test_rows_keep_their_order_over_many_batches(dataset):
    many = [(1, 2, str(number), f"{number}.png") for number in range(20_001)]
    dataset.fill(many)
    with open(dataset.export("jsonl"), "rb") as file:
        assert [orjson.loads(line)["caption"] for line in file] == [row[2] for row in many]
    assert list(orjson.loads(open(dataset.export("kohya"), "rb").read())) == [  # noqa: SIM115
        os.path.realpath(dataset.data) + "/" + row[3] for row in many
    ]
    names = pq.read_table(dataset.export("imagefolder"))["file_name"].to_pylist()
    assert names == [row[3] for row in many]


def test_a_table_that_another_program_has_written_is_taken(dataset):
    pq.write_table(
        pa.table(
            {
                "filename": pa.array(["a.png"], pa.large_string()),
                "extra": ["x"],
                "height": pa.array([32], pa.int32()),
                "width": pa.array([64], pa.uint16()),
                "caption": pa.array(["a cat"]).dictionary_encode(),
            }
        ),
        dataset.table,
    )
    with open(dataset.export("jsonl"), "rb") as file:
        assert orjson.loads(file.read())["image_size"] == [64, 32]


@pytest.mark.parametrize("file_format", OUT)
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1, 1, "a", "../a.png"), "outside of DATA"),
        ((1, 1, "a", "/etc/passwd"), "outside of DATA"),
        ((1, 1, "a", "b/../../a.png"), "outside of DATA"),
        ((1, 1, "a", "b\\..\\..\\a.png"), "outside of DATA"),
        ((1, 1, "a", ""), "outside of DATA"),
        ((1, 1, None, "a.png"), "without caption"),
        ((None, 1, "a", "a.png"), "without width"),
        ((1, 1, "a", None), "without filename"),
    ],
)
def test_a_row_that_somebody_has_edited_stops_it_and_leaves_the_old_file(
    dataset, file_format, row, words
):
    before = open(dataset.export(file_format), "rb").read()  # noqa: SIM115
    listing = sorted(os.listdir(dataset.root)), sorted(os.listdir(dataset.data))
    dataset.fill([*ROWS, row])
    with pytest.raises(CutlineError, match=words):
        dataset.export(file_format)
    with open(dataset.root / OUT[file_format], "rb") as file:
        assert file.read() == before
    assert (sorted(os.listdir(dataset.root)), sorted(os.listdir(dataset.data))) == listing


@pytest.mark.parametrize("name", ["a", "a.b/c d", "...", "a/..b", ".hidden", "a:b"])
def test_names_below_data_stay_inside(name):
    assert _stays_inside(name)


@pytest.mark.parametrize("name", ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a\0"])
def test_names_that_step_out_or_name_no_file_do_not(name):
    assert not _stays_inside(name)


@pytest.mark.parametrize(
    ("file_format", "out", "words"),
    [
        ("csv", "x.csv", "one of jsonl, imagefolder, kohya"),
        ("jsonl", "x.json", r"read from \*.jsonl"),
        ("kohya", "x.jsonl", r"read from \*.json"),
        ("kohya", "data/x.json", "pass for a sidecar"),
        ("kohya", "data/sub/x.json", "pass for a sidecar"),
        ("imagefolder", "data/x.parquet", "read from"),
        ("imagefolder", "data/sub/metadata.parquet", "or a folder above it"),
        ("jsonl", "none/x.jsonl", "make it first"),
    ],
)
def test_a_name_that_readers_would_not_know_is_refused(dataset, file_format, out, words):
    with pytest.raises(UsageError, match=words):
        dataset.export(file_format, out)
    assert not os.path.exists(dataset.root / out)


def test_what_is_not_there_or_no_table_is_said_in_a_sentence(dataset):
    out = str(dataset.root / "x.jsonl")
    with pytest.raises(UsageError, match="There is no folder"):
        export(dataset.table, out, "jsonl", str(dataset.root / "none"))
    with pytest.raises(UsageError, match="There is no"):
        export(str(dataset.root / "none.parquet"), out, "jsonl", dataset.data)
    pq.write_table(pa.table({"width": [1]}), dataset.table)
    with pytest.raises(UsageError, match="no column caption, filename, height"):
        dataset.export("jsonl")


def test_a_folder_whose_name_is_not_utf_8_is_refused(dataset):
    data = dataset.root / os.fsdecode(b"\xff")
    data.mkdir()
    with pytest.raises(UsageError, match=r"\\udcff.* is not UTF-8"):
        export(dataset.table, str(dataset.root / "x.jsonl"), "jsonl", str(data))


def test_text_that_is_not_utf_8_is_damage(dataset):
    dataset.fill([(1, 1, "a", "a.png")])
    table = pq.read_table(dataset.table)
    bad = pa.array([b"\xff"]).view(pa.string())
    pq.write_table(table.set_column(2, "caption", bad), dataset.table)
    with pytest.raises(CutlineError, match="is damaged"):
        dataset.export("jsonl")


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("width", [0.5], "a column width of double, not all of which can be int64: compile"),
        ("width", ["wide"], "a column width of string, not all of which can be int64: compile"),
        ("height", pa.array([2**63], pa.uint64()), "a column height of uint64, not all of which"),
        ("caption", [[1]], "a column caption of list<.*>, not all of which can be"),
        ("filename", [b"\xff"], "a column filename of binary, not all of which can be string"),
    ],
)
def test_a_column_of_another_type_is_named(dataset, name, column, words):
    row = {"width": [1], "height": [1], "caption": ["a"], "filename": ["a.png"]}
    pq.write_table(pa.table(row | {name: column}), dataset.table)
    with pytest.raises(UsageError, match=words):
        dataset.export("jsonl")


def test_a_column_that_is_there_twice_is_refused(dataset):
    table = pq.read_table(dataset.table)
    pq.write_table(table.append_column("width", table["height"]), dataset.table)
    with pytest.raises(UsageError, match="has more than one column width: compile it"):
        dataset.export("jsonl")


PEAK = """
import re, sys
from cutline.trainers import export
export(*sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def peak(dataset, file_format):
    """The most memory, in KB, that a process needs to export the table."""
    out = str(dataset.root / OUT[file_format])
    run = [sys.executable, "-c", PEAK, dataset.table, out, file_format, dataset.data]
    return int(subprocess.run(run, check=True, capture_output=True).stdout)


@pytest.mark.parametrize("file_format", OUT)
def test_memory_does_not_grow_with_the_table(dataset, file_format):
    """The rows of the larger table take 100 MB, in one row group."""
    row = (1024, 1024, "a" * 500, "a.png")
    dataset.fill([row] * 10_000)
    small = peak(dataset, file_format)
    dataset.fill([row] * 200_000)
    assert peak(dataset, file_format) - small < 50_000


def test_a_full_disk_leaves_the_old_file_and_nothing_else(dataset, monkeypatch):
    out = dataset.export("jsonl")
    before = sorted(os.listdir(dataset.root))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CutlineError, match="cannot be written: No space left"):
        dataset.export("jsonl")
    assert sorted(os.listdir(dataset.root)) == before
    assert os.path.getsize(out) > 0
