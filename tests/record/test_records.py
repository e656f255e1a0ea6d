import gzip
import itertools
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import oracle
from cutline.record import naming, texts
from cutline.record.judging import Rules, judge, judge_by
from cutline.record.outcome import Reject, Row
from cutline.record.reasons import REASONS
from sidecars import as_bytes, record

RULES = Rules()


def judged(sidecar, path=b"a.json", rules=RULES):
    return judge(path, as_bytes(sidecar), rules)


def reason(sidecar, path=b"a.json", rules=RULES):
    outcome = judged(sidecar, path, rules)
    assert isinstance(outcome, Reject), outcome
    assert outcome.reason in REASONS
    return outcome.reason


def verdict(outcome):
    """An outcome as the oracle writes it."""
    return ("row", *outcome) if isinstance(outcome, Row) else ("reject", *outcome[::2])


# Rows


def test_a_good_record_is_a_row():
    assert judged(record("a.png"), b"cats/x.json") == Row(
        width=1024, height=768, caption="What a.png shows.", filename="cats/a.png"
    )


def test_a_byte_order_mark_is_accepted_once():
    assert judged(b"\xef\xbb\xbf" + as_bytes(record())) == judged(record())
    assert reason(b"\xef\xbb\xbf" * 2 + as_bytes(record())) == "bad_json"


@pytest.mark.parametrize("value", [1024, 1024.0, "1024", "001024", "0" * 30 + "1024"])
def test_a_whole_number_is_a_size_however_it_is_written(value):
    assert judged(record(width=value)).width == 1024
    assert type(judged(record(height=value)).height) is int


def test_sizes_reach_up_to_2_to_the_31():
    assert judged(record(width=1, height=2**31 - 1))[:2] == (1, 2**31 - 1)
    assert reason(record(height=2**31)) == "bad_height"


@pytest.mark.parametrize(
    "value",
    [0, -1, 1024.7, True, False, [1024], {}, "", "wide", "10 24", "-5", "1024.0", "1e3", "0",
     2**31, "2147483648", 2.0**31, 2**64, 10**30, "9" * 5000, 1e300, -0.0, "\u0661\u0662"],
)  # fmt: skip
def test_anything_else_is_no_size(value):
    assert reason(record(width=value)) == "bad_width"
    assert reason(record(height=value)) == "bad_height"


def test_a_width_that_is_missing_or_null_is_the_recipes_own_filter():
    assert reason(record(width=...)) == reason(record(width=None)) == "no_width"


def test_a_height_that_is_missing_or_null_is_a_fault():
    assert reason(record(height=...)) == reason(record(height=None)) == "bad_height"


# Names


@pytest.mark.parametrize(
    "name",
    ["a.png", "a", ".png", "a b.jpg", "a.b.c.jpeg", "夜.png", "...", "a.TXT", "~", "-rf",
     "a\xa0.png", "x" * 250, "夜" * 83, "a.txt.png", "\u2028.png", "a\u202e.png", "🦊.png"],
)  # fmt: skip
def test_one_plain_path_component_is_a_name(name):
    assert judged(record(name), b"one/two/x.json").filename == "one/two/" + name
    assert judged(record(name)).filename == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a.png", "/etc/passwd", "a/b.png", "a\\b.png", "a\0.png", "a\n.png",
     "a\x7f.png", "a\x85.png", "x" * 251, "夜" * 84, "a.txt", 7, True, ["a.png"], {"a": 1}],
)  # fmt: skip
def test_anything_else_is_a_bad_name(name):
    assert reason(record(name)) == "bad_image_name"


def test_an_image_name_that_is_missing_or_null_has_a_reason_of_its_own():
    assert reason(record(image_name=...)) == reason(record(image_name=None)) == "no_image_name"


def test_the_name_of_the_folder_must_be_utf_8():
    assert reason(record(), b"caf\xe9/a.json") == "bad_image_name"
    assert judged(record(), "café/a.json".encode()).filename == "café/a.png"


def test_the_name_of_the_folder_must_be_one_that_a_filename_may_have():
    for folder in (b"a\\b", b"a\nb", b"\xc2\x85"):
        assert reason(record(), b"x/" + folder + b"/a.json") == "bad_image_name"
    long = "夜" * 85  # 255 bytes, which a folder's name may have
    assert judged(record(), f"{long}/a.json".encode()).filename == f"{long}/a.png"
    assert naming.path_fault(f"{long}/a.png") is None


