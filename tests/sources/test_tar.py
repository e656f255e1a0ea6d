import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import tarfile
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cutline.errors import CutlineError
from cutline.sources.tar import walking
from cutline.sources.tar.walking import WINDOW, Damage, Member, local, walk
from tar_bytes import (
    END,
    FORMATS,
    ZEROS,
    Reader,
    as_tarfile_lists,
    by_tarfile,
    header,
    member,
    padded,
    pax,
)

TYPES = {
    tarfile.REGTYPE: "regular",
    tarfile.AREGTYPE: "regular",
    tarfile.LNKTYPE: "link",
    tarfile.SYMTYPE: "symlink",
    tarfile.DIRTYPE: "directory",
    tarfile.CHRTYPE: "device",
    tarfile.FIFOTYPE: "fifo",
    tarfile.GNUTYPE_SPARSE: "sparse",
}


def walked(archive):
    found = list(walk(Reader(archive), len(archive)))
    return [f for f in found if isinstance(f, Member)], [f for f in found if isinstance(f, Damage)]


def sound(archive):
    """The members of an archive that must have no damage."""
    members, damages = walked(archive)
    assert damages == []
    return members


def names(members):
    return [m.name for m in members]


def as_listed(members):
    return [(m.name.rstrip(b"/"), m.offset, m.size, m.kind) for m in members]


def by_oracle(archive):
    return [(n.rstrip(b"/"), o, s, TYPES[t]) for n, o, s, t in as_tarfile_lists(archive)]


# Sound archives: what tarfile, GNU tar and bsdtar write.

