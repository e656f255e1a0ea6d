"""For each check: a dataset with exactly that fault; and an intact one, which passes."""

import os
import shutil
import stat
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import cutline
from cutline.errors import UsageError
from cutline.verify import verification
from cutline.verify.checks import CHECKS, FAILURE, INDEX_CHECKS
from intact import NAMES, SIZE, intact
from trees import make_unlistable

LEVELS = {check.name: check.level for check in CHECKS}


@pytest.fixture
def dataset(tmp_path):
    return intact(tmp_path)


def found(summary):
    """What was found, by check: the count and the examples."""
    return {
        name: (finding.count, list(finding.examples))
        for name, finding in summary.findings.items()
        if finding.count
    }


def test_an_intact_dataset_passes_every_check(dataset):
    summary = dataset.verify(sizes=True, expect=len(NAMES))
    assert found(summary) == {}
    assert list(summary.findings) == [one.name for one in CHECKS if one.name not in INDEX_CHECKS]
    assert (summary.ok, summary.shortfall, summary.orphans) == (True, "", {})
    assert (summary.rows, summary.images) == (len(NAMES), len(NAMES))


# Each gives what is to be found of its own fault.


def width_as_text(dataset):
    schema = pa.schema({name: pa.string() for name in ("width", "height", "caption", "filename")})
    dataset.rewrite([row | {"width": "64", "height": "48"} for row in dataset.rows()], schema)
    return 2, ["height is string, not a whole number", "width is string, not a whole number"]


def no_caption_column(dataset):
    table = pq.read_table(dataset.table).drop_columns("caption")
    pq.write_table(table, dataset.table)
    return 1, ["caption is not there, not text"]


def null_caption(dataset):
    dataset.change(1, caption=None)
    return 1, ["b.jpg"]


def null_filename(dataset):
    image = dataset.rows()[2]["filename"]
    for name in (image, "c d.txt", "c d.json"):
        os.remove(dataset.data / name)
    dataset.change(2, filename=None)
    return 1, ["row 2"]


def zero_width(dataset):
    dataset.change(0, width=0)
    dataset.change(1, height=-48)
    return 2, ["a.png", "b.jpg"]


def blank_caption(dataset):
    dataset.change(0, caption=" \t ")
    return 1, ["a.png"]


def two_lines(dataset):
    for row, caption in enumerate(("One.\nTwo.", "stray blank ")):
        dataset.change(row, caption=caption)
    cutline.write_captions(dataset.table, str(dataset.data))
    return 2, ["a.png", "b.jpg"]


def absolute_filenames(dataset):
    row = dataset.rows()[0]
    names = ["/etc/a.png", "../a.png", "sub/../../a.png", "sub\\a.png", "a.txt"]
    dataset.rewrite([*dataset.rows(), *(row | {"filename": name} for name in names)])
    return 5, sorted(names)


def row_twice(dataset):
    dataset.rewrite([*dataset.rows(), *dataset.rows()[:2], dataset.rows()[0]])
    return 3, ["a.png", "b.jpg"]


def image_gone(dataset):
    for name in ("a.png", "a.json", "a.txt", "sub/f.gif", "sub/f.json", "sub/f.txt"):
        os.remove(dataset.data / name)
    return 2, ["a.png", "sub/f.gif"]


def broken_link(dataset):
    for name in ("a.png", "a.json", "a.txt"):
        os.remove(dataset.data / name)
    (dataset.data / "a.png").symlink_to("nowhere.png")
    return 1, ["a.png"]


def large_letters(dataset):
    """The trainer looks for *.png and *.jpg, and has never heard of *.xyz."""
    for row, name in enumerate(("a.PNG", "b.xyz")):
        os.rename(dataset.data / dataset.rows()[row]["filename"], dataset.data / name)
        dataset.change(row, filename=name)
    return 2, ["a.PNG", "b.xyz"]


def orphan(dataset):
    Image.new("RGB", SIZE).save(dataset.data / "sub/new.JPG", "JPEG")
    (dataset.data / "sub/new.txt").write_text("A caption")
    return 1, ["sub/new.JPG (no_sidecar: no sidecar names it)"]


