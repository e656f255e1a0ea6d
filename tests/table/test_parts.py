import dataclasses
import io
import itertools
import os
from collections import Counter
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutline.errors import CutlineError
from cutline.plan.ledger import REJECTS
from cutline.plan.receipts import Receipt, _has_rejects
from cutline.record.judging import Rules
from cutline.record.naming import key
from cutline.record.outcome import Reject, Row
from cutline.record.reasons import REASONS
from cutline.store import table_files
from cutline.store.table_store import LocalDisk
from cutline.table import part_files
from cutline.table.compile_options import CompileOptions
from cutline.table.part_files import PartColumns

OPTIONS = CompileOptions(Rules(columns=(("text", "t"), ("source", "s"))))


def filled(judged):
    """The columns of [(path, outcome)]."""
    columns = PartColumns()
    columns.fill(((path, outcome, (1, 2, 3)) for path, outcome in judged), None)
    return columns


@pytest.fixture
def files(tmp_path):
    files = table_files.TableFiles.of(tmp_path / "t.parquet")
    files.workspace.make()
    files.make_folders()
    return files


ROW = Row(640, 480, "A fox.", "a.png", ("x", None))
REJECT = Reject("no_width", "the record has no width", "b.png")


def published(files, judged=((b"a.json", ROW), (b"b.json", REJECT))):
    """Publish a part, and give its receipt and its columns."""
    columns = filled(judged)
    rows = columns.rows(OPTIONS)
    receipt = Receipt(3, "0123456789abcdef01", len(rows), columns.reject_counts(), 0, ())
    part_files.publish(files, receipt, rows, part_files.rejects_table(columns.rejects))
    return receipt, columns


# What a part came to, in columns

texts = st.text(max_size=8)
filenames = st.text("ab./夜", min_size=1, max_size=8)
rows = st.builds(
    Row,
    width=st.integers(1, 2**31 - 1),
    height=st.integers(1, 2**31 - 1),
    caption=texts,
    filename=filenames,
    columns=st.tuples(st.none() | texts, st.none() | texts),
)
rejects = st.builds(
    Reject, st.sampled_from(REASONS), detail=texts, filename=st.none() | filenames
)  # fmt: skip
sidecar_paths = st.builds("{}.json".format, filenames).map(str.encode) | st.just(b"caf\xe9.json")


@settings(max_examples=150)
@given(st.lists(st.tuples(sidecar_paths, rows | rejects), max_size=12))
def test_the_columns_hold_what_came_of_each_sidecar_in_order(judged):
    columns = filled(judged)
    kept = [outcome for _, outcome in judged if isinstance(outcome, Row)]
    table = columns.rows(OPTIONS)
    assert table.schema == OPTIONS.schema
    assert [tuple(line.values()) for line in table.to_pylist()] == [
        (*row[:4], *row.columns) for row in kept
    ]
    assert [tuple(line) for line in columns.rejects] == [
        (position, path.decode(errors="backslashreplace"), *outcome)
        for position, (path, outcome) in enumerate(judged)
        if isinstance(outcome, Reject)
    ]
    assert part_files.rejects_table(columns.rejects).schema == REJECTS
    assert columns.reject_counts() == Counter(
        outcome.reason for _, outcome in judged if isinstance(outcome, Reject)
    )
    assert columns.paths == [path for path, _ in judged]
    assert columns.stem_mismatches == sum(
        os.fsencode(os.path.splitext(outcome.filename)[0]) != path.removesuffix(b".json")
        for path, outcome in judged
        if isinstance(outcome, Row)
    )


names = st.lists(
    st.text("ab..", max_size=6) | st.text(st.characters(exclude_characters="/\0\n"), max_size=6),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=300)
@given(st.lists(names, max_size=20))
def test_keys_are_filenames_without_extension_as_python_splits_them(filenames):
    keys = part_files.keys(pa.array(filenames, pa.string())).to_pylist()
    assert keys == [os.path.splitext(name)[0] for name in filenames]
    assert keys == [key(name) for name in filenames]


# Files whose bytes depend on the rows alone


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(part_files, "ROW_GROUP", 7)


def written(tables, compression="zstd"):
    file = io.BytesIO()
    part_files.write_table(file, tables, tables[0].schema, compression)
    return file.getvalue()