def test_the_name_of_the_sidecar_itself_does_not_matter():
    assert judged(record(), b"caf\xe9.json").filename == "a.png"


def test_a_reject_names_the_image_where_that_is_safe():
    assert judged(record(width=...), b"cats/x.json").filename == "cats/a.png"
    assert judged(record(short_caption=7), b"cats/x.json").filename == "cats/a.png"
    assert judged(record("../a.png", width=...)).filename is None


# Captions


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        ("A fox.", "A fox."),
        ("  A fox. \r\n", "A fox."),
        ("A\nred\r\n\tfox", "A red fox"),
        ("A \n fox", "A   fox"),
        ("A\u2028red\u2029fox\x85here\x0b\x0cnow\x1c\x1d\x1eand", "A red fox here now and"),
        ("A\0fox\x7f", "A fox"),
        ("A\xa0fox\u3000", "A\xa0fox"),
        ("夜の狐 🦊", "夜の狐 🦊"),
        (["A fox.", "A dog."], "A fox."),
        (["", None, " \n", 7, "A fox.\n"], "A fox."),
    ],
)
def test_a_caption_becomes_one_line(caption, text):
    assert judged(record(short_caption=caption)).caption == text


def test_a_raw_caption_is_the_text_as_it_is():
    raw = Rules(raw_captions=True)
    text = " A\nred\r\n\0fox\u2028 "
    assert judged(record(short_caption=text), rules=raw).caption == text
    assert judged(record(short_caption=[" ", text]), rules=raw).caption == text


@pytest.mark.parametrize("caption", [..., None, "", " \t\r\n\u2028\x00", [], [None, "", "\n"]])
def test_a_record_without_text_has_no_caption(caption):
    assert reason(record(short_caption=caption)) == "no_caption"
    raw = Rules(raw_captions=True)
    assert reason(record(short_caption=caption), rules=raw) == "no_caption"


@pytest.mark.parametrize("caption", [7, 0, False, 1.5, {}, {"en": "A fox"}, [7], ["", ["A fox"]]])
def test_what_is_no_text_is_a_bad_caption(caption):
    assert reason(record(short_caption=caption)) == "bad_caption"
    both = judged(record(title=[7], short_caption=caption), rules=Rules(("title", "short_caption")))
    assert both.detail == "title is a list of 1"


def test_the_first_caption_field_with_text_is_taken():
    rules = Rules(caption_fields=("title", "short_caption", "long_caption"))
    assert judged(record(title="T"), rules=rules).caption == "T"
    assert judged(record(title=7), rules=rules).caption == "What a.png shows."
    fields = record(title=[], short_caption=" ")
    assert judged(fields, rules=rules).caption == "A longer story."
    assert judged(record(), rules=Rules(("long_caption",))).caption == "A longer story."


def test_who_misses_a_caption_is_told_the_fields_of_the_record():
    outcome = judged(record(), rules=Rules(caption_fields=("captoin", "caption")))
    assert outcome.reason == "no_caption"
    assert outcome.detail == (
        "no text in captoin or caption; the record has"
        " image_name, width, height, short_caption, long_caption"
    )


# Columns


def test_a_column_is_text_as_it_is_or_the_json_of_anything_else():
    fields = record(text=" a\nb ", empty="", number=7, many=[1, {"a": None}], nothing=None)
    names = ("text", "empty", "number", "many", "nothing", "absent")
    rules = Rules(columns=tuple((name.upper(), name) for name in names))
    assert judged(fields, rules=rules).columns == (" a\nb ", "", "7", '[1,{"a":null}]', None, None)


UNSOUND = ["NaN", "Infinity", "-Infinity", '"cut \\ud83d"', '"\\udf19\\ud83c"', "1e999",
           "9" * 400, "9" * 5000, '[{"a": [NaN]}]', '{"\\ud83d": 1}']  # fmt: skip
"""What JSON does not have, or what no file can hold; Python's own `json` takes all of it."""