NAMES = st.one_of(
    st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1, max_size=80),
    st.binary(min_size=1, max_size=80).map(lambda b: b.decode("utf-8", "surrogateescape")),
    st.integers(95, 105).map("n".__mul__),
    st.integers(250, 305).map("x/".__mul__),
).filter(lambda name: "\x00" not in name and name.strip("/"))


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from([0, 1, 511, 512, 513, 2048, 5000]).map(b"x".__mul__))
    ),
    st.sampled_from(sorted(FORMATS)),
)
def test_a_sound_archive_is_listed_as_tarfile_lists_it(files, form):
    try:
        archive = by_tarfile(files, form)
    except ValueError:  # ustar has no room for the name
        assume(False)
    assert as_listed(sound(archive)) == by_oracle(archive)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with one of everything."""
    root = tmp_path_factory.mktemp("tree")
    (root / "a.json").write_text("{}")
    (root / "empty").write_text("")
    (root / "ünï.json").write_text("{}")
    (root / ("n" * 120)).write_text("long")
    (root / "deep").mkdir()
    (root / "deep" / ("d" * 98)).write_text("ustar has room for this")
    (root / "deep" / ("e" * 120 + ".json")).write_text("but not for this")
    (root / "symlink").symlink_to("a.json")
    (root / "link").hardlink_to(root / "a.json")
    os.mkfifo(root / "fifo")
    return root


@pytest.mark.parametrize(
    "command",
    [
        *([f"tar --format={form}"] for form in ("v7", "oldgnu", "gnu", "ustar", "posix")),
        *([f"bsdtar --format={form}"] for form in ("v7", "gnutar", "ustar", "pax", "paxr")),
    ],
    ids=lambda command: command[0],
)
def test_what_other_writers_write_is_listed_as_tarfile_lists_it(command, tree, tmp_path):
    command = command[0].split()
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    path = tmp_path / "a.tar"
    subprocess.run([*command, "-cf", path, "."], cwd=tree, stderr=subprocess.DEVNULL, check=False)
    archive = path.read_bytes()
    assert len(by_oracle(archive)) > 6
    assert as_listed(sound(archive)) == by_oracle(archive)


@pytest.mark.parametrize(
    "options",
    ["--format=gnu", *(f"--format=pax --sparse-version={v}" for v in ("0.0", "0.1", "1.0"))],
)
def test_sparse_files_are_told_and_skipped(options, tmp_path):
    with open(tmp_path / "holes", "wb") as file:
        for at in range(40):  # more pieces than a header and one block behind it can list
            file.seek(at << 16)
            file.write(b"x" * 5000)
    (tmp_path / "behind.json").write_text("{}")
    command = ["tar", *options.split(), "-Scf", "a.tar", "holes", "behind.json"]
    subprocess.run(command, cwd=tmp_path, check=True)
    members = sound((tmp_path / "a.tar").read_bytes())
    assert [(m.name, m.kind) for m in members] == [
        (b"holes", "sparse"),
        (b"behind.json", "regular"),
    ]
    assert 200_000 < members[0].size < 400_000  # what is stored of it


def test_an_empty_archive_is_sound():
    assert sound(END) == []


def test_links_and_devices_have_no_data_whatever_they_say():
    for flag in b"123456":
        archive = header(size=512, flag=bytes([flag])) + member(b"b", b"data") + END
        assert names(sound(archive)) == [b"a", b"b"]


def test_a_size_may_fill_its_field():
    (found,) = sound(header(size=b"000000000017") + padded(b"fifteen bytes ..") + END)
    assert found.size == 15


def test_a_name_may_fill_its_field():
    assert names(sound(header(b"n" * 100) + END)) == [b"n" * 100]


def test_unknown_types_have_data():
    members = sound(member(b"a", b"data" * 200, flag=b"Z") + member(b"b", b"") + END)
    assert [(m.name, m.size, m.kind) for m in members] == [
        (b"a", 800, "other"),
        (b"b", 0, "regular"),
    ]


def test_a_size_of_more_than_8_gib_is_skipped_without_being_read():
    for size in (b"\x80" + (9 << 30).to_bytes(11), 9 << 30):
        records = pax({b"size": b"%d" % size}) if isinstance(size, int) else b""
        front = records + header(size=0 if records else size)
        end = len(front) + (9 << 30)
        pieces = {0: front, end: END}

        def read(length, offset, pieces=pieces, end=end):
            base = end if offset >= end else 0
            return pieces[base][offset - base : offset - base + length] or b"x" * length

        assert list(walk(read, end + len(END))) == [
            Member(b"a", len(front), 9 << 30, "regular", len(front) - 512)
        ]


def test_only_headers_are_read_and_little_behind_them():
    archive = by_tarfile([(f"{n:07}.jpg", bytes([n]) * 100_000) for n in range(20)])
    reader = Reader(archive)
    members = list(walk(reader, len(archive)))
    headers = {m.header_offset for m in members}
    tail = members[-1].offset + members[-1].size - walking.LONG_TAIL
    assert {at for at, _ in reader.asked} == {*headers, len(archive) - 1024, tail}
    assert max(length for _, length in reader.asked) <= WINDOW + 2 * 512
    assert len(reader.asked) <= len(members) + 4


class Growing(Reader):
    """Reads an archive of which all but the first KB is written just after it is looked at."""

    written = False

    def __call__(self, length, offset):
        data = super().__call__(length, offset)
        if self.written or offset + length <= 1024:
            return data
        self.written = True
        return data[: 1024 - offset] + bytes(512)


def test_the_walk_of_an_archive_that_is_being_written_has_an_end():
    archive = header() * 20 + END
    found = list(islice(walk(Growing(archive), len(archive)), 100))
    assert len(found) < 100


def test_a_sample_takes_one_read():
    sizes = {"jpg": 100_000, "json": 2_500}
    archive = by_tarfile([(f"{n}.{kind}", bytes(sizes[kind])) for n in range(20) for kind in sizes])
    reader = Reader(archive)
    assert len(list(walk(reader, len(archive)))) == 40
    assert len(reader.asked) <= 20 + 4


def test_a_local_file_is_read_where_it_is_and_stays_where_it_was(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(by_tarfile([("a.json", b"{}")]))
    with open(path, "rb") as file:
        (found,) = walk(local(file.fileno()), path.stat().st_size)
        assert local(file.fileno())(found.size, found.offset) == b"{}"
        assert file.tell() == 0


# Extended headers.


def test_pax_tells_path_and_size():
    archive = pax({b"path": b"long\xff", b"size": b"700"}) + header(b"short", 0) + bytes(1024) + END
    assert sound(archive) == [Member(b"long\xff", 1536, 700, "regular", 1024)]


def test_an_empty_pax_path_leaves_the_header_s_own():
    assert names(sound(pax({b"path": b""}) + member(b"own", b"") + END)) == [b"own"]


def test_what_pax_says_is_for_one_member():
    archive = pax({b"path": b"long"}) + member(b"a", b"") + member(b"b", b"") + END
    assert names(sound(archive)) == [b"long", b"b"]


def test_what_global_pax_says_is_for_all_until_a_member_has_its_own():
    archive = pax({b"path": b"all"}, b"g") + member(b"a", b"")
    archive += pax({b"path": b"own"}) + member(b"b", b"") + member(b"c", b"") + END
    assert names(sound(archive)) == [b"all", b"own", b"all"]


def test_what_does_not_matter_changes_nothing():
    archive = pax({b"comment": b"0123"}, b"g") + pax({b"mtime": b"1.5"}) + member(b"a", b"") + END
    assert names(sound(archive)) == [b"a"]


@pytest.mark.parametrize(
    "extended",
    [
        pax({b"comment": bytes(5_000_000)}),
        member(b"././@LongLink", b"n" * 5_000_000, flag=b"L"),
        member(b"malformed", b"30 path=a\n", flag=b"x"),
    ],
    ids=["pax of 5 MB", "long name of 5 MB", "malformed"],
)
def test_an_extended_header_that_cannot_be_used_takes_one_member_with_it(extended):
    archive = extended + member(b"unknown", b"data") + member(b"behind", b"data") + END
    reader = Reader(archive)
    damage, found = walk(reader, len(archive))
    assert "left out" in damage.detail
    assert (damage.offset, found.name) == (0, b"behind")
    assert max(length for _, length in reader.asked) <= 4096


def test_a_global_header_that_cannot_be_used_takes_none_with_it():
    members, damages = walked(member(b"g", b"30 path=a\n", flag=b"g") + member(b"a", b"") + END)
    assert (names(members), len(damages)) == ([b"a"], 1)


def test_the_target_of_a_link_is_never_read_however_long():
    archive = member(b"././@LongLink", b"n" * 5_000_000, flag=b"K") + header(flag=b"2") + END
    reader = Reader(archive)
    assert [m.kind for m in walk(reader, len(archive))] == ["symlink"]
    assert max(length for _, length in reader.asked) <= 4096


def test_an_extended_header_without_a_member_is_damage():
    members, damages = walked(pax({b"path": b"lost"}) + END)
    assert members == []
    assert "no member" in damages[0].detail


# Damage: for each way to break an archive, every member is there or damage is.

SMALL = [("a.json", b"{}"), ("a.jpg", b"\xff\xd8" * 700), ("e.jpg", b""), ("b.json", b"[]" * 300)]
LONG = [("ü" * 70 + ".json", b"{}"), ("f/" * 60 + "b.json", b"[]" * 300), ("c.json", b"{}")]


def flips(archive, places):
    for at in places:
        for bit in range(8):
            broken = bytearray(archive)
            broken[at] ^= 1 << bit
            yield at, bytes(broken)


def body_places(archive):
    """Where the data of the members that tarfile lists lies."""
    places = set()
    for _, offset, size, _ in as_tarfile_lists(archive):
        places.update(range(offset, offset + (size + 511) // 512 * 512))
    return places


def header_blocks(archive):
    """Every block with a checksum, and the end."""
    bodies = body_places(archive)
    starts = [at for at in range(0, len(archive), 512) if at not in bodies]
    summed = [at for at in starts if archive[at + 257 : at + 262] == b"ustar"]
    return [*summed, *starts[-2:]]


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("files", [SMALL, LONG], ids=["short names", "long names"])
def test_a_flipped_bit_in_a_header_leaves_all_members_or_is_damage(files, form):
    if files is LONG and form == "ustar":
        files = files[1:]
    archive = by_tarfile(files, form)
    whole = sound(archive)
    blocks = header_blocks(archive)
    assert len(blocks) >= len(files) + 2
    for at, broken in flips(archive, (b + i for b in blocks for i in range(512))):
        members, damages = walked(broken)
        assert members == whole or damages, f"byte {at}"


def test_a_flipped_bit_in_a_header_costs_that_member_alone():
    archive = by_tarfile(SMALL)
    whole = sound(archive)
    for at, broken in flips(archive, (b + i for b in header_blocks(archive) for i in range(512))):
        members, damages = walked(broken)
        rest = [m for m in whole if m.header_offset != at // 512 * 512]
        assert members == (rest if damages else whole)


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_a_flipped_bit_in_a_long_name_never_costs_a_member_without_damage(form):
    archive = by_tarfile(LONG, form)
    whole = sound(archive)
    bodies = set(range(len(archive) - 1024)) - body_places(archive)
    bodies -= {b + i for b in header_blocks(archive) for i in range(512)}
    assert len(bodies) >= 1024
    for _, broken in flips(archive, sorted(bodies)):
        members, damages = walked(broken)
        assert damages or [m[1:] for m in members] == [m[1:] for m in whole]


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("files", [SMALL, LONG[1:]], ids=["short names", "long names"])
def test_a_truncated_archive_is_damage_and_keeps_the_members_before(files, form):
    archive = by_tarfile(files, form)
    whole = sound(archive)
    for length in range(len(archive)):
        members, damages = walked(archive[:length])
        assert damages
        assert members == [m for m in whole if m.offset + m.size <= length]


def test_blanked_blocks_are_damage():
    archive = by_tarfile(SMALL)
    whole = sound(archive)
    for at in (m.header_offset for m in whole):
        members, damages = walked(archive[:at] + ZEROS + archive[at + 512 :])
        assert damages
        assert members == [m for m in whole if m.header_offset != at]


def test_an_archive_that_goes_on_in_zeros_is_an_unfinished_download():
    archive = by_tarfile(SMALL)
    assert len(sound(archive + bytes(walking.PADDING_CAP - 1024))) == len(SMALL)
    members, damages = walked(archive + bytes(walking.PADDING_CAP))
    assert len(members) == len(SMALL)
    assert "unfinished" in damages[0].detail


def test_a_sum_that_is_wrong_by_the_modulus_of_adler32_is_damage():
    fields = {"name": b"\xff" * 99, "rest": b"ustar\x0000" + bytes(81) + b"\xff" * 166}
    right = header(**fields)
    wrong = header(**fields, checksum=b"%06o\x00 " % (int(right[:154][148:], 8) - 65521))
    assert len(sound(right + END)) == 1
    members, damages = walked(wrong + END)
    assert (members, len(damages)) == ([], 1)


@pytest.mark.parametrize("gap", [b"", ZEROS, bytes(9216)])
def test_members_behind_the_end_are_damage_and_found(gap):
    one, two = by_tarfile(SMALL), by_tarfile(LONG, "pax")
    members, (damage,) = walked(one + gap + two)
    assert names(members) == names(sound(one)) + names(sound(two))
    assert damage.offset == len(one + gap)
    assert "has ended" in damage.detail


def test_members_behind_one_zero_block_are_damage_and_found():
    members, damages = walked(member(b"a", b"") + ZEROS + member(b"b", b"") + END)
    assert (names(members), len(damages)) == ([b"a", b"b"], 1)


@pytest.mark.parametrize("junk", [b"j", b"j" * 512, b"j" * 2000, bytes(512) + b"j"])
def test_junk_behind_the_end_is_damage(junk):
    members, (damage,) = walked(by_tarfile(SMALL) + junk)
    assert len(members) == len(SMALL)
    assert "nothing behind it" in damage.detail


@pytest.mark.parametrize("end", [b"", ZEROS, ZEROS + bytes(511), bytes(300)])
def test_an_archive_without_its_two_zero_blocks_is_damage(end):
    members, (damage,) = walked(member(b"a", b"") + end)
    assert names(members) == [b"a"]
    assert damage == Damage(512, "the archive stops without its two zero blocks")


def test_an_archive_within_an_archive_is_opened_only_by_damage():
    inner = by_tarfile([("in.json", b"{}")])
    archive = bytearray(by_tarfile([("in.tar", inner), ("out.json", b"{}")]))
    assert names(sound(bytes(archive))) == [b"in.tar", b"out.json"]
    archive[0] ^= 1
    members, damages = walked(bytes(archive))
    assert names(members) == [b"in.json", b"out.json"]
    assert [d.offset for d in damages] == [0, 2560]


@pytest.mark.parametrize("content", [b"x", b"<html>" * 500, os.urandom(5000)])
def test_what_is_no_archive_is_damage(content):
    members, damages = walked(content)
    assert (members, len(damages)) == ([], 1)


# Hostile archives.


@pytest.mark.parametrize(
    "size",
    [
        b"-0000001000",
        b"\xff" * 11 + b"\x00",  # -256 in base 256: a walker that adds it never ends
        b"\xff" * 10 + b"\xfe\x00",
        b"\x80" + b"\xff" * 11,
        b"77777777777",
        b"99999999999",
        b"not a size!!",
        b"0x0000001ff",
    ],
)
@pytest.mark.parametrize("flag", [b"0", b"x", b"g", b"L", b"K", b"S", b"Z"])
def test_a_forged_size_is_damage_and_the_next_member_is_found(size, flag):
    archive = header(b"forged", size, flag) + padded(b"data") + member(b"behind", b"data") + END
    reader = Reader(archive)
    damage, found = walk(reader, len(archive))
    assert (damage.offset, found.name) == (0, b"behind")
    assert len(reader.asked) < 10


@pytest.mark.parametrize("size", [b"-1", b"99999999999999999999", b"9" * 5000, b"0x10", b""])
def test_a_forged_size_in_pax_is_damage_and_the_next_member_is_found(size):
    forged = pax({b"size": size}) + header(b"forged", 1)
    members, damages = walked(forged + padded(b"data") + member(b"behind", b"data") + END)
    assert (names(members), len(damages) > 0) == ([b"behind"], True)


def test_a_hundred_thousand_empty_members_take_a_read_for_eight():
    archive = header() * 100_000 + END
    reader = Reader(archive)
    assert sum(m.size == 0 for m in walk(reader, len(archive))) == 100_000
    assert len(reader.asked) == 100_000 * 512 // WINDOW + 3


def test_a_chain_of_sparse_headers_is_followed_once():
    """Each block claims to be a sparse file, and to be continued in the next block."""
    chained = header(flag=b"S", rest=b"ustar  \x00" + b"\x01" * (512 - 265), size=512)
    reader = Reader(chained * 2000)
    (damage,) = walk(reader, 2000 * 512)
    assert "are not all there" in damage.detail
    assert len(reader.asked) < 3 * 2000


def test_a_file_of_holes_is_not_searched_to_its_end(monkeypatch):
    monkeypatch.setattr(walking, "SCAN_CAP", 1 << 20)
    for front in (padded(b"junk"), member(b"a", b"") + END):
        reader = Reader(front)

        def read(length, offset, reader=reader):
            return reader(length, offset).ljust(length, b"\x00")

        assert isinstance(list(walk(read, 1 << 62))[-1], Damage)
        assert len(reader.asked) < (1 << 20) // 512 + 5


def test_a_file_that_shrinks_while_it_is_read_is_damage():
    archive = by_tarfile(SMALL)
    found = list(walk(Reader(archive[:1024]), len(archive)))
    assert found[1:] == [Damage(1024, "the archive stops without its two zero blocks")]


FIELDS = st.one_of(st.binary(max_size=12), st.integers(0, 3000))
FLAGS = st.sampled_from([bytes([flag]) for flag in b"0000\x001257xgLKXSVZ"]) | st.binary(
    min_size=1, max_size=1
)
HEADERS = st.builds(
    header,
    name=st.binary(max_size=100),
    size=FIELDS,
    flag=FLAGS,
    rest=st.binary(max_size=255) | st.just(b"ustar  \x00" + b"\x01" * 247),
    checksum=st.none() | st.none() | st.none() | st.binary(min_size=8, max_size=8),
)
BODIES = st.dictionaries(
    st.sampled_from([b"path", b"size", b"GNU.sparse.name", b"comment"]),
    st.binary(max_size=20) | st.integers(-5, 3000).map(lambda n: b"%d" % n),
)
BLOCKS = st.one_of(
    HEADERS,
    HEADERS,
    st.just(ZEROS),
    st.binary(max_size=512).map(padded),
    st.builds(pax, BODIES, st.sampled_from([b"x", b"g"])),
)


@settings(max_examples=500)
@given(st.lists(BLOCKS, max_size=30).map(b"".join), st.binary(max_size=20))
def test_any_blocks_at_all_are_read_a_few_times_and_give_members_that_fit(archive, rest):
    archive += rest
    assume(not any(archive.startswith(magic) for magic in walking.REFUSED))
    reader = Reader(archive)
    found = list(walk(reader, len(archive)))
    members = [f for f in found if isinstance(f, Member)]
    heads = [m.header_offset for m in members]
    assert heads == sorted(set(heads))
    assert all(m.header_offset < m.offset <= m.offset + m.size <= len(archive) for m in members)
    assert all(isinstance(m.name, bytes) for m in members)
    if not any(isinstance(f, Damage) for f in found):
        assert archive.endswith(END[: 1024 - len(rest)])
    blocks = len(archive) // 512 + 1
    assert len(reader.asked) <= 3 * blocks + 3
    assert max(length for _, length in reader.asked) <= max(4096, len(archive))


@given(st.binary(max_size=3000))
def test_any_bytes_at_all_are_refused_or_walked(content):
    try:
        members, damages = walked(content)
    except CutlineError:
        return
    assert damages or content == bytes(len(content))
    assert members == []


# What is refused.


@pytest.mark.parametrize(
    ("pack", "tool"),
    [
        (gzip.compress, "gunzip"),
        (bz2.compress, "bunzip2"),
        (lzma.compress, "unxz"),
        (b"\x28\xb5\x2f\xfd".__add__, "unzstd"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".__add__, "git lfs pull"),
    ],
)
def test_a_compressed_shard_is_refused_with_the_tool_to_use(pack, tool):
    packed = pack(by_tarfile(SMALL))
    with pytest.raises(CutlineError, match=tool):
        next(walk(Reader(packed), len(packed)))


def test_a_first_name_that_begins_as_a_compressed_file_does_is_only_a_name():
    assert names(sound(member(b"BZh91AY.json", b"{}") + END)) == [b"BZh91AY.json"]


# What is not there yet.


def unfinished(data, behind=b""):
    """An archive with zeros from within the data of its second member on, and what stands there."""
    whole = member(b"a", b"sound") + member(b"b", data)
    at = len(whole) - len(padded(data)) + 600
    return whole[:at] + bytes(len(whole) - at) + behind


@pytest.mark.parametrize("length", [1000, 1024, 5000])
@pytest.mark.parametrize(
    "behind",
    [
        bytes(walking.PADDING_CAP + 1024),
        b"",
        ZEROS,
        bytes(100),
        ZEROS + member(b"c", b"sound") + END,
    ],
    ids=["zeros", "nothing", "one block", "less than a block", "a hole and more members"],
)
def test_a_member_that_reaches_into_what_is_not_there_yet_is_damage(length, behind):
    found, damages = walked(unfinished(b"x" * length, behind))
    assert b"b" not in names(found)
    assert names(found)[:1] == [b"a"]
    assert damages[0].offset == 1024
    assert "data end in zeros" in damages[0].detail


def test_a_member_of_a_long_name_that_reaches_into_what_is_not_there_yet_is_damage():
    long = pax({b"path": b"long"}) + member(b"b", b"x" * 700 + bytes(700))
    found, damages = walked(member(b"a", b"sound") + long + bytes(walking.PADDING_CAP + 1024))
    assert (names(found), damages[0].offset) == ([b"a"], 2048)


@pytest.mark.parametrize("data", [b"", bytes(700), b"x" * 700])
def test_a_member_before_the_regular_end_may_end_in_zeros(data):
    assert names(walked(member(b"a", b"sound") + member(b"b", data) + END)[0]) == [b"a", b"b"]
    assert walked(member(b"b", data) + END)[1] == []


@pytest.mark.parametrize("missing", [walking.LONG_TAIL, 30_000])
def test_a_last_member_that_ends_in_many_zeros_is_damage_though_the_archive_ends_as_others(missing):
    """The last piece of a download is shorter than what tells of a hole."""
    data = b"x" * 40_000
    whole = member(b"a", b"sound") + member(b"b", data) + END
    at = 1024 + 512 + len(data) - missing
    found, damages = walked(whole[:at] + bytes(len(whole) - at))
    assert names(found) == [b"a"]
    assert damages[0].offset == 1024
    assert "data end in zeros" in damages[0].detail


@pytest.mark.parametrize("behind", [END, member(b"c", b"sound") + END])
def test_data_may_end_in_as_many_zeros_as_a_format_pads_with(behind):
    data = b"x" * 5_000 + bytes(walking.LONG_TAIL - 1)
    assert walked(member(b"a", data) + behind)[1] == []


def test_data_may_end_in_any_zeros_before_another_member():
    found, damages = walked(member(b"a", bytes(100_000)) + member(b"b", b"sound") + END)
    assert (names(found), damages) == ([b"a", b"b"], [])


@pytest.mark.parametrize("data", [b"", b"x" * 512, b"x" * 700])
def test_a_member_that_is_whole_stays_one_before_a_hole(data):
    hole = bytes(walking.PADDING_CAP + 1024)
    found, damages = walked(member(b"a", bytes(10)) + member(b"b", data) + hole)
    assert (names(found), len(damages)) == ([b"a", b"b"], 1)