@settings(max_examples=60)
@given(st.integers(0, 40), st.lists(st.integers(0, 40), max_size=6))
def test_a_file_is_the_same_however_its_rows_come_in_tables(count, cuts):
    table = filled([(b"a.json", ROW._replace(width=n + 1)) for n in range(count)]).rows(OPTIONS)
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    pieces = [table.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part_files, "ROW_GROUP", 7)
        whole = written([table])
        assert written(pieces) == whole
        assert written([pa.concat_tables(pieces)]) == whole
    file = pq.ParquetFile(io.BytesIO(whole))
    assert file.read().equals(table)
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sizes == [7] * (count // 7) + ([count % 7] if count % 7 else [])


def test_a_file_has_the_schema_and_nothing_of_the_machine(small_groups):
    table = filled([(b"a.json", ROW)] * 9).rows(OPTIONS)
    file = pq.ParquetFile(io.BytesIO(written([table], "snappy")))
    assert file.schema_arrow.equals(OPTIONS.schema, check_metadata=True)
    assert file.metadata.row_group(0).column(2).compression == "SNAPPY"
    assert set(file.metadata.metadata or {}) <= {b"ARROW:schema"}


# Publishing and reading


def test_a_part_is_read_as_it_was_published(files):
    receipt, columns = published(files)
    assert part_files.read_rows(files, receipt).equals(columns.rows(OPTIONS))
    assert part_files.read_rows(files, receipt, ["filename"]).to_pydict() == {"filename": ["a.png"]}
    assert part_files.read_rejects(files, receipt).equals(part_files.rejects_table(columns.rejects))


def test_a_part_without_rows_or_without_rejects_can_be_read(files):
    receipt, _ = published(files, [(b"b.json", REJECT)])
    assert part_files.read_rows(files, receipt).schema == OPTIONS.schema
    assert len(part_files.read_rows(files, receipt)) == 0
    receipt, _ = published(files, [(b"a.json", ROW)])
    assert part_files.read_rejects(files, receipt).equals(REJECTS.empty_table())


def test_a_part_and_its_rejects_are_all_that_publishing_leaves(files):
    published(files)
    assert os.listdir(files.parts) == ["part-00003.parquet"]
    assert os.listdir(files.rejects) == ["00003-0123456789abcdef.parquet"]
    assert os.listdir(files.workspace.attempts) == []


class NotingDisk(LocalDisk):
    """A disk that notes what is published, in order."""

    published: ClassVar = []

    def publish(self, name):
        self.published.append(name)
        return super().publish(name)


def test_the_rejects_are_there_before_the_part_that_counts_them(files):
    receipt, _ = published(dataclasses.replace(files, store=NotingDisk(files.store.staging)))
    assert NotingDisk.published == [files.part_rejects(3, receipt.digest), files.part(3)]


def test_a_part_that_another_run_replaced_is_not_taken_for_the_one_of_the_receipt(files):
    receipt, _ = published(files)
    other = dataclasses.replace(receipt, digest="another")
    with pytest.raises(CutlineError, match="was replaced while it was read: run it again"):
        part_files.read_rows(files, other)


def damage(path):
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 40)


def test_damaged_files_of_a_part_are_named_in_one_sentence(files):
    receipt, _ = published(files)
    damage(files.part(3))
    with pytest.raises(CutlineError, match=r"part-00003\.parquet is damaged .*: remove it and run"):
        part_files.read_rows(files, receipt)
    damage(files.part_rejects(3, receipt.digest))
    with pytest.raises(CutlineError, match=r"00003-\w+\.parquet is damaged .*: remove it and run"):
        part_files.read_rejects(files, receipt)


def test_a_bit_that_flips_in_a_page_is_damage_and_no_other_row(files):
    judged = [(b"%02d.json" % n, ROW._replace(filename=f"{n}.png")) for n in range(100)]
    receipt, _ = published(files, judged)
    path = files.part(3)
    first = pq.read_metadata(path).row_group(0).column(3)
    with open(path, "rb") as file:
        flipped = bytearray(file.read())
    flipped[first.data_page_offset + first.total_compressed_size - 5] ^= 1  # in its data
    with open(path, "wb") as file:
        file.write(flipped)
    with pytest.raises(CutlineError, match=r"is damaged .*checksum"):
        part_files.read_rows(files, receipt)


def test_rejects_of_other_columns_are_none(files):
    receipt, _ = published(files)
    path = files.part_rejects(3, receipt.digest)
    pq.write_table(pq.read_table(path).drop_columns("reason"), path)
    assert not _has_rejects(files, receipt)


def test_a_part_has_its_rejects_if_they_are_there_and_whole(files):
    receipt, _ = published(files)
    path = files.part_rejects(3, receipt.digest)
    assert _has_rejects(files, receipt)
    assert not _has_rejects(files, dataclasses.replace(receipt, rejects={"no_width": 2}))
    os.truncate(path, 100)
    assert not _has_rejects(files, receipt)
    os.remove(path)
    assert not _has_rejects(files, receipt)
    assert _has_rejects(files, dataclasses.replace(receipt, rejects={}))