def with_field(name, value):
    """A good record, whose field holds some JSON."""
    fields = record(**{name: ...})
    return as_bytes(fields)[:-1] + f', "{name}": {value}}}'.encode()


@pytest.mark.parametrize("value", UNSOUND)
def test_what_is_unsound_in_a_field_that_nobody_reads_does_no_harm(value):
    sidecar = with_field("score", value)
    assert isinstance(judge(b"a.json", sidecar, RULES), Row)
    assert isinstance(judge_by(RULES)(b"a.json", sidecar), Row)


@pytest.mark.parametrize("value", UNSOUND)
@pytest.mark.parametrize("field", ["width", "height", "image_name", "short_caption"])
def test_what_is_unsound_in_a_field_that_is_used_is_a_fault_of_that_field(field, value):
    outcome = judged(with_field(field, value))
    assert outcome.reason == {"short_caption": "bad_caption"}.get(field, f"bad_{field}")
    assert outcome.detail.encode()


@pytest.mark.parametrize("value", UNSOUND)
def test_an_unsound_value_of_a_column_is_told(value):
    taken = value in {"9" * 400, "9" * 5000, "1e999"}
    rules = Rules(columns=(("score", "score"),))
    outcome = judged(with_field("score", value), rules=rules)
    assert outcome.reason == "bad_json"
    assert "a --column value cannot be stored" in outcome.detail
    assert not taken or "compliant" in outcome.detail


def test_a_sound_caption_is_taken_in_place_of_one_with_half_a_character():
    rules = Rules(caption_fields=("short_caption", "long_caption"))
    assert judged(with_field("short_caption", '"\\ud83d"'), rules=rules).caption.startswith("A lon")
    listed = with_field("short_caption", '["\\ud83d", "A fox."]')
    assert judged(listed).caption == "A fox."


@pytest.mark.parametrize("levels", [250, 260, 900, 100_000])
def test_nesting_beside_an_unsound_number_is_limited_alike_on_every_stack(levels):
    data = nested(levels)[:-1] + b', "x": NaN}'
    assert isinstance(judged(data), Row) == (levels < 254)


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-16", "UTF-16 (little-endian): byte 0 is 0xff"),
        ("utf-16-le", "UTF-16 (little-endian): byte 1 is 0x00"),
        ("utf-16-be", "UTF-16 (big-endian): byte 0 is 0x00"),
        ("utf-32", "UTF-32 (little-endian): byte 0 is 0xff"),
        ("utf-32-le", "UTF-32 (little-endian): byte 1 is 0x00"),
        ("utf-32-be", "UTF-32 (big-endian): byte 0 is 0x00"),
        ("latin-1", "in another encoding than UTF-8, such as Windows-1252: byte 14 is 0xe9"),
        ("cp1252", "in another encoding than UTF-8, such as Windows-1252: byte 14 is 0xe9"),
    ],
)
def test_another_encoding_is_told_by_its_name_and_the_byte(encoding, told):
    data = '{"title": "caf\u00e9"}'.encode(encoding)
    assert judged(data) == Reject("bad_json", f"it is {told}")


def test_what_is_compressed_is_told():
    assert "it is gzip: byte 1 is 0x8b" in judged(gzip.compress(b"{}")).detail


@pytest.mark.parametrize("text", ["\u200b", "\ufeff", " \u200d\n\u2060 ", "\u00ad", "\u200e\u200f"])
def test_a_caption_of_which_nothing_can_be_seen_is_none(text):
    for raw in (False, True):
        assert reason(record(short_caption=text), rules=Rules(raw_captions=raw)) == "no_caption"
    assert judged(record(short_caption=f"{text}A fox.")).caption.endswith("A fox.")


def test_a_column_that_is_nested_too_deep_to_be_written_is_bad_json():
    rules = Rules(columns=(("deep", "deep"),))
    for levels, taken in ((254, True), (255, False), (1023, False)):
        sidecar = nested(levels)
        assert isinstance(judged(sidecar), Row)
        assert isinstance(judged(sidecar, rules=rules), Row) == taken
    assert reason(nested(255), rules=rules) == "bad_json"