def captioned_orphan(dataset):
    dataset.add("z.png", width=None)
    dataset.prepare()
    (dataset.data / "z.txt").write_text("A caption")
    return 1, ["z.png (no_width: the record has no width)"]


def caption_file_gone(dataset):
    os.remove(dataset.data / "sub/deep/g.txt")
    return 1, ["sub/deep/g.bmp"]


def stale_caption_file(dataset):
    """The table has another caption by now, and the file is as cutline wrote it."""
    dataset.change(0, caption="Another caption.")
    return 1, ["a.txt"]


def other_caption(dataset):
    (dataset.data / "e.v2.txt").write_text("Something else")
    with open(dataset.data / "a.txt", "a") as file:
        file.write("\n")
    return 2, ["a.txt", "e.v2.txt"]


def long_caption_file(dataset):
    (dataset.data / "a.txt").write_text("x" * 5_000_000)
    return 1, ["a.txt"]


def empty_caption_files(dataset):
    (dataset.data / "a.txt").write_bytes(b"")
    (dataset.data / "b.txt").write_bytes(b" \r\n")
    return 2, ["a.txt", "b.txt"]


def folder_for_a_caption_file(dataset):
    os.remove(dataset.data / "a.txt")
    (dataset.data / "a.txt").mkdir()
    return 1, ["a.png"]


def stray_caption(dataset):
    (dataset.data / "sub/README.txt").write_text("Where these are from")
    return 1, ["sub/README.txt"]


def lone_sidecar(dataset):
    dataset.add_sidecar("y", image_name="gone.png")
    (dataset.data / "x.json").mkdir()
    return 2, ["x.json", "y.json"]


def unlistable_folder(dataset):
    make_unlistable(dataset.data)
    path = "x" * 250
    while os.path.isdir(dataset.data / path):
        path += "/" + "x" * 250
    return 1, [f"{path}: File name too long"]


def linked_folder(dataset):
    (dataset.data / "link").symlink_to(dataset.data / "sub")
    return 1, ["link"]


def empty_images(dataset):
    for name in ("a.png", "sub/f.gif"):
        (dataset.data / name).write_bytes(b"")
    return 2, ["a.png", "sub/f.gif"]


def other_content(dataset):
    (dataset.data / "a.png").write_bytes((dataset.data / "a.png").read_bytes()[:12])
    (dataset.data / "b.jpg").write_text("<!DOCTYPE html><html>404 Not Found</html>")
    (dataset.data / "c d.webp").write_text("version https://git-lfs.github.com/spec/v1\n")
    return 3, ["a.png", "b.jpg", "c d.webp"]


def cut_header(dataset):
    (dataset.data / "a.png").write_bytes((dataset.data / "a.png").read_bytes()[:20])
    return 1, ["a.png"]


def other_size(dataset):
    Image.new("RGB", (4, 4)).save(dataset.data / "b.jpg")
    return 1, [f"b.jpg (4x4, not {SIZE[0]}x{SIZE[1]})"]


def other_extension(dataset):
    os.rename(dataset.data / "a.png", dataset.data / "a.jpg")
    return 1, ["a.jpg (the table names it a.png: another extension)"]


FAULTS = [
    ("schema", width_as_text),
    ("schema", no_caption_column),
    ("nulls", null_caption),
    ("nulls", null_filename),
    ("bad_sizes", zero_width),
    ("empty_captions", blank_caption),
    ("unclean_captions", two_lines),
    ("unsafe_filenames", absolute_filenames),
    ("duplicate_filenames", row_twice),
    ("rows_without_image", image_gone),
    ("rows_without_image", broken_link),
    ("misnamed_images", other_extension),
    ("unlisted_images", large_letters),
    ("images_without_row", orphan),
    ("images_left_out", captioned_orphan),
    ("empty_images", empty_images),
    ("broken_images", other_content),
    ("unreadable_images", cut_header),
    ("wrong_sizes", other_size),
    ("images_without_caption_file", caption_file_gone),
    ("images_without_caption_file", folder_for_a_caption_file),
    ("differing_caption_files", stale_caption_file),
    ("edited_caption_files", other_caption),
    ("edited_caption_files", long_caption_file),
    ("empty_caption_files", empty_caption_files),
    ("caption_files_without_image", stray_caption),
    ("sidecars_without_image", lone_sidecar),
    ("linked_folders", linked_folder),
    ("unlisted_folders", unlistable_folder),
]


