import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutline.record import judging
from cutline.record.judging import Rules, judge_by
from cutline.record.outcome import Reject, Row
from sidecars import as_bytes, record

RULES = Rules()

# JSON as text, so that it can be odd, or none at all.
fields = ["width", "height", "image_name", "short_caption", "title", "wid\\u0074h", "\\ud800", ""]
small = ["64", "64.0", "6.4e1", "0", "-0", "064", "1.", "-"]
large = ["2147483647", "2147483648", "9" * 30, "1e99", "1e999", "9" * 400]
plain = ["", " ", "a.png", "a.txt", "a/b", "..", "A cat.", "A\ncat.", "café", "\x7f"]
escaped = ["A\\ncat.", "\\u2028", "caf\\u00e9", "\\ud83c\\udf19", "\\ud83c", "\\x", "\\u12"]
long = ["a" * 251, "\\u591c" * 84]
names = st.sampled_from(fields)
numbers = st.sampled_from([*small, *large])
texts = st.sampled_from([*plain, *escaped, *long])
odd = st.sampled_from(["null", "true", "NaN", "-Infinity", "tru", "01", ""])
values = st.recursive(
    numbers | texts.map('"{}"'.format) | odd,
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: f"[{','.join(items)}]")
        | st.tuples(names, inner).map(lambda pair: f'{{"{pair[0]}":{pair[1]}}}')
    ),
    max_leaves=3,
)
ordinary_fields = {
    "image_name": '"a.png"',
    "width": "64",
    "height": "48",
    "short_caption": '"A cat."',
}
made = st.lists(st.tuples(names, values), max_size=4).map(
    lambda changes: [*ordinary_fields.items(), *changes]
)
rules = st.builds(
    Rules,
    caption_fields=st.lists(
        st.sampled_from(["short_caption", "title", "width", 'a"b', "a\\b", "é", ""]),
        min_size=1,
        max_size=2,
    ).map(tuple),
    columns=st.sampled_from([(), (), (("t", "title"),)]),
    raw_captions=st.booleans(),
    image_field=st.sampled_from([None, None, "title"]),
    width_field=st.sampled_from([None, None, "height", "image_name.0"]),
    join=st.sampled_from([None, ", "]),
    every_caption=st.sampled_from([False, False, True]),
)
paths = st.sampled_from([b"a.json", b"x/y/a.json", b"caf\xe9/a.json", b"a\\b/a.json"])


def agree(path, data, chosen):
    """Tell whether both ways come to the same, types and all."""
    quick, plain = judge_by(chosen)(path, data), judging.judge(path, data, chosen)
    return (type(quick), quick) == (type(plain), plain)


@settings(max_examples=1000)
@given(st.permutations(range(8)), made, paths, rules)
def test_a_record_is_what_the_plain_way_says(order, record, path, rules):
    ordered = [record[place] for place in order if place < len(record)]
    data = "{" + ",".join(f'"{name}":{value}' for name, value in ordered) + "}"
    assert agree(path, data.encode(), rules)


@settings(max_examples=500)
@given(st.data(), rules)
def test_a_damaged_sidecar_is_what_the_plain_way_says(data, rules):
    sidecar = as_bytes(record())
    start = data.draw(st.integers(0, len(sidecar)))
    end = data.draw(st.integers(start, min(len(sidecar), start + 20)))
    middle = data.draw(
        st.binary(max_size=3) | st.text('"\\[]{},:0u \n\x00', max_size=3).map(str.encode)
    )
    assert agree(b"a.json", sidecar[:start] + middle + sidecar[end:], rules)


@pytest.mark.parametrize("levels", [10, 900, 1023, 1100, 100_000])
def test_any_depth_is_what_the_plain_way_says(levels):
    nested = b'{"width": 1, "height": 1, "image_name": "a", "short_caption": "b", "more": '
    assert agree(b"a.json", nested + b"[" * levels + b"]" * levels + b"}", RULES)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("escaped", [False, True])
def test_an_ordinary_record_needs_no_other_way(monkeypatch, raw, escaped):
    monkeypatch.setattr(judging, "judge", None)
    judge = judge_by(Rules(("title",), raw_captions=raw))
    fields = record("a.png", title=" A\ncafé. ")
    sidecar = json.dumps(fields, ensure_ascii=escaped).encode()
    text = " A\ncafé. " if raw else "A café."
    assert judge(b"cats/a.json", sidecar) == Row(1024, 768, text, "cats/a.png")


def test_a_number_beyond_a_double_is_seen_where_it_is_asked_for():
    assert isinstance(judge_by(RULES)(b"a.json", as_bytes(record())[:-1] + b', "x": 1e999}'), Row)
    odd = as_bytes(record(width=...))[:-1] + b', "width": 1e999}'
    assert isinstance(judge_by(RULES)(b"a.json", odd), Reject)