def nested(levels, opened=b"[", closed=b"]", field=b"deep"):
    """A good record, and one more field, nested: built as bytes, since json cannot write it."""
    deep = opened * levels + b"1" + closed * levels
    return as_bytes(record())[:-1] + b',"' + field + b'":' + deep + b"}"


@pytest.mark.parametrize("levels", [300, 1000, 1023])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_in_a_field_that_nobody_reads_does_no_harm(levels, brackets):
    assert isinstance(judged(nested(levels, *brackets)), Row)


@pytest.mark.parametrize("field", ["image_name", "width", "height", "short_caption"])
@pytest.mark.parametrize("levels", [300, 1000, 1023, 1024, 100_000])
def test_nesting_in_a_field_that_is_read_is_a_fault_with_a_short_message(field, levels):
    outcome = judged(nested(levels, field=field.encode()))
    kinds = {"short_caption": "bad_caption"}
    expected = kinds.get(field, f"bad_{field}") if levels < 1024 else "bad_json"
    assert outcome.reason == expected
    assert len(outcome.detail) < 200


# Sidecars that hold no record


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{", b'{"a": 1', b"{}{}", b"{'a': 1}", b'{"a": NaN', b'{"a": nan}', bytes(9),
     b'{"a": "\xe9"}', b'{"a": "\\ud80"}', "{}".encode("utf-16"), b"\xff", b'{"a": 1,}'],
)  # fmt: skip
def test_what_is_not_json_is_bad_json(data):
    assert reason(data) == "bad_json"


@pytest.mark.parametrize("data", [b"null", b"[]", b"[{}]", b'"text"', b"7", b"true", b" [1]\n"])
def test_json_that_is_no_object_is_not_a_record(data):
    assert reason(data) == "not_object"


# Where two faults meet

FAULTS = {
    "no_width": {"width": ...},
    "bad_width": {"width": "wide"},
    "bad_height": {"height": 0},
    "no_image_name": {"image_name": None},
    "bad_image_name": {"image_name": "../a.png"},
    "no_caption": {"short_caption": ""},
    "bad_caption": {"short_caption": 7},
}


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(FAULTS, 2)))
def test_of_two_faults_the_one_that_is_listed_first_is_the_reason(one, other):
    both = FAULTS[one] | FAULTS[other]
    expected = other if len(both) == 1 else min(one, other, key=REASONS.index)
    assert reason(record(**both)) == expected


# Anything at all

FIELDS = ("image_name", "width", "height", "short_caption", "short_caption2", "title")
names = st.one_of(
    st.text(),
    st.none(),
    st.text("./\\x\0\n\x85夜", max_size=12),
    st.integers(60, 260).map("x".__mul__),
    st.sampled_from(["a.png", "a.txt", "b.jpg", ".", "..", "夜.png"]),
)
numbers = st.one_of(
    st.integers(),
    st.integers(1, 4096),
    st.integers(2**31 - 2, 2**31 + 2),
    st.integers(-(2**70), 2**70),
    st.integers(300, 400).map(lambda power: 10**power),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(1, 4096).map(float),
)
digits = st.one_of(st.text("0123456789", max_size=25), numbers.map(str))
scalars = st.one_of(st.none(), st.booleans(), numbers, digits, names, st.text())
breaks = st.text(" \t\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029\0\x7f\xa0ab夜🦊", max_size=12)
values = st.recursive(
    scalars | breaks,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
likely = st.fixed_dictionaries(
    {"image_name": names, "width": numbers | digits, "height": numbers | digits},
    optional={
        "short_caption": breaks | st.lists(breaks | scalars, max_size=3),
        "short_caption2": values,
        "title": breaks | values,
    },
)
nearly = st.fixed_dictionaries(
    {"image_name": st.just("a.png"), "width": st.just(64), "height": st.just(64)},
    optional={"short_caption": values, "short_caption2": values, "title": values},
)
jsons = st.one_of(values, likely, nearly)
rules = st.builds(
    Rules,
    caption_fields=st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3).map(tuple),
    columns=st.sampled_from([(), (("t", "title"), ("w", "width"))]),
    raw_captions=st.booleans(),
)
paths = st.sampled_from(
    [
        b"a.json",
        b"x/y/a.json",
        "夜/a.json".encode(),
        b"caf\xe9/a.json",
        b"a\\b/a.json",
        b"\n/a.json",
    ]
)


