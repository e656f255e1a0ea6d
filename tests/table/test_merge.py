import dataclasses
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import dataset

from cutline.errors import CutlineError
from cutline.plan.ledger import LEDGER
from cutline.plan.plan_file import write_plan
from cutline.plan.receipts import Receipt, digest, prefixes, read_receipt, still_settled
from cutline.record.outcome import Reject, Row
from cutline.sources.line_format import lines_of
from cutline.store import table_files
from cutline.table import duplicates, merge, part_files
from cutline.table.compile_options import CompileOptions
from cutline.table.part_files import PartColumns

OPTIONS = CompileOptions(max_rejects=1)


def files_in(folder):
    files = table_files.TableFiles.of(f"{folder}/t.parquet")
    files.workspace.make()
    files.make_folders()
    return files


@pytest.fixture
def files(tmp_path):
    return files_in(tmp_path)


def row(filename, caption="A fox."):
    return Row(640, 480, caption, filename)


def no_width(filename=None):
    return Reject("no_width", "the record has no width", filename)


def make_parts(files, partition_size, outcomes):
    """Publish what sidecars came to, as parts; sidecar number 7 is 007.json."""
    paths = [f"{number:03}.json".encode() for number in range(len(outcomes))]
    plan = write_plan(
        lines_of(pa.array(paths, pa.binary())), partition_size, files.store, files.plan
    )
    return [make_part(files, part, partition_size, paths, outcomes) for part in plan]


def make_part(files, part, partition_size, paths, outcomes):
    start = part.index * partition_size
    own = slice(start, start + part.sidecars)
    columns = PartColumns()
    columns.fill(((*one, (0,)) for one in zip(paths[own], outcomes[own], strict=True)), None)
    table = columns.rows(OPTIONS)
    made_of = digest(columns.paths, [], repr(outcomes[own]).encode())
    counts = columns.reject_counts()
    receipt = Receipt(part.index, made_of, len(table), counts, columns.stem_mismatches, ())
    part_files.publish(files, receipt, table, part_files.rejects_table(columns.rejects))
    return receipt


def receipts_of(files):
    """The receipts of all parts, as the next run finds them."""
    found = [read_receipt(files.store, f"{files.parts}/{name}", index)
             for index, name in enumerate(sorted(os.listdir(files.parts)))]  # fmt: skip
    assert None not in found
    return found


def merged(files, partition_size, outcomes, options=OPTIONS):
    return merge.merge(files, make_parts(files, partition_size, outcomes), options)


def rows_of(files):
    return [tuple(line.values()) for line in pq.read_table(files.table).to_pylist()]


def ledger_of(files):
    return [tuple(line.values()) for line in pq.read_table(files.ledger).to_pylist()]


# Duplicates, in order


def oracle(outcomes):
    """The rows and the ledger of a merge: one loop, and a dictionary of who has the key."""
    rows, ledger, holders = [], [], {}
    for number, outcome in enumerate(outcomes):
        source = f"{number:03}.json"
        if isinstance(outcome, Reject):
            ledger.append((source, *outcome))
            continue
        key = os.path.splitext(outcome.filename)[0]
        if key in holders:
            detail = f"its sample is that of {holders[key]}, which came first"
            ledger.append((source, "duplicate", detail, outcome.filename))
        else:
            holders[key] = outcome.filename
            rows.append(outcome[:4])
    return rows, ledger


def check_against_oracle(files, partition_size, outcomes):
    result = merged(files, partition_size, outcomes)
    rows, ledger = oracle(outcomes)
    assert rows_of(files) == rows
    assert ledger_of(files) == ledger
    assert result.rows == len(rows)
    assert sum(result.rejects.values()) == len(ledger)
    assert result.rejects == {
        reason: sum(line[1] == reason for line in ledger) for reason in {line[1] for line in ledger}
    }
    assert len(outcomes) == result.rows + sum(result.rejects.values())


OUTCOMES = [
    row("a.png", "first"),
    no_width(),
    row("a.png", "the same name in the same part"),
    row("b.png"),
    row("a.jpg", "another extension in the next part"),
    no_width("b.png"),
    row("sub/a.png", "another folder"),
    row("b.png", "the same name in another part"),
    row("a", "no extension"),
    no_width(),
    row(".png"),
    row(".png", "a hidden name has no extension"),
    row("a.b.png"),
    row("a.b.jpg"),
    row("a.c.png"),
]