@pytest.mark.parametrize(("check", "spoil"), FAULTS, ids=[spoil.__name__ for _, spoil in FAULTS])
def test_a_fault_is_found_by_its_own_check_alone(dataset, check, spoil):
    expected = spoil(dataset)
    summary = dataset.verify()
    assert found(summary) == {check: expected}
    assert summary.ok == (LEVELS[check] != FAILURE)
    assert summary.as_json()["checks"][check] == {
        "ok": summary.ok, "count": expected[0], "examples": tuple(expected[1]),
    }  # fmt: skip
    assert bool(summary.shortfall) == (not summary.ok)


def test_a_column_that_is_there_twice_is_a_wrong_schema(dataset):
    table = pq.read_table(dataset.table)
    pq.write_table(table.append_column("width", table["caption"]), dataset.table)
    expected = {"schema": (1, ["width is int64 and string, not a whole number"])}
    assert found(dataset.verify()) == expected


def test_an_edge_that_needs_all_64_bits_is_no_bad_size(dataset):
    table = pq.read_table(dataset.table)
    wide = pa.array([2**64 - 1] * len(table), pa.uint64())
    pq.write_table(table.set_column(0, "width", wide), dataset.table)
    assert set(found(dataset.verify())) == {"wrong_sizes"}


def test_every_check_has_a_fault_that_it_finds():
    others = {"sidecar_count", *INDEX_CHECKS}  # have tests of their own, below and in trainers
    assert {check for check, _ in FAULTS} | others == set(LEVELS)


def test_another_number_of_sidecars_is_a_warning(dataset):
    summary = dataset.verify(expect=1_161_957)
    assert found(summary) == {"sidecar_count": (1_161_950, ["7 sidecars, not 1,161,957"])}
    assert summary.ok


# Sizes


def turned(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (48, 64)).save(path, exif=exif)


def test_a_size_that_is_not_the_images_own_is_found(dataset):
    Image.new("RGB", (48, 64)).save(dataset.data / "a.png")
    Image.new("RGB", (10, 20)).save(dataset.data / "sub/f.gif")
    summary = dataset.verify(sizes=True)
    examples = ["a.png (48x64, not 64x48)", "sub/f.gif (10x20, not 64x48)"]
    assert found(summary) == {"wrong_sizes": (2, examples)}
    assert not summary.ok
    assert found(dataset.verify()) == found(dataset.verify(headers=100)) == found(summary)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_pillow_and_the_trainer_turn_it(dataset, orientation):
    turned(dataset.data / "b.jpg", orientation)
    summary = dataset.verify(sizes=True)
    assert found(summary) == (
        {} if orientation >= 5 else {"wrong_sizes": (1, ["b.jpg (48x64, not 64x48)"])}
    )