def check_against_oracle(path, data, rules):
    outcome = judge(path, data, rules)
    expected = oracle.judge(
        path,
        data,
        rules.fields.captions,
        [field for _, field in rules.columns],
        rules.raw_captions,
    )
    assert type(outcome) in (Row, Reject)
    if isinstance(outcome, Row):
        check_row(outcome, expected, rules)
    else:
        assert outcome.reason in REASONS
        assert outcome.detail.isprintable()
        assert verdict(outcome) == expected


def check_row(row, expected, rules):
    # orjson's JSON has no blanks, so columns are compared by what they mean.
    assert ("row", *row[:4]) == expected[:5]
    for text, other in zip(row.columns, expected[5], strict=True):
        assert text == other or same_number(json.loads(text), json.loads(other))
    assert row.caption.strip()
    if not rules.raw_captions:
        assert row.caption.splitlines() == [row.caption]
        assert texts.clean(row.caption) == row.caption


def same_number(one, other):
    """Equal, where integers of 2**64 and more have become floats."""
    return json.dumps(one, default=str) == json.dumps(other) or one == rounded(other)


def rounded(value):
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return float(value) if isinstance(value, int) and abs(value) >= 2**63 else value


@settings(max_examples=600)
@given(paths, jsons, rules)
@example(b"a.json", {"image_name": "a", "width": "0" * 25 + "1", "height": 1}, RULES)
def test_any_json_is_a_row_or_a_reject_as_the_plain_oracle_says(path, value, rules):
    check_against_oracle(path, json.dumps(value).encode(), rules)
    check_against_oracle(path, json.dumps(value, ensure_ascii=False).encode(), rules)


@settings(max_examples=60)
@given(
    st.sampled_from(FIELDS),
    st.integers(200, 1100),
    st.sampled_from([(b"[", b"]"), (b'{"title":', b"}"), (b'[7,{"width":', b"}]")]),
    rules,
)
def test_any_depth_is_a_row_or_a_reject_as_the_plain_oracle_says(field, levels, brackets, rules):
    check_against_oracle(b"a.json", nested(levels, *brackets, field=field.encode()), rules)


@settings(max_examples=300)
@given(st.binary() | st.text().map(str.encode), rules)
def test_any_bytes_are_a_row_or_a_reject_as_the_plain_oracle_says(data, rules):
    check_against_oracle(b"a.json", data, rules)


@settings(max_examples=200)
@given(st.data(), rules)
def test_a_damaged_sidecar_is_a_row_or_a_reject_as_the_plain_oracle_says(data, rules):
    sidecar = as_bytes(record())
    start = data.draw(st.integers(0, len(sidecar)))
    end = data.draw(st.integers(start, len(sidecar)))
    damaged = sidecar[:start] + data.draw(st.binary(max_size=4)) + sidecar[end:]
    check_against_oracle(b"a.json", damaged, rules)


@settings(max_examples=300)
@given(st.text() | breaks)
def test_cleaning_is_what_the_oracle_does_letter_by_letter(text):
    cleaned = texts.clean(text)
    assert cleaned == oracle.clean(text)
    assert texts.clean(cleaned) == cleaned


@pytest.mark.parametrize("code", range(0, 0x110000, 0x10000))
def test_no_character_breaks_the_line_of_a_caption(code):
    letters = [chr(n) for n in range(code, code + 0x10000) if not 0xD800 <= n < 0xE000]
    cleaned = texts.clean("a" + "b".join(letters) + "c")
    assert len(cleaned.splitlines()) == 1
    assert cleaned == oracle.clean("a" + "b".join(letters) + "c")


@given(names, paths)
def test_a_filename_of_the_table_passes_as_one_wherever_it_is_read_again(name, path):
    filename = naming.image_filename(path, name)
    if isinstance(filename, str):
        assert naming.path_fault(filename) is None


@pytest.mark.parametrize(
    "filename", ["", "/a.png", "a//b.png", "../a.png", "a/../b.png", "./a", "a/", "a\\b", "a/b.txt"]
)
def test_a_path_that_could_lead_anywhere_is_none_of_the_tables(filename):
    assert naming.path_fault(filename)
