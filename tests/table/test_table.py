import dataclasses
import json
import os
import pickle
import shutil
import uuid
from pathlib import Path

import dask
import dask.dataframe
import duckdb
import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from cutline.cluster.running import tasks_of
from cutline.errors import CutlineError, UsageError
from cutline.plan.planning import make_plan, space_to_finish
from cutline.progress.watcher import SILENT
from cutline.record.judging import Rules
from cutline.record.reasons import REASONS
from cutline.sources.opening import open_source
from cutline.store import table_files
from cutline.table.compile_options import CompileOptions
from cutline.table.compiling import compile_table
from cutline.table.part_files import CompileContext
from cutline.table.rows import rows_bag, write_part
from outputs import check_against_oracle, files_of, ledger_of, ledger_path, rows_of
from sidecars import numbered, record, write_sidecars

OPTIONS = CompileOptions(partition_size=5, max_rejects=1)
FORTY = CompileOptions(partition_size=40, max_rejects=1)


@pytest.fixture(autouse=True)
def synchronous():
    """Without a client, work in this thread: a test says so where it wants another scheduler."""
    with dask.config.set(scheduler="synchronous"):
        yield


def with_rules(**rules):
    return dataclasses.replace(OPTIONS, rules=Rules(**rules))


# One dataset with everything in it, on every scheduler

FAULTS = [
    {"width": ...},
    {"width": "wide"},
    {"height": 0},
    {"image_name": None},
    {"image_name": "../up.png"},
    {"short_caption": ["", None]},
    {"short_caption": {"en": "A fox"}},
]
CAPTIONS = ["A fox.", " Two\nlines\r\n", ["", "From a list"], "夜 🦊", "a\u2028b\x85c", "x" * 3000]


