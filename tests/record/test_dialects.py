"""Sidecars of other tools, and captions that are several: which fields go into a row."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from cutline.record import judging
from cutline.record.dialects import DIALECTS, Rules, value_at
from cutline.record.judging import Beside, Pictured, judge, judge_by
from cutline.record.naming import is_image, sample_key
from cutline.record.outcome import Reject, Row
from cutline.record.reasons import REASONS
from sidecars import as_bytes, record

RECORD = {"a": {"b": ["x", {"c": "deep"}]}, "a.b": "whole", "n": None, "t": "text"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("t", "text"),
        ("n", None),
        ("none", None),
        ("a.b", "whole"),
        ("a.b.0", "x"),
        ("a.b.1.c", "deep"),
        ("t.0", None),
        ("a.c", None),
        ("", None),
    ],
)
def test_a_field_is_a_name_or_a_way_into_what_is_nested(field, value):
    assert value_at(RECORD, field) == value


@pytest.mark.parametrize(
    "field", ["a.b.-1.c", "a.b.c", "a.b.1.c.d", "a.b.9", "a.b." + "9" * 30, "a.b.²", "a..b", "."]
)
def test_a_way_that_leads_nowhere_has_no_value(field):
    assert value_at(RECORD, field) is None


def judged(fields, rules, beside=judging.NOTHING, path=b"x/7.json"):
    return judge(path, as_bytes(fields), rules, beside)


def test_a_nested_record_gives_a_row_by_its_ways():
    fields = {
        "file": {"name": "a.png", "size": [64, 48]},
        "conversations": [{"from": "human", "value": "?"}, {"from": "gpt", "value": "A\ncat."}],
    }
    rules = Rules(
        ("conversations.1.value",),
        (("who", "conversations.1.from"),),
        image_field="file.name",
        width_field="file.size.0",
        height_field="file.size.1",
    )
    assert judged(fields, rules) == Row(64, 48, "A cat.", "x/a.png", ("gpt",))


def test_a_field_that_is_missing_is_named_as_it_was_given():
    rules = Rules(image_field="file", width_field="w", height_field="size.h")
    assert judged({}, rules) == Reject("no_width", "the record has no w")
    assert judged({"w": 0}, rules).detail == "w is 0"
    assert judged({"w": 1}, rules).detail == "size.h is null"
    assert judged({"w": 1, "size": {"h": 2}}, rules).detail == "the record has no file"
    assert judged({"w": 1, "size": {"h": 2}, "file": 7}, rules).detail == "file is 7"
    both = judged({}, Rules(dialect="gallery-dl"), Beside(b"x/7.jpg"))
    assert both == Reject("no_width", "the record has no width or image_width", "x/7.jpg")


# The image beside the sidecar, and its size

BESIDE = Rules(image_beside=True)


def test_the_image_is_the_one_beside_whatever_the_record_names():
    fields = record("other.png")
    assert judged(fields, BESIDE, Beside(b"x/7.webp")).filename == "x/7.webp"
    assert judged(fields, BESIDE) == Reject("no_image", "no image beside the sidecar has its stem")
    assert judged(fields, BESIDE, Beside(b"x/caf\xe9.webp")).reason == "bad_image_name"
    assert judged(b"{", BESIDE).reason == "bad_json"


def test_a_size_is_that_of_the_image_only_where_the_record_has_none():
    seen = Beside(b"x/7.png", (7, 8))
    rules = Rules(measure=True)
    assert judged(record("7.png"), rules, seen)[:2] == (1024, 768)
    for missing in ({"width": ...}, {"height": None}, {"width": None, "height": ...}):
        assert judged(record("7.png", **missing), rules, seen)[:2] == (7, 8)
    assert judged(record("7.png", width="wide"), rules, seen).reason == "bad_width"


def test_an_image_is_measured_only_where_that_is_needed_and_it_is_the_record_s_own():
    asked = []

    def measure():
        asked.append(1)
        return 7, 8

    def outcome(rules, **changes):
        fields = record("7.png") | changes
        sidecar = Pictured(as_bytes(fields), b"x/7.png", measure)
        return judge_by(rules)(b"x/7.json", sidecar)

    rules = Rules(measure=True)
    assert outcome(rules)[:2] == (1024, 768)
    assert outcome(rules, image_name="8.png", width=None).reason == "no_width"
    assert outcome(rules, short_caption="", width=0).reason == "bad_width"
    assert asked == []
    assert outcome(rules, width=None)[:2] == (7, 8)
    assert outcome(rules, height=None)[:2] == (7, 8)
    assert asked == [1, 1]


def test_an_image_that_cannot_be_measured_leaves_the_record_without_a_size():
    sidecar = Pictured(as_bytes(record("7.png", width=...)), b"x/7.png", lambda: None)
    assert judge_by(Rules(measure=True))(b"x/7.json", sidecar).reason == "no_width"


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (b"a/x.json", b"a/x"),
        (b"a/x.jpg", b"a/x"),
        (b"a/x.JPG.JSON", b"a/x"),
        (b"a/x.v2.json", b"a/x.v2"),
        (b"a.jpg/x.json", b"a.jpg/x"),
        (b".json", b".json"),
        (b"caf\xe9.jpeg.json", b"caf\xe9"),
    ],
)
def test_the_files_of_a_sample_have_one_key(path, key):
    assert sample_key(path) == key


def test_an_image_is_known_by_its_ending():
    assert all(map(is_image, (b"a.b.JPEG", b"a.jxl", b"x/a.jpg")))
    assert not any(map(is_image, (b"a.json", b"a.txt", b"jpg", b"a.jpg.json", b"a.mp4")))


# Several captions

texts = st.sampled_from(["A cat.", "A\ncat.", " ", "", "\u200b", "夜", "x, y", "\ud83c"])
odd = st.sampled_from([7, True, None, {}, ["inner"]])
captions = texts | odd | st.lists(texts | odd, max_size=4)


def expected_captions(fields, rules):
    """The captions of a record, as plainly as it can be said; and whether anything is no text."""
    found, is_odd = [], False
    for name in rules.caption_fields:
        value = fields.get(name)
        kept = []
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str) and "\ud83c" not in item and oracle.clean(item) != "":
                kept.append(item if rules.raw_captions else oracle.clean(item))
            elif item is not None and not (isinstance(item, str) and "\ud83c" not in item):
                is_odd = True
        if kept and rules.join is not None:
            kept = [rules.join.join(kept)]
            if not rules.raw_captions:
                kept = [oracle.clean(kept[0])]
        found += kept
    return (found if rules.every_caption else found[:1]), is_odd


rules = st.builds(
    Rules,
    caption_fields=st.permutations(["a", "b", "c"]).map(tuple),
    raw_captions=st.booleans(),
    every_caption=st.booleans(),
    join=st.sampled_from([None, ", ", "", " \n "]),
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys("abc", captions)), rules)
def test_captions_are_what_the_plain_oracle_says(fields, rules):
    data = json.dumps({"image_name": "a.png", "width": 1, "height": 1, **fields}).encode()
    outcome = judge_by(rules)(b"a.json", data)
    expected, is_odd = expected_captions(fields, rules)
    if not expected:
        assert outcome.reason == ("bad_caption" if is_odd else "no_caption")
    else:
        assert outcome.caption == (expected if rules.every_caption else expected[0])
    assert outcome == judge(b"a.json", data, rules)


# The table of dialects


def test_every_dialect_has_fields_for_all_but_the_image():
    for dialect in DIALECTS.values():
        assert all(dialect[1:])
    assert "no_image" in REASONS


def test_an_option_that_is_not_used_is_in_no_identity():
    assert Rules().identity() == {
        "caption_fields": ("short_caption",),
        "columns": (),
        "raw_captions": False,
    }
    assert (
        Rules(("short_caption",), dialect="dalle3", width_field="width").identity()
        == Rules().identity()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"dialect": "img2dataset"},
        {"image_field": "file"},
        {"width_field": "w"},
        {"height_field": "h"},
        {"image_beside": True},
        {"measure": True},
        {"every_caption": True},
        {"join": ""},
        {"caption_fields": ("caption",)},
        {"columns": (("a", "b"),)},
        {"raw_captions": True},
    ],
)
def test_every_option_that_changes_a_row_changes_the_identity(changes):
    assert Rules(**changes).identity() != Rules().identity()