@pytest.mark.parametrize("partition_size", [1, 2, 4, 7, 100])
def test_the_first_of_a_key_keeps_it_and_the_ledger_tells_the_others(files, partition_size):
    check_against_oracle(files, partition_size, OUTCOMES)
    duplicates = [line for line in ledger_of(files) if line[1] == "duplicate"]
    assert [line[0] for line in duplicates] == [
        "002.json", "004.json", "007.json", "008.json", "011.json", "013.json",
    ]  # fmt: skip
    assert duplicates[1][2:] == ("its sample is that of a.png, which came first", "a.jpg")


@pytest.mark.parametrize("partition_size", [3, 5, 16])
def test_the_tables_bytes_do_not_depend_on_the_size_of_the_parts(tmp_path, partition_size):
    for name, size in (("one", 1), ("other", partition_size)):
        os.mkdir(tmp_path / name)
        merged(files_in(tmp_path / name), size, OUTCOMES)
    for file in ("t.parquet", "t.rejects.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


OWN = [row(f"{number:03}.png") for number in range(8)]


def test_rows_named_as_their_sidecars_are_not_looked_through(files, monkeypatch):
    monkeypatch.setattr(duplicates, "_filenames", None)
    check_against_oracle(files, 3, [*OWN, no_width()])


@pytest.mark.parametrize("place", [0, 4, 8])
def test_a_row_named_as_anothers_sidecar_is_held_against_all(files, place):
    outcomes = [no_width(), *OWN[1:]]
    outcomes.insert(place, row("005.jpg"))
    check_against_oracle(files, 3, outcomes)


own = [f"{number:03}" for number in range(6)]  # of sidecars that are there
names = st.sampled_from([*own, "a", "b", ".a", "a.b", "x/a", "x.y/a", "x.y/.a"])
extensions = st.sampled_from(["", ".png", ".jpg", ".", "..png"])
outcomes = st.lists(
    st.builds(str.__add__, names, extensions).map(row) | st.just(no_width()),
    min_size=1,
    max_size=24,
)


@settings(max_examples=40)
@given(outcomes, st.integers(1, 25))
def test_any_rows_and_rejects_are_merged_as_one_loop_would(
    tmp_path_factory, outcomes, partition_size
):
    files = files_in(tmp_path_factory.mktemp("merge"))
    check_against_oracle(files, partition_size, outcomes)


@pytest.mark.parametrize("hashes", [1, 2, 3])
def test_different_keys_of_the_same_hash_are_no_duplicates(files, monkeypatch, hashes):
    hashed = duplicates._hashed
    monkeypatch.setattr(duplicates, "_hashed", lambda keys: hashed(keys) % hashes)
    check_against_oracle(files, 4, OUTCOMES)


def test_the_same_key_has_the_same_hash_and_others_have_others():
    names = ["a.png", "a.jpg", "a", "b.png", "x/a.png", "a.b.png", "a.c.png", ".png", ".jpg"]
    hashes = duplicates._hashed(part_files.keys(pa.array(names))).tolist()
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(set(hashes)) == len(names) - 2


def test_a_merge_without_a_row_gives_an_empty_table_of_the_schema(files):
    assert merged(files, 2, [no_width()] * 5).rows == 0
    assert pq.read_schema(files.table) == OPTIONS.schema
    assert len(pq.read_table(files.table)) == 0
    assert len(pq.read_table(files.ledger)) == 5


def test_a_merge_without_a_reject_gives_an_empty_ledger(files):
    assert merged(files, 2, [row("a.png"), row("b.png")]).rejects == {}
    assert pq.read_schema(files.ledger) == LEDGER
    assert len(pq.read_table(files.ledger)) == 0


# The parts are the table


@pytest.mark.parametrize("partition_size", [1, 2, 4, 7, 100])
def test_the_parts_read_as_a_dataset_are_the_table(files, partition_size):
    merged(files, partition_size, OUTCOMES)
    assert (
        dataset.dataset(files.parts, format="parquet").to_table().equals(pq.read_table(files.table))
    )
    for receipt in receipts_of(files):
        rejects = part_files.read_rejects(files, receipt)
        assert receipt.rows == len(part_files.read_rows(files, receipt))
        assert sum(receipt.rejects.values()) == len(rejects)
        assert rejects["position"].to_pylist() == sorted(set(rejects["position"].to_pylist()))


@settings(max_examples=40)
@given(outcomes, st.integers(1, 25), st.data())
def test_a_merge_that_was_killed_anywhere_comes_to_the_same(
    tmp_path_factory, outcomes, partition_size, data
):
    files = files_in(tmp_path_factory.mktemp("merge"))
    receipts = make_parts(files, partition_size, outcomes)
    settled = data.draw(st.sets(st.sampled_from(range(len(receipts)))), "parts that got settled")
    every = dict(zip(range(len(receipts)), prefixes(receipts), strict=True))
    for index, later in duplicates.find(files, receipts).items():
        if index in settled:
            duplicates._without(later, files, receipts[index], every[index])
    merge.merge(files, still_settled(receipts_of(files)), OPTIONS)
    rows, ledger = oracle(outcomes)
    assert rows_of(files) == rows
    assert ledger_of(files) == ledger
    whole = files_in(tmp_path_factory.mktemp("whole"))
    merged(whole, partition_size, outcomes)
    for receipt in receipts:
        part = files.part(receipt.index), whole.part(receipt.index)
        assert Path(part[0]).read_bytes() == Path(part[1]).read_bytes()


def test_a_part_holds_as_long_as_those_before_it_are_as_they_were(files):
    outcomes = [row("a.png"), row("b.png"), row("a.jpg"), row("c.png"), row("c.jpg")]
    merged(files, 1, outcomes)
    found = receipts_of(files)
    assert [bool(one.settled) for one in found] == [False, False, True, False, True]

    def held(of):
        return [one.index for one in still_settled(of)]

    assert held(found) == [0, 1, 2, 3, 4]
    assert held(found[:-1]) == [0, 1, 2, 3]
    assert held(found[1:]) == [1, 3]
    assert held([*found[:3], found[4]]) == [0, 1, 2]
    changed = dataclasses.replace(found[3], digest="another")
    assert held([*found[:3], changed, found[4]]) == [0, 1, 2, 3]


# Merged once


def identities(files):
    """Which files the table and the ledger are; kept, so that no other gets the same number."""
    for path in (files.table, files.ledger):
        os.link(path, f"{path}.{len(os.listdir(os.path.dirname(path)))}")
    return os.stat(files.table).st_ino, os.stat(files.ledger).st_ino


def contents(files):
    return Path(files.table).read_bytes(), Path(files.ledger).read_bytes()


def test_what_is_merged_already_is_not_merged_again(files):
    receipts = make_parts(files, 4, OUTCOMES)
    first = merge.merge(files, receipts, OPTIONS)
    before = identities(files)
    again = merge.merge(files, receipts_of(files), OPTIONS)
    assert (again.rows, again.rejects) == (first.rows, first.rejects)
    assert identities(files) == before


def touch(path):
    os.utime(path, ns=(0, 1))


def rewrite(path):
    with open(path, "rb") as file:
        data = file.read()
    os.remove(path)
    with open(path, "wb") as file:
        file.write(data[:-1] + b"?")


def no_text(path):
    with open(path, "wb") as file:
        file.write(b'{"digest":"\xff"}')


@pytest.mark.parametrize("harm", [os.remove, touch, rewrite, no_text])
@pytest.mark.parametrize("name", ["table", "ledger", "merged"])
def test_what_somebody_touched_is_merged_again(files, harm, name):
    receipts = make_parts(files, 4, OUTCOMES)
    merge.merge(files, receipts, OPTIONS)
    before = contents(files)
    harm(getattr(files, name))
    merge.merge(files, receipts_of(files), OPTIONS)
    assert contents(files) == before


@pytest.mark.parametrize(
    "changes", [{"compression": "gzip"}, {"fresh": True}], ids=["compression", "fresh"]
)
def test_other_options_are_merged_again(files, changes):
    receipts = make_parts(files, 4, OUTCOMES)
    merge.merge(files, receipts, OPTIONS)
    before = identities(files)
    merge.merge(files, receipts_of(files), dataclasses.replace(OPTIONS, **changes))
    assert not set(before) & set(identities(files))


def test_other_parts_are_merged_again(files):
    merged(files, 4, OUTCOMES)
    check_against_oracle(files, 4, OUTCOMES[:-1])
    check_against_oracle(files, 4, OUTCOMES[::-1])


# Too many rejects

MIXED = [
    Reject("bad_json", "broken at 1"),
    row("a.png"),
    Reject("bad_json", "broken at 2"),
    row("a.jpg"),
    Reject("no_caption", "no text in short_caption; the record has title, width"),
    Reject("unreadable", "it is a folder"),
    row("b.png"),
    *[no_width()] * 3,
    row("a.gif"),
    Reject("bad_json", "broken at 3"),
]


def test_too_many_rejects_are_told_by_their_top_reasons_with_an_example_of_each(files):
    with pytest.raises(CutlineError) as caught:
        merged(files, 3, MIXED, CompileOptions(max_rejects=0.5))
    assert str(caught.value) == (
        "7 of 12 sidecars were rejected, more than the share of 0.5 that --max-rejects allows, and"
        " the table was left as it was: 3 bad_json (000.json: broken at 1); 2 duplicate (003.json:"
        " its sample is that of a.png, which came first); 1 no_caption (004.json: no text in"
        " short_caption; the record has title, width); correct them, or raise --max-rejects."
    )


@pytest.mark.parametrize(
    ("outcome", "mend"),
    [
        (Reject("no_caption", "no text"), "name another --caption-field, or raise"),
        (Reject("no_image_name", "no"), "check that these are the sidecars you mean, or"),
        (row("same.png"), "make a table for each of the folders or shards that share names, or"),
        (Reject("bad_width", "width is 0"), "correct them, or raise"),
    ],
)
def test_what_to_do_about_too_many_rejects_is_said_by_their_reason(files, outcome, mend):
    with pytest.raises(CutlineError, match=mend):
        merged(files, 3, [row("same.jpg"), *[outcome] * 4], CompileOptions())


@pytest.mark.parametrize("outcome", [no_width(), Reject("bad_json", "broken")])
def test_a_table_without_a_row_replaces_none(files, outcome):
    merged(files, 3, OUTCOMES)
    before = contents(files), identities(files)
    with pytest.raises(
        CutlineError, match=r"^No sidecar gave a row \(.* 4\): .* left as it was\.$"
    ):
        merged(files, 3, [outcome] * 4, CompileOptions(max_rejects=1))
    assert (contents(files), identities(files)) == before


def test_too_many_rejects_leave_what_was_there(files):
    merged(files, 3, OUTCOMES)
    before = contents(files), identities(files)
    with pytest.raises(CutlineError):
        merged(files, 3, MIXED, CompileOptions(max_rejects=0.1))
    assert (contents(files), identities(files)) == before


def test_rejects_up_to_the_share_are_borne_and_no_width_is_not_counted(files):
    outcomes = [row(f"{n}.png") for n in range(9)] + [no_width()] * 9
    rejects = [Reject("bad_json", "broken")] * 2
    borne = CompileOptions(max_rejects=0.1)
    assert merged(files, 5, [no_width()], CompileOptions(max_rejects=0)).rows == 0
    assert merged(files, 5, outcomes + rejects, borne).rejects == {"bad_json": 2, "no_width": 9}
    with pytest.raises(CutlineError, match="3 of 21"):
        merged(files, 5, outcomes + rejects + rejects[:1], borne)


def test_a_lower_share_is_held_against_a_table_that_is_merged_already(files):
    receipts = make_parts(files, 3, MIXED)
    merge.merge(files, receipts, OPTIONS)
    with pytest.raises(CutlineError, match=r"7 of 12 .* 2 duplicate \(003\.json: "):
        merge.merge(files, receipts_of(files), CompileOptions(max_rejects=0.1))