def messy_sidecars():
    folders = ["", "a/", "a/deep/er/", "b c/", "夜/", b"caf\xe9/"]
    for number in range(300):
        folder = os.fsencode(folders[number % len(folders)])
        name = f"{number:04}"
        path = folder + f"{name}.json".encode()
        image = f"{name}.{('png', 'jpg', 'v2.jpeg', 'webp')[number % 4]}"
        if number % 9 == 4:
            yield path, record(**{"image_name": image} | FAULTS[number // 9 % len(FAULTS)])
        elif number % 31 == 5:
            yield path, [b"", b"[1]", b'{"a"', b"\xff", bytes(9)][number // 31 % 5]
        else:
            yield path, record(image, short_caption=CAPTIONS[number % len(CAPTIONS)])
        if number % 25 == 3:  # next to it, and at the end of its folder: the same sample again
            yield path.replace(b".json", b"-copy.json"), record(image)
            yield folder + f"zz-{name}.json".encode(), record(f"{name}.gif", width=1 + number)


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    """A dataset with every reject reason, nested, with duplicates near and far."""
    folder = write_sidecars(tmp_path_factory.mktemp("messy") / "data", dict(messy_sidecars()))
    os.mkdir(f"{folder}/a/folder.json")
    os.mkfifo(f"{folder}/a/pipe.json")
    os.symlink("nowhere", f"{folder}/dangling.json")
    os.symlink("a/0001.json", f"{folder}/link.json")
    with open(f"{folder}/large.json", "wb") as file:
        file.truncate(oracle.LARGEST + 1)
    return folder


@pytest.fixture(scope="module")
def reference(messy, tmp_path_factory):
    """The table of the messy dataset as this thread makes it: its path and its summary."""
    table = os.fspath(tmp_path_factory.mktemp("reference") / "t.parquet")
    with dask.config.set(scheduler="synchronous"):
        return table, compile_table(messy, table, FORTY)


def test_a_dataset_with_everything_in_it_compiles_as_the_oracle_says(messy, reference):
    table, summary = reference
    check_against_oracle(messy, table, summary)
    assert set(summary.rejects) == set(REASONS) - {"no_image"}  # of other dialects
    assert summary.parts == len(os.listdir(table_files.TableFiles.of(table).parts)) == 9


def test_a_duplicate_tells_which_sample_came_first(reference):
    lines = pq.read_table(ledger_path(reference[0])).to_pylist()
    details = {line["source"]: line["detail"] for line in lines if line["reason"] == "duplicate"}
    assert details["b c/0003.json"] == "its sample is that of b c/0003.webp, which came first"
    assert details["b c/zz-0003.json"] == details["b c/0003.json"]


def test_mismatches_of_stems_are_counted(messy, reference):
    count = 0
    for path in oracle.sidecar_paths(messy):
        data = oracle.read(os.path.join(os.fsencode(messy), path))
        verdict = oracle.judge(path, data) if isinstance(data, bytes) else data
        if verdict[0] == "row":
            stem = os.fsencode(os.path.splitext(verdict[4])[0])
            count += stem != path.removesuffix(b".json")
    assert reference[1].stem_mismatches == count > 50


def check_against_reference(messy, reference, table, partition_size, client=None):
    options = dataclasses.replace(OPTIONS, partition_size=partition_size)
    summary = compile_table(messy, table, options, client=client)
    assert files_of(table) == files_of(reference[0])
    changed = {"table": table, "parts": summary.parts, "seconds": summary.seconds}
    assert summary == dataclasses.replace(reference[1], stages=summary.stages, **changed)


@pytest.fixture(scope="module", params=[1, 2, 4])
def workers(request):
    """A client of a cluster of so many worker processes."""
    if request.param == 2:
        yield request.getfixturevalue("client")
        return
    with (
        LocalCluster(
            n_workers=request.param,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.parametrize("partition_size", [23, 10_000])
def test_the_tables_bytes_do_not_depend_on_the_workers_or_the_parts(
    messy, reference, workers, tmp_path, partition_size
):
    table = os.fspath(tmp_path / "t.parquet")
    check_against_reference(messy, reference, table, partition_size, workers)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("partition_size", [23, 10_000])
def test_the_tables_bytes_do_not_depend_on_the_scheduler_or_the_parts(
    messy, reference, scheduler, tmp_path, partition_size
):
    table = os.fspath(tmp_path / "t.parquet")
    with dask.config.set(scheduler=scheduler):
        check_against_reference(messy, reference, table, partition_size)


def test_a_copy_of_the_dataset_in_another_folder_gives_the_same_bytes(messy, reference, tmp_path):
    shutil.copytree(messy, tmp_path / "copy", symlinks=True, copy_function=copy_or_pipe)
    table = os.fspath(tmp_path / "other name.parquet")
    compile_table(os.fspath(tmp_path / "copy"), table, FORTY)
    assert files_of(table) == files_of(reference[0])


def copy_or_pipe(source, target):
    if os.path.isfile(source):
        shutil.copy(source, target)
    else:
        os.mkfifo(target)


def test_a_demo_comes_out_on_workers_as_it_says(demo_root, client, tmp_path):
    folder, expected = demo_root
    options = dataclasses.replace(OPTIONS, partition_size=100, max_rejects=0.1)
    table = os.fspath(tmp_path / "t.parquet")
    summary = compile_table(os.fspath(folder / "data"), table, options, client=client)
    assert set(summary.rejects) == set(REASONS) - {"no_image"}  # of other dialects
    for name in ("sidecars", "rows", "rejects", "stem_mismatches"):
        assert getattr(summary, name) == getattr(expected, name)
    check_against_oracle(os.fspath(folder / "data"), table, summary)


paths = st.lists(st.text("ab.-", min_size=1, max_size=2), max_size=2).map(
    lambda parts: "".join(f"{part}/" for part in parts)
)
contents = st.one_of(
    st.builds(
        record,
        st.sampled_from(["a.png", "a.jpg", "b.png", "..", "c.b.png"]),
        width=st.sampled_from([1, 64, "64", 0, None]),
        short_caption=st.text(max_size=4) | st.just("A fox."),
    ),
    st.sampled_from([b"", b"{}", b"[]", b"{"]),
)
datasets = st.dictionaries(
    st.builds("{}{}.json".format, paths, st.text("ab", min_size=1, max_size=3)),
    contents,
    min_size=1,
)


@settings(max_examples=30)
@given(datasets, st.integers(1, 8), st.booleans())
def test_any_small_dataset_compiles_as_the_oracle_says(
    tmp_path_factory, sidecars, partition_size, raw
):
    folder = tmp_path_factory.mktemp("any")
    source = write_sidecars(folder / "data", {f"x/{k}": v for k, v in sidecars.items()})
    if not oracle.sidecar_paths(source):
        return
    options = CompileOptions(Rules(raw_captions=raw), partition_size, max_rejects=1)
    table = os.fspath(folder / "t.parquet")
    summary = compile_table(source, table, options)
    check_against_oracle(source, table, summary, raw_captions=raw)


# The table is the recipe's


def digestible():
    """Sidecars that the recipe digests, as it would."""
    for number in range(120):
        name = f"{number * 7919 % 1000:04}"
        yield (
            f"{name}.json",
            record(
                f"{name}.{('jpg', 'png')[number % 2]}",
                width=... if number % 10 == 0 else [1024, "1792", 512.0][number % 3],
                height=[1024, 1792, "0512"][number % 3],
                short_caption=f"What {number} shows: 夜の狐, a “café” 🦊.",
            ),
        )


def sorted_rows(path):
    return pd.read_parquet(path).sort_values("filename", ignore_index=True)


def test_the_table_is_the_recipes(tmp_path):
    source = write_sidecars(tmp_path / "data", dict(digestible()))
    ours, theirs = (os.fspath(tmp_path / name) for name in ("ours.parquet", "theirs.parquet"))
    summary = compile_table(source, ours, OPTIONS)
    oracle.recipe_table(source, theirs)
    pd.testing.assert_frame_equal(sorted_rows(ours), sorted_rows(theirs))
    assert summary.rows == 108
    assert summary.rejects == {"no_width": 12}
    assert [row[3] for row in rows_of(ours)] == sorted(row[3] for row in rows_of(ours))


def test_raw_captions_are_the_recipes(tmp_path):
    captions = ["one\ntwo", " \tblanks \r\n", "a\0b\u2028c\x85", "plain"]
    sidecars = {
        f"{n}.json": record(f"{n}.png", short_caption=text) for n, text in enumerate(captions)
    }
    source = write_sidecars(tmp_path / "data", sidecars)
    ours, theirs = (os.fspath(tmp_path / name) for name in ("ours.parquet", "theirs.parquet"))
    compile_table(source, ours, with_rules(raw_captions=True))
    oracle.recipe_table(source, theirs)
    pd.testing.assert_frame_equal(sorted_rows(ours), sorted_rows(theirs))
    assert [row[2] for row in rows_of(ours)] == captions


def test_the_columns_have_the_recipes_names_order_and_types(tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(3))
    ours, theirs = (os.fspath(tmp_path / name) for name in ("ours.parquet", "theirs.parquet"))
    compile_table(source, ours, OPTIONS)
    oracle.recipe_table(source, theirs)
    types = [("width", pa.int64()), ("height", pa.int64())]
    types += [("caption", pa.string()), ("filename", pa.string())]
    assert pq.read_schema(ours) == pa.schema(types)
    for column in range(4):
        mine, recipes = (pq.ParquetFile(path).schema.column(column) for path in (ours, theirs))
        for trait in ("name", "physical_type", "logical_type"):
            assert str(getattr(mine, trait)) == str(getattr(recipes, trait))


# The parts are a dataset


@pytest.fixture(scope="module")
def with_an_empty_part(tmp_path_factory):
    """A table one of whose parts has no row: its outputs."""
    folder = tmp_path_factory.mktemp("parts")
    sidecars = numbered(5) | numbered(5, 5, width=...) | numbered(4, 10)
    table = os.fspath(folder / "t.parquet")
    source = write_sidecars(folder / "data", sidecars)
    with dask.config.set(scheduler="synchronous"):
        compile_table(source, table, with_rules(columns=(("long", "long_caption"),)))
    return table_files.TableFiles.of(table)


def by_pyarrow(folder):
    return pyarrow.dataset.dataset(folder).to_table()


def by_pyarrow_parquet(folder):
    return pq.read_table(folder)


def by_polars(folder):
    return pl.read_parquet(folder).to_arrow()


def by_polars_lazily(folder):
    return pl.scan_parquet(f"{folder}/").collect().to_arrow()


def by_duckdb(folder):
    return duckdb.sql(f"SELECT * FROM read_parquet('{folder}') ORDER BY filename").to_arrow_table()


def by_duckdb_glob(folder):
    return duckdb.sql(f"FROM '{folder}/*.parquet' ORDER BY filename").to_arrow_table()


def by_dask(folder):
    return pa.Table.from_pandas(dask.dataframe.read_parquet(folder).compute(), preserve_index=False)


@pytest.mark.parametrize(
    "read",
    [by_pyarrow, by_pyarrow_parquet, by_polars, by_polars_lazily, by_duckdb, by_duckdb_glob,
     by_dask],
)  # fmt: skip
def test_the_folder_of_the_parts_reads_as_the_table(with_an_empty_part, read):
    table = pq.read_table(with_an_empty_part.table)
    found = read(with_an_empty_part.parts)
    assert found.column_names == table.column_names
    assert found.cast(table.schema).equals(table)
    assert list(map(kind, found.schema.types)) == ["int64", "int64", "text", "text", "text"]


def kind(type_):
    """What a type is, however wide an engine makes the offsets of text."""
    text = (pa.string(), pa.large_string(), pa.string_view())
    return "text" if type_ in text else str(type_)


def test_there_is_nothing_but_parts_below_the_folder_of_the_parts(with_an_empty_part):
    names = os.listdir(with_an_empty_part.parts)
    assert sorted(names) == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    schemas = {pq.read_schema(f"{with_an_empty_part.parts}/{name}") for name in names}
    assert schemas == {pq.read_schema(with_an_empty_part.table)}


def test_nothing_else_is_left_behind(with_an_empty_part):
    folder = os.path.dirname(with_an_empty_part.table)
    assert sorted(os.listdir(folder)) == [
        "data", "t.cutline", "t.parquet", "t.parts", "t.rejects.parquet"
    ]  # fmt: skip
    own = ["merged", "plan.parquet", "rejects", "timings"]
    assert sorted(os.listdir(f"{folder}/t.cutline")) == own


# Other file systems


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_a_source_in_memory_gives_the_same_table(messy, reference, tmp_path, scheduler):
    fs = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}"
    for path in oracle.sidecar_paths(messy):
        data = oracle.read(os.path.join(os.fsencode(messy), path))
        if isinstance(data, bytes):
            fs.pipe(f"{folder}/{os.fsdecode(path)}", data)
        elif data[1] == "too_large":
            fs.pipe(f"{folder}/{os.fsdecode(path)}", bytes(oracle.LARGEST + 1))
        else:
            fs.pipe(f"{folder}/{os.fsdecode(path)}/in a folder", b"")
    table = os.fspath(tmp_path / "t.parquet")
    with dask.config.set(scheduler=scheduler):
        summaries = [compile_table(f"memory:/{folder}", table, FORTY) for _ in range(2)]
    fs.rm(folder, recursive=True)
    assert Path(table).read_bytes() == Path(reference[0]).read_bytes()
    assert ledger_of(table) == ledger_of(reference[0])
    assert [one.reused_parts for one in summaries] == [0, summaries[0].parts]


def test_a_source_behind_a_file_url_gives_the_same_table(messy, reference, client, tmp_path):
    table = os.fspath(tmp_path / "t.parquet")
    summary = compile_table(f"file://{messy}", table, FORTY, client=client)
    assert Path(table).read_bytes() == Path(reference[0]).read_bytes()
    assert ledger_of(table) == ledger_of(reference[0])
    assert summary.rejects == reference[1].rejects


# Options that cannot be


@pytest.mark.parametrize(
    "columns", [(("width", "w"),), (("", "w"),), (("a", "b"), ("a", "c"))]
)  # fmt: skip
def test_two_columns_of_one_name_are_refused(columns):
    with pytest.raises(UsageError, match="cannot have two columns"):
        with_rules(columns=columns)


@pytest.mark.parametrize(
    "changes",
    [
        {"partition_size": 0},
        {"max_rejects": -0.1},
        {"max_rejects": 1.1},
        {"compression": "lzma"},
        {"compression": None},
    ],
)
def test_options_that_cannot_be_are_refused(changes):
    with pytest.raises(UsageError):
        CompileOptions(**changes)


@pytest.mark.parametrize(
    "fields", [{"caption_fields": ()}, {"caption_fields": "short_caption"}, {"columns": {"a": "b"}}]
)
def test_rules_that_cannot_be_are_refused(fields):
    with pytest.raises(UsageError):
        Rules(**fields)


# What is still needed


def test_the_space_that_a_job_still_needs_is_what_its_missing_parts_and_the_table_take(context):
    parts = planned(context)
    assert space_to_finish(context.files) == 0  # nobody knows before the first part
    path = Path(context.files.part(0))
    path.write_bytes(bytes(1000))
    assert space_to_finish(context.files) == (2 * len(parts) - 1) * 1000


def test_the_space_is_not_known_of_what_is_damaged_or_gone(context):
    planned(context)
    Path(context.files.part(0)).write_bytes(bytes(1000))
    Path(context.files.plan).write_bytes(b"damaged")
    assert space_to_finish(context.files) == 0
    shutil.rmtree(context.files.parts)
    assert space_to_finish(context.files) == 0


# What Dask sees


@pytest.fixture
def context(tmp_path):
    source = write_sidecars(tmp_path / "data", numbered(200))
    with table_files.TableFiles.of(tmp_path / "t.parquet").locked(print) as files:
        yield CompileContext(open_source(source), files, OPTIONS)


def planned(context):
    options = context.options.planning
    return make_plan(context.source, context.files, options, None, SILENT).parts


def test_a_part_is_a_task_of_the_same_size_however_many_sidecars_it_has(context):
    sizes = []
    for partition_size in (200, 1):
        options = dataclasses.replace(OPTIONS, partition_size=partition_size)
        parts = planned(dataclasses.replace(context, options=options))
        tasks = tasks_of(rows_bag(context, parts))
        assert len(tasks) == len(parts) == 200 // partition_size
        sizes.append(len(pickle.dumps(tasks[0].dask[tasks[0].key])))
    assert sizes[0] == pytest.approx(sizes[1], abs=10)


def test_a_worker_whose_run_is_over_publishes_nothing(context):
    part = planned(context)[0]
    with (
        context.files.workspace.locked(print, force=True),
        pytest.raises(CutlineError, match="This run is over"),
    ):
        write_part(part, [], context)
    assert os.listdir(context.files.parts) == []


def test_the_summary_is_one_json_object(reference):
    body = json.loads(json.dumps(reference[1].as_json()))
    assert list(body) == [
        "job", "table", "sidecars", "rows", "rejects", "parts", "reused_parts", "stem_mismatches",
        "seconds",
    ]  # fmt: skip
    assert body["job"] == "compile"
    assert body["sidecars"] == body["rows"] + sum(body["rejects"].values())