@pytest.mark.parametrize("name", ["a.png", "c d.webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_an_image_of_another_format_is_turned_too(dataset, name, orientation):
    turned(dataset.data / name, orientation)
    assert found(dataset.verify(sizes=True)) == (
        {} if orientation == 6 else {"wrong_sizes": (1, [f"{name} (48x64, not 64x48)"])}
    )


def test_a_damaged_image_of_swapped_size_is_no_end_of_the_job(dataset):
    turned(dataset.data / "a.png", 6)
    whole = (dataset.data / "a.png").read_bytes()
    (dataset.data / "a.png").write_bytes(whole[:33])  # its size and nothing more
    assert found(dataset.verify(sizes=True)) == {"wrong_sizes": (1, ["a.png (48x64, not 64x48)"])}


def nothing(path):
    pass


def dangling_link(path):
    path.symlink_to("nowhere")


def socket_file(path):
    os.mknod(path, stat.S_IFSOCK | 0o600)


@pytest.mark.parametrize("make", [nothing, dangling_link, os.mkdir, os.mkfifo, socket_file])
def test_sizes_are_asked_of_files_alone(dataset, make):
    os.remove(dataset.data / "a.png")
    make(dataset.data / "a.png")
    names = {"rows_without_image", "sidecars_without_image", "caption_files_without_image"}
    assert set(found(dataset.verify(sizes=True))) == names


def test_an_image_without_a_header_is_found(dataset):
    (dataset.data / "a.png").write_bytes(b"\x89PNG")
    (dataset.data / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    (dataset.data / "c d.webp").write_bytes(b"RIFF\0\0")
    findings = dataset.verify(sizes=True).findings
    examples = findings["broken_images"].examples + findings["unreadable_images"].examples
    assert sorted(examples) == ["a.png", "b.jpg", "c d.webp"]


@pytest.mark.parametrize("sample", [1, 3, 7, 100])
def test_a_sample_has_so_many_rows_and_the_same_each_time(dataset, sample):
    for name in NAMES:
        (dataset.data / name).write_bytes(b"-")
    findings = [dataset.verify(sizes=True, headers=sample).findings for _ in range(2)]
    assert findings[0] == findings[1]
    assert findings[0]["broken_images"].count == min(sample, len(NAMES))


def test_without_being_asked_a_thousand_headers_are_read_and_all_with_sizes(dataset, monkeypatch):
    monkeypatch.setattr("cutline.verify.checks.SAMPLE", 2)
    for name in NAMES:
        (dataset.data / name).write_bytes(b"-")
    every = [dataset.verify(sizes=sizes).findings for sizes in (False, True)]
    counts = [findings["broken_images"].count for findings in every]
    assert counts == [2, len(NAMES)]


def test_an_empty_image_is_found_however_small_the_sample(dataset):
    """Another file of no content is no image: a link to an empty file is, and a folder is not."""
    for name in NAMES:
        (dataset.data / name).write_bytes(b"")
    os.remove(dataset.data / "a.png")
    (dataset.data / "a.png").symlink_to("b.jpg")
    summary = dataset.verify(headers=1, strategy="parquet")
    assert {name: count for name, (count, _) in found(summary).items()} == {
        "empty_images": len(NAMES)
    }
    assert "download the images again" in summary.shortfall


@pytest.mark.parametrize("sample", [0, -1])
def test_a_sample_of_no_image_is_refused(dataset, sample):
    with pytest.raises(UsageError, match="raise --headers"):
        dataset.verify(sizes=True, headers=sample)


# Other rules


def test_with_captions_in_the_table_no_caption_file_is_looked_at(dataset):
    for path in dataset.data.rglob("*.txt"):
        os.remove(path)
    assert not dataset.verify().ok
    summary = dataset.verify(strategy="parquet")
    assert (summary.ok, found(summary)) == (True, {})
    assert not any("caption_file" in name for name in summary.findings)


def test_what_is_hidden_counts_as_the_trainer_lists_it(dataset):
    """It lists hidden images, such as a Mac leaves; compile passes over hidden sidecars."""
    Image.new("RGB", SIZE).save(dataset.data / "._a.png")
    (dataset.data / ".hidden.json").write_text("{}")
    (dataset.data / ".cutline").mkdir(exist_ok=True)
    Image.new("RGB", SIZE).save(dataset.data / ".cutline/attempt.png")
    (dataset.data / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", SIZE).save(dataset.data / ".ipynb_checkpoints/a.png")
    (dataset.data / ".ipynb_checkpoints/a.json").write_text("{}")
    orphans = [
        "._a.png (system_file: macOS, Windows or a NAS has left it)",
        ".ipynb_checkpoints/a.png (no_sidecar: no sidecar names it)",
    ]
    assert found(dataset.verify()) == {
        "images_without_row": (2, orphans),
        "images_without_caption_file": (2, ["._a.png", ".ipynb_checkpoints/a.png"]),
    }


def test_a_link_to_an_image_is_an_image(dataset, tmp_path):
    os.rename(dataset.data / "a.png", tmp_path / "elsewhere.png")
    (dataset.data / "a.png").symlink_to(tmp_path / "elsewhere.png")
    assert found(dataset.verify()) == {}


def test_a_folder_with_the_name_of_an_image_is_none(dataset):
    (dataset.data / "folder.png").mkdir()
    Image.new("RGB", SIZE).save(dataset.data / "folder.png/x.png")
    assert found(dataset.verify())["images_without_row"] == (
        1, ["folder.png/x.png (no_sidecar: no sidecar names it)"],
    )  # fmt: skip


def test_names_that_are_not_utf_8_are_shown(dataset):
    with open(os.fsencode(dataset.data) + b"/caf\xe9.png", "wb"):
        pass
    assert found(dataset.verify())["images_without_caption_file"] == (1, ["caf\\xe9.png"])


def test_an_orphan_says_why_it_has_no_row(dataset):
    dataset.add("no.png", width=None)
    dataset.add("bad.png", width="wide")
    dataset.add("sub/odd.png", image_name="../odd.png")
    dataset.add("twin.png")
    dataset.add_sidecar("twin2", image_name="twin.jpg")
    Image.new("RGB", SIZE).save(dataset.data / "twin.jpg")
    dataset.prepare()
    dataset.add("late.png")
    dataset.add("stolen.png")
    dataset.add_sidecar("stolen", image_name="a.png")
    summary = dataset.verify()
    reasons = {
        example.split(" (")[0]: example.split(" (")[1].split(":")[0]
        for example in summary.findings["images_without_row"].examples
    }
    assert summary.orphans == {
        "bad_image_name": 1, "bad_width": 1, "duplicate": 1,
        "no_sidecar": 1, "no_width": 1, "not_compiled": 1,
    }  # fmt: skip
    assert reasons == {
        "bad.png": "bad_width",
        "late.png": "not_compiled",
        "no.png": "no_width",
        "stolen.png": "no_sidecar",
        "sub/odd.png": "bad_image_name",
    }


def test_rows_without_files_are_cut_into_ranges_as_files_are(dataset, monkeypatch):
    row = dataset.rows()[0]
    dataset.rewrite([row | {"filename": f"{number}.png"} for number in range(40)])
    shutil.rmtree(dataset.data)
    os.mkdir(dataset.data)
    seen = []
    share = verification.KeyRange
    monkeypatch.setattr(verification, "KEYS_A_TASK", 5)
    monkeypatch.setattr(
        verification, "KeyRange", lambda *fields: seen.append(fields) or share(*fields)
    )
    assert dataset.verify().findings["rows_without_image"].count == 40
    assert len(seen) == 9


def test_examples_do_not_depend_on_the_number_of_tasks(dataset, monkeypatch):
    for number in range(40):
        Image.new("1", (1, 1)).save(dataset.data / f"orphan {number}.png")
    before = dataset.verify().findings
    monkeypatch.setattr(verification, "KEYS_A_TASK", 5)
    monkeypatch.setattr("cutline.verify.list_folder.BATCH", 7)
    assert dataset.verify().findings == before
    assert before["images_without_row"].count == 40


def test_a_table_of_nothing_leaves_only_orphans(dataset):
    dataset.rewrite([])
    os.remove(dataset.root / "set.rejects.parquet")
    summary = dataset.verify()
    assert set(found(summary)) == {"images_without_row"}
    assert summary.orphans == {"not_compiled": len(NAMES)}


def test_what_only_a_hand_can_mend_is_said_with_the_command_for_afterwards(dataset):
    (dataset.data / "a.png").unlink()
    again = f"with `cutline compile {dataset.data} {dataset.table}`."
    assert dataset.verify().shortfall == (
        "The trainer would stop, or train on less than there is: rows without image 1; put the"
        f" images there or move their sidecars away, and compile the table again, {again}"
    )
    Image.new("RGB", (10, 20)).save(dataset.data / "a.png")
    assert dataset.verify(sizes=True).shortfall.endswith(
        f"wrong sizes 1; correct the sizes in the sidecars, and compile the table again, {again}"
    )


def test_each_kind_of_fault_has_its_mend(dataset):
    """Not the first alone, or whoever follows it has a new demand each time."""
    (dataset.data / "a.png").write_bytes(b"")
    (dataset.data / "b.jpg").unlink()
    Image.new("RGB", (10, 20)).save(dataset.data / "new.png")
    told = dataset.verify().shortfall
    assert (
        "; download empty images again, or move images without row and empty images, with their"
        " sidecars, out of the way with `"
    ) in told
    assert "; put the images there or move their sidecars away" in told
    assert "shards that they are from" not in told


def test_caption_files_that_fail_are_mended_by_writing_them_and_not_by_a_move(dataset):
    dataset.add("settled.png", width=None)
    dataset.prepare()
    (dataset.data / "settled.txt").write_text("It is passed over.")
    (dataset.data / "a.txt").unlink()
    found = dataset.verify()
    assert found.orphans
    assert found.shortfall.endswith(
        f"; write the caption files with `cutline captions {dataset.table} {dataset.data}`."
    )
    cutline.write_captions(dataset.table, str(dataset.data))
    assert dataset.verify().ok


def test_a_folder_of_other_images_is_told_and_nothing_is_to_be_moved(dataset):
    found = cutline.verify_dataset(dataset.table, str(dataset.root))
    assert found.mend is None
    assert found.shortfall.endswith(
        f"; most rows have no image in {dataset.root}: name the folder that they are of, or give"
        " the images the names that their sidecars have for them."
    )


def test_nothing_is_left_behind_and_nothing_changed(dataset):
    def state():
        paths = sorted(dataset.root.rglob("*"))
        return {
            path: (os.lstat(path).st_mtime_ns, path.is_file()) for path in paths if path.is_file()
        }

    before = state()
    dataset.verify(sizes=True)
    assert state() == before


def test_a_demo_with_all_faults_counts_as_it_says(tmp_path, client):
    expected = cutline.make_demo(tmp_path / "demo", cutline.DemoOptions(1000))
    table, data = str(tmp_path / "demo/t.parquet"), str(tmp_path / "demo/data")
    compiled = cutline.compile_table(data, table, client=client)
    cutline.write_captions(table, data, client=client)
    options = cutline.VerifyOptions(expect=expected.sidecars, sizes=True)
    summary = cutline.verify_dataset(table, data, options, client=client)
    counts = {name: count for name, (count, _) in found(summary).items()}
    assert counts == {
        "images_without_row": expected.orphans,
        "images_without_caption_file": expected.images_without_caption_file,
        "sidecars_without_image": expected.sidecars_without_image,
    }
    assert (summary.rows, summary.images) == (expected.rows, expected.images)
    assert sum(summary.orphans.values()) == expected.orphans
    assert Counter(compiled.rejects) >= Counter(summary.orphans)


# Memory

MEASURE = """
import sys
import dask
import pyarrow
import cutline
from cutline.verify import list_folder, verification

pyarrow.set_cpu_count(1)
pyarrow.set_io_thread_count(1)

list_folder.BATCH, verification.KEYS_A_TASK = 4_000, 5_000  # so that 10,000 rows are many of both
with dask.config.set(scheduler="synchronous"):
    summary = cutline.verify_dataset(sys.argv[1], sys.argv[2])
assert summary.ok, summary.shortfall
with open("/proc/self/status") as file:
    print(next(line for line in file if line.startswith("VmHWM")).split()[1])
"""


def peak_memory(folder, rows):
    """Verify so many rows in a process of its own: the driver and the workers, in KB."""
    data = folder / "data"
    data.mkdir(parents=True)
    names = [f"a name that is long, so that many of them are large {n:07}.png" for n in range(rows)]
    Image.new("RGB", (8, 8)).save(folder / "image", "PNG")
    (folder / "caption").write_text("A caption")
    for name in names:  # links cost a tenth of files; 65,000 to a file are the most
        os.link(folder / "image", data / name)
        os.link(folder / "caption", data / f"{name[:-4]}.txt")
    columns = {"width": [8] * rows, "height": [8] * rows, "caption": ["A caption"] * rows}
    table = str(folder / "t.parquet")
    pq.write_table(pa.table(columns | {"filename": names}), table, row_group_size=2_000)
    command = [sys.executable, "-c", MEASURE, table, str(data)]
    frugal = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(
        command, env={**os.environ, **frugal}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_memory_does_not_grow_with_the_dataset(tmp_path):
    """Five times as many rows: a set of the paths of their files would be 10 MB more."""
    small, large = (peak_memory(tmp_path / str(rows), rows) for rows in (10_000, 50_000))
    assert large < small + 2_500, f"{small:,} KB for 10,000 rows, {large:,} KB for 50,000"
