"""How long parts took: kept from run to run, and never in what must not change."""

from itertools import count

import dask
import pytest

from cutline import CompileOptions, compile_table
from cutline.plan.receipts import SHOWN, Timing, fastest, read_timings, slowest
from cutline.store.table_files import TableFiles
from sidecars import numbered, record, write_sidecars
from trees import tree

ANOTHER = {"000.json": record("000.png", short_caption="Another.")}


def timing(index, sidecars, seconds):
    return Timing(index, "d", sidecars, seconds, f"{index}-first.json", f"{index}-last.json")


@pytest.fixture
def source(tmp_path):
    write_sidecars(tmp_path / "data", numbered(9))
    return tmp_path / "data"


def compiled(source, **options):
    """Compile in parts of four, and give what is known of their time."""
    table = source.parent / "t.parquet"
    compile_table(str(source), str(table), CompileOptions(partition_size=4, **options))
    return read_timings(TableFiles.of(table))


def test_each_part_has_its_time_its_ends_and_its_number_of_sidecars(source):
    found = compiled(source)
    assert [(one.index, one.sidecars, one.first, one.last) for one in found] == [
        (0, 4, "000.json", "003.json"),
        (1, 4, "004.json", "007.json"),
        (2, 1, "008.json", "008.json"),
    ]
    assert all(one.seconds > 0 for one in found)


def test_parts_that_are_used_again_keep_the_time_that_they_took(source):
    before = compiled(source)
    assert compiled(source) == before
    write_sidecars(source, ANOTHER)
    after = compiled(source)
    assert after[1:] == before[1:]
    assert after[0] != before[0]


def test_parts_of_which_nothing_is_known_are_left_out(source):
    compiled(source)
    (source.parent / "t.cutline/timings").unlink()
    assert compiled(source) == []
    write_sidecars(source, ANOTHER)
    assert [one.index for one in compiled(source)] == [0]


def test_parts_that_are_no_more_are_forgotten(source):
    compiled(source)
    max(source.iterdir()).unlink()
    assert [one.index for one in compiled(source)] == [0, 1]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'[{"index": 0}]', b"\xff"])
def test_a_damaged_file_is_as_good_as_none(source, damage):
    compiled(source)
    (source.parent / "t.cutline/timings").write_bytes(damage)
    assert compiled(source) == []


def test_times_are_in_nothing_but_their_own_file(source, monkeypatch):
    times, trees = [], []
    for step in (1, 2):
        monkeypatch.setattr("cutline.table.rows.perf_counter", count(step=step).__next__)
        with dask.config.set(scheduler="synchronous"):  # or parts take turns at the clock
            times.append(compiled(source, fresh=True))
        trees.append(tree(source.parent))
    assert all(fast.seconds < slow.seconds for fast, slow in zip(*times, strict=True))
    changed = {path for path, data in trees[0].items() if trees[1][path] != data}
    assert changed == {"t.cutline/timings", "t.cutline/merged"}  # which has times of modification


def test_the_slowest_took_the_longest_and_the_fastest_did_the_most_a_second():
    whole = [timing(index, 5000, 1 + index / 100) for index in range(20)]
    ends = [timing(100 + index, 1, 0.01) for index in range(20)]  # of shards
    assert [one.index for one in slowest([*whole, *ends])] == [19, 18, 17, 16, 15]
    assert [one.index for one in fastest([*whole, *ends])] == [0, 1, 2, 3, 4]


def test_no_part_is_among_the_slowest_and_the_fastest():
    few = [timing(index, 5000, 1 + index) for index in range(SHOWN + 2)]
    assert [one.index for one in fastest(few)] == [0, 1]
    assert fastest(few[:SHOWN]) == []
