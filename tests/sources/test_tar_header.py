import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutline.sources.tar.header import NO_SUM, parse_extended, parse_header, stated_sum
from tar_bytes import header, pax_record

OLD_GNU = b"ustar  \x00"


def test_a_header_says_name_size_and_kind():
    found = parse_header(header(b"a.json", 2048))
    assert (found.name, found.size, found.kind) == (b"a.json", 2048, "regular")


@given(st.binary(min_size=512, max_size=512))
def test_any_block_passes_with_the_sum_that_tarfile_finds_in_it_and_no_other(block):
    block = block[:124] + b"00000000000\x00" + block[136:]
    unsigned, signed = sums = tarfile.calc_chksums(block)
    near = {unsigned - 65521, unsigned - 1, unsigned + 1, unsigned + 65521, signed - 1, signed + 1}
    for checksum in near.union(sums):
        if checksum >= 0:
            summed = block[:148] + b"%06o\x00 " % checksum + block[156:]
            assert (parse_header(summed) is not None) == (checksum in sums)


@pytest.mark.parametrize(
    "field",
    [b"", b"\x80", b" " * 8, b"-1", b"12x", b"0o7", b"1_0", b"9", b"+7", b"1 1", b"\xff" * 8],
)
def test_a_checksum_that_is_no_octal_number_holds_for_no_block(field):
    assert stated_sum(field.ljust(8, b"\x00")) == NO_SUM
    assert parse_header(header(checksum=field.ljust(8, b"\x00"))) is None


def test_no_block_adds_up_to_no_sum():
    assert NO_SUM < -128 * 512


@pytest.mark.parametrize(
    ("field", "size"),
    [
        (b"00000000017\x00", 15),
        (b"         17 ", 15),
        (b"17\x00garbage", 15),
        (b"000000000017", 15),  # no room for an end, as star writes it
        (b"777777777777", 8**12 - 1),
        (b"\x80" + bytes(7) + b"\x02\x00\x00\x00", 2 << 24),
        (b"\x80" + b"\xff" * 11, 256**11 - 1),
    ],
)
def test_a_size_is_octal_or_base_256(field, size):
    assert parse_header(header(size=field)).size == size


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b"-0000000001",
        b"\xff" * 12,
        b"\x81" * 12,
        b"0x000000011",
        b"00000000008",
        b"0000_000011",
    ],
)
def test_a_size_that_is_negative_or_no_number_makes_no_header(field):
    assert parse_header(header(size=field)) is None


def test_the_size_field_of_what_has_no_data_means_nothing():
    for flag in b"123456":
        assert parse_header(header(size=b"-17", flag=bytes([flag]))).size == 0


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (b"0", "regular"), (b"\x00", "regular"), (b"7", "regular"), (b"1", "link"),
        (b"2", "symlink"), (b"3", "device"), (b"4", "device"), (b"5", "directory"),
        (b"6", "fifo"), (b"S", "sparse"), (b"V", "other"), (b"\xfe", "other"),
    ],
)  # fmt: skip
def test_the_flag_is_the_kind(flag, kind):
    assert parse_header(header(flag=flag)).kind == kind


def test_in_v7_a_name_that_ends_in_a_slash_is_a_directory():
    assert parse_header(header(b"folder/", flag=b"\x00", rest=b"")).kind == "directory"
    assert parse_header(header(b"folder", flag=b"\x00", rest=b"")).kind == "regular"


def test_a_name_may_fill_its_field():
    assert parse_header(header(b"n" * 100)).name == b"n" * 100


def test_ustar_has_the_front_of_a_long_name_where_gnu_has_times():
    front = bytes(345 - 265) + b"folder"
    assert parse_header(header(b"a", rest=b"ustar\x0000" + front)).name == b"folder/a"
    assert parse_header(header(b"a", rest=OLD_GNU + front)).name == b"a"
    assert parse_header(header(b"a", rest=bytes(8) + front)).name == b"a"


def test_less_than_a_block_is_no_header():
    assert parse_header(header()[:511]) is None
    assert parse_header(b"") is None


RECORDS = st.dictionaries(
    st.binary(min_size=1).filter(lambda key: b"=" not in key and key != b"size"), st.binary()
)


@given(RECORDS)
def test_pax_records_keep_any_bytes_of_a_path(records):
    body = b"".join(pax_record(key, value) for key, value in records.items())
    said = parse_extended(ord("x"), body)
    assert said.get(b"path") == records.get(b"path")


@given(st.binary(), st.binary())
def test_a_path_is_read_wherever_it_stands(path, other):
    records = [pax_record(b"mtime", other), pax_record(b"path", path), pax_record(b"z", other)]
    assert parse_extended(ord("x"), b"".join(records)) == {b"path": path}


@given(st.binary(max_size=300))
def test_any_body_is_read_or_refused(body):
    said = parse_extended(ord("x"), body)
    assert said is None or said.keys() <= {b"path", b"size", b"GNU.sparse.name", b"GNU.sparse."}


@pytest.mark.parametrize(
    "body",
    [
        b"path=a\n",
        b"9 path=a",
        b"11 path=a\n",
        b"8 path=a\n",
        b"0 path=a\n",
        b"-9 path=a\n",
        b"99999999999 path=a\n",
        b"7 path\n",
        b"9 path=a\n9",
        pax_record(b"size", b""),
        pax_record(b"size", b"-1"),
        pax_record(b"size", b"1.5"),
        pax_record(b"size", b"9" * 5000),
    ],
)
def test_a_malformed_pax_body_is_refused(body):
    assert parse_extended(ord("x"), body) is None


def test_zeros_may_follow_the_records():
    assert parse_extended(ord("x"), b"9 path=a\n\x00\x00") == {b"path": b"a"}


def test_a_gnu_long_name_ends_at_its_zero():
    assert parse_extended(ord("L"), b"n" * 300 + b"\x00junk") == {b"path": b"n" * 300}
