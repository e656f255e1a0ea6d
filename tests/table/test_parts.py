import dataclasses
import io
import itertools
import os
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutline import store
from cutline.errors import CutlineError
from cutline.plan import ledger
from cutline.plan.ledger import REJECTS
from cutline.plan.receipts import Receipt
from cutline.record.judging import Rules
from cutline.record.naming import key
from cutline.record.outcome import Reject, Row
from cutline.record.reasons import REASONS
from cutline.store import disk, table_files
from cutline.table import part_files
from cutline.table.compile_options import CompileOptions
from cutline.table.part_files import Sheet

OPTIONS = CompileOptions(Rules(columns=(("text", "t"), ("source", "s"))))


def filled(judged):
    """A sheet of [(path, outcome)]."""
    sheet = Sheet()
    sheet.fill(((path, outcome, (1, 2, 3)) for path, outcome in judged), None)
    return sheet


@pytest.fixture
def outputs(tmp_path):
    outputs = table_files.TableFiles.of(tmp_path / "t.parquet")
    outputs.workspace.make()
    outputs.make_folders()
    return outputs


ROW = Row(640, 480, "A fox.", "a.png", ("x", None))
REJECT = Reject("no_width", "the record has no width", "b.png")


def published(outputs, judged=((b"a.json", ROW), (b"b.json", REJECT))):
    """Publish a part, and give its receipt and its sheet."""
    sheet = filled(judged)
    rows = sheet.rows(OPTIONS)
    receipt = Receipt(3, "0123456789abcdef01", len(rows), sheet.reject_counts(), 0, ())
    part_files.publish(outputs, receipt, rows, sheet.rejects)
    return receipt, sheet


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
def test_a_sheet_holds_what_came_of_each_sidecar_in_order(judged):
    sheet = filled(judged)
    kept = [outcome for _, outcome in judged if isinstance(outcome, Row)]
    table = sheet.rows(OPTIONS)
    assert table.schema == OPTIONS.schema
    assert [tuple(line.values()) for line in table.to_pylist()] == [
        (*row[:4], *row.columns) for row in kept
    ]
    assert [tuple(line) for line in sheet.rejects] == [
        (position, path.decode(errors="backslashreplace"), *outcome)
        for position, (path, outcome) in enumerate(judged)
        if isinstance(outcome, Reject)
    ]
    assert part_files.rejects_table(sheet.rejects).schema == REJECTS
    assert sheet.reject_counts() == Counter(
        outcome.reason for _, outcome in judged if isinstance(outcome, Reject)
    )
    assert sheet.paths == [path for path, _ in judged]
    assert sheet.stem_mismatches == sum(
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


def test_a_part_is_read_as_it_was_published(outputs):
    receipt, sheet = published(outputs)
    assert part_files.read_rows(outputs, receipt).equals(sheet.rows(OPTIONS))
    assert part_files.read_rows(outputs, receipt, ["filename"]).to_pydict() == {
        "filename": ["a.png"]
    }
    assert part_files.read_rejects(outputs, receipt).equals(part_files.rejects_table(sheet.rejects))


def test_a_part_without_rows_or_without_rejects_can_be_read(outputs):
    receipt, _ = published(outputs, [(b"b.json", REJECT)])
    assert part_files.read_rows(outputs, receipt).schema == OPTIONS.schema
    assert len(part_files.read_rows(outputs, receipt)) == 0
    receipt, _ = published(outputs, [(b"a.json", ROW)])
    assert part_files.read_rejects(outputs, receipt).equals(REJECTS.empty_table())


def test_a_part_and_its_rejects_are_all_that_publishing_leaves(outputs):
    published(outputs)
    assert os.listdir(outputs.parts) == ["part-00003.parquet"]
    assert os.listdir(outputs.rejects) == ["00003-0123456789abcdef.parquet"]
    assert os.listdir(outputs.workspace.attempts) == []


def test_the_rejects_are_there_before_the_part_that_counts_them(outputs, monkeypatch):
    seen = []
    publish = disk.publish
    monkeypatch.setattr(
        store, "publish", lambda path, staging: seen.append(path) or publish(path, staging)
    )
    receipt, _ = published(outputs)
    assert seen == [outputs.part_rejects(3, receipt.digest), outputs.part(3)]


def test_a_part_that_another_run_replaced_is_not_taken_for_the_one_of_the_receipt(outputs):
    receipt, _ = published(outputs)
    other = dataclasses.replace(receipt, digest="another")
    with pytest.raises(CutlineError, match="was replaced while it was read: run it again"):
        part_files.read_rows(outputs, other)


def damage(path):
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 40)


def test_damaged_files_of_a_part_are_named_in_one_sentence(outputs):
    receipt, _ = published(outputs)
    damage(outputs.part(3))
    with pytest.raises(CutlineError, match=r"part-00003\.parquet is damaged .*: remove it and run"):
        part_files.read_rows(outputs, receipt)
    damage(outputs.part_rejects(3, receipt.digest))
    with pytest.raises(CutlineError, match=r"00003-\w+\.parquet is damaged .*: remove it and run"):
        part_files.read_rejects(outputs, receipt)


def test_a_bit_that_flips_in_a_page_is_damage_and_no_other_row(outputs):
    judged = [(b"%02d.json" % n, ROW._replace(filename=f"{n}.png")) for n in range(100)]
    receipt, _ = published(outputs, judged)
    path = outputs.part(3)
    first = pq.read_metadata(path).row_group(0).column(3)
    with open(path, "rb") as file:
        flipped = bytearray(file.read())
    flipped[first.data_page_offset + first.total_compressed_size - 5] ^= 1  # in its data
    with open(path, "wb") as file:
        file.write(flipped)
    with pytest.raises(CutlineError, match=r"is damaged .*checksum"):
        part_files.read_rows(outputs, receipt)


def test_rejects_of_other_columns_are_none(outputs):
    receipt, _ = published(outputs)
    path = outputs.part_rejects(3, receipt.digest)
    pq.write_table(pq.read_table(path).drop_columns("reason"), path)
    assert not ledger.has_rejects(outputs, receipt)


def test_a_part_has_its_rejects_if_they_are_there_and_whole(outputs):
    receipt, _ = published(outputs)
    path = outputs.part_rejects(3, receipt.digest)
    assert ledger.has_rejects(outputs, receipt)
    assert not ledger.has_rejects(outputs, dataclasses.replace(receipt, rejects={"no_width": 2}))
    os.truncate(path, 100)
    assert not ledger.has_rejects(outputs, receipt)
    os.remove(path)
    assert not ledger.has_rejects(outputs, receipt)
    assert ledger.has_rejects(outputs, dataclasses.replace(receipt, rejects={}))
