from collections import Counter
from zlib import crc32

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from cutline.verify.sorted_runs import HASHES, HashRange, read_range, write_run

SCHEMA = pa.schema([("key", pa.binary()), ("number", pa.int64())])


@given(
    runs=st.lists(st.lists(st.lists(st.binary(max_size=4), max_size=20), max_size=4), max_size=3),
    of=st.integers(1, 9),
)
def test_every_record_is_in_the_range_of_its_key_and_in_no_other(tmp_path_factory, runs, of):
    folder = tmp_path_factory.mktemp("runs")
    paths, everything = [], []
    for batches in runs:
        paths.append(str(folder / f"{len(paths)}.arrow"))
        with write_run(paths[-1], SCHEMA) as run:
            for keys in batches:
                numbers = range(len(everything), len(everything) + len(keys))
                everything += zip(keys, numbers, strict=True)
                run.add(keys, pa.table([keys, numbers], SCHEMA))
    ranges = [HashRange(index, of) for index in range(of)]
    tables = [read_range(paths, SCHEMA, one) for one in ranges]
    records = [(row["key"], row["number"]) for table in tables for row in table.to_pylist()]
    assert Counter(records) == Counter(everything)
    for one, table in zip(ranges, tables, strict=True):
        first, end = one.bounds()
        assert all(first <= crc32(key) < end for key in table["key"].to_pylist())


@given(st.integers(1, 100_000))
def test_ranges_follow_each_other_from_the_first_hash_to_the_last(of):
    assert HashRange(0, of).bounds()[0] == 0
    assert HashRange(of - 1, of).bounds()[1] == HASHES
    assert all(
        HashRange(i, of).bounds()[1] == HashRange(i + 1, of).bounds()[0] for i in range(of - 1)[:99]
    )


def test_what_has_the_same_key_keeps_its_order(tmp_path):
    path = str(tmp_path / "run.arrow")
    with write_run(path, SCHEMA) as run:
        run.add([b"a", b"b", b"a"], pa.table([[b"a", b"b", b"a"], [1, 2, 3]], SCHEMA))
        run.add([b"a"], pa.table([[b"a"], [4]], SCHEMA))
    rows = read_range([path], SCHEMA, HashRange(0, 1)).to_pylist()
    assert [row["number"] for row in rows if row["key"] == b"a"] == [1, 3, 4]
