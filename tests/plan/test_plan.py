import json
import os
import random
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutline.plan.plan_file import Part, write_plan
from cutline.plan.planning import Plan
from cutline.plan.receipts import FORMAT, RECEIPT_KEY, Receipt, digest, read_receipt
from cutline.sources.line_format import LINES
from cutline.store.table_files import TableFiles
from cutline.store.table_store import LocalDisk

RECEIPT = Receipt(
    index=7,
    digest="d1",
    rows=3,
    rejects={"no_width": 1, "unreadable": 2},
    stem_mismatches=1,
    column_values=(3, 0),
)

STORE = LocalDisk()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    files = TableFiles.of(tmp_path_factory.mktemp("plan") / "t.parquet")
    files.workspace.make()
    return files


# The frozen listing

numbers = st.none() | st.integers(0, 2**40)
texts = st.none() | st.text()
shards = st.none() | st.sampled_from(["a.tar", "b.tar"])
lines = st.lists(
    st.tuples(st.binary(min_size=1), numbers, texts, shards, numbers, texts),
    min_size=1,
    max_size=40,
)


def table(lines):
    columns = zip(*lines, strict=True)
    return pa.table(list(map(pa.array, columns, LINES.types)), LINES)


@settings(max_examples=40)
@given(lines, st.integers(1, 50))
def test_the_parts_of_a_plan_hold_its_lines_in_order_and_are_of_one_shard(
    files, lines, partition_size
):
    parts = write_plan(table(lines), partition_size, files.store, files.plan)
    assert [part.index for part in parts] == list(range(len(parts)))
    assert sum(part.sidecars for part in parts) == len(lines)
    read = []
    for part in parts:
        assert part.lines().schema == LINES
        assert len(part.lines()) == part.sidecars <= partition_size
        assert set(part.lines()["shard"].to_pylist()) == {part.shard}
        read += [tuple(line.values()) for line in part.lines().to_pylist()]
    assert read == lines
    for part, after in pairwise(parts):
        assert part.sidecars == partition_size or part.shard != after.shard


def test_a_listing_that_comes_in_chunks_is_cut_where_the_partition_size_says(files):
    one = table([(b"a", 1, "x", None, None, None)] * 7)
    parts = write_plan(pa.concat_tables([one, one, one]), 5, files.store, files.plan)
    assert [len(part.lines()) for part in parts] == [5, 5, 5, 5, 1]


def test_what_is_left_to_do_is_every_part_without_a_receipt():
    parts = [Part(STORE, "plan", index, 10) for index in range(9)]
    done = [Receipt(index, "d", 0, {}, 0, ()) for index in (8, 0, 3)]
    assert [part.index for part in Plan(parts, done, None).missing] == [1, 2, 4, 5, 6, 7]
    assert Plan(parts, [], None).missing == parts


# Digests


def test_a_digest_tells_any_two_sets_of_inputs_apart():
    inputs = [
        ([b"a", b"bc"], [1, 2, None, "x"], b"o"),
        ([b"ab", b"c"], [1, 2, None, "x"], b"o"),
        ([b"abc"], [1, 2, None, "x"], b"o"),
        ([b"bc", b"a"], [1, 2, None, "x"], b"o"),
        ([b"a", b"bc"], [1, 2, None, "y"], b"o"),
        ([b"a", b"bc"], [1, 3, None, "x"], b"o"),
        ([b"a", b"bc"], [1, 2, "null", "x"], b"o"),
        ([b"a", b"bc"], [12, None, "x"], b"o"),
        ([b"a", b"bc"], [1, 2, None, "x"], b"p"),
        ([b"a", b"bc", b""], [1, 2, None, "x"], b"o"),
        ([], [], b""),
    ]
    assert len({digest(*each) for each in inputs}) == len(inputs)
    assert digest(*inputs[0]) == digest(*inputs[0])


def test_a_digest_takes_times_that_do_not_fit_in_64_bits():
    assert digest([b"a"], [2**64], b"") != digest([b"a"], [2**64 + 1], b"")
    assert digest([b"a"], [-(2**64)], b"") != digest([b"a"], [2**64], b"")


# Receipts


def write_part(path, receipt):
    table = pa.table({"width": [1, 2, 3]})
    table = table.replace_schema_metadata(receipt)
    pq.write_table(table, path)


def test_a_receipt_comes_back_from_the_footer(tmp_path):
    write_part(tmp_path / "part", RECEIPT.footer())
    assert read_receipt(STORE, f"{tmp_path}/part", 7) == RECEIPT
    assert RECEIPT.sidecars == 6


def test_a_receipt_is_small():
    assert len(RECEIPT.footer()[RECEIPT_KEY]) < 200


def changed(**fields):
    body = json.loads(RECEIPT.footer()[RECEIPT_KEY]) | fields
    return {RECEIPT_KEY: json.dumps(body).encode()}


WITHOUT_COUNT = json.loads(RECEIPT.footer()[RECEIPT_KEY])
del WITHOUT_COUNT["column_values"]


@pytest.mark.parametrize(
    "footer",
    [
        changed(one_count_more=7),
        {RECEIPT_KEY: json.dumps(WITHOUT_COUNT).encode()},
        changed(rows="seven"),
        changed(rejects={"bad_json": None}),
        changed(column_values=7),
        {RECEIPT_KEY: b"[1]"},
        {RECEIPT_KEY: b"7"},
    ],
)
def test_a_receipt_with_other_fields_than_todays_is_none(tmp_path, footer):
    write_part(tmp_path / "part", footer)
    assert read_receipt(STORE, f"{tmp_path}/part", 7) is None


@pytest.mark.parametrize(
    "footer", [{}, {b"cutline": b"{}"}, {b"cutline": b"garbage \xff"}, {b"other": b"{}"}]
)
def test_a_part_of_somebody_else_has_no_receipt(tmp_path, footer):
    write_part(tmp_path / "part", footer)
    assert read_receipt(STORE, f"{tmp_path}/part", 7) is None


def test_a_part_of_another_format_has_no_receipt(tmp_path):
    body = json.loads(RECEIPT.footer()[RECEIPT_KEY]) | {"format": FORMAT + 1}
    write_part(tmp_path / "part", {RECEIPT_KEY: json.dumps(body | {"new": 1})})
    assert read_receipt(STORE, f"{tmp_path}/part", 7) is None


def test_a_part_that_is_not_there_or_is_a_folder_has_no_receipt(tmp_path):
    assert read_receipt(STORE, f"{tmp_path}/nothing", 7) is None
    assert read_receipt(STORE, f"{tmp_path}", 7) is None


def test_a_truncated_part_has_no_receipt(tmp_path):
    write_part(tmp_path / "part", RECEIPT.footer())
    size = os.path.getsize(tmp_path / "part")
    for length in range(size - 1, -1, -1):
        os.truncate(tmp_path / "part", length)
        assert read_receipt(STORE, f"{tmp_path}/part", 7) is None


def test_garbage_has_no_receipt_even_with_the_magic_of_parquet_around_it(tmp_path):
    noise = random.Random(0)
    for size in [*range(30), 100, 1000, 10_000]:
        body = noise.randbytes(size)
        for data in (body, b"PAR1" + body + b"PAR1"):
            (tmp_path / "part").write_bytes(data)
            assert read_receipt(STORE, f"{tmp_path}/part", 7) is None
        footer = b"PAR1" + body + size.to_bytes(4, "little") + b"PAR1"
        (tmp_path / "part").write_bytes(footer)
        assert read_receipt(STORE, f"{tmp_path}/part", 7) is None
