import os

from hypothesis import given
from hypothesis import strategies as st

from cutline.sources.tar.members import _entry, index_line
from cutline.sources.tar.walking import Member

PARTS = st.sampled_from(
    [b"a", b"b.json", b".", b"..", b"", b".h", b"x" * 256, b"\xff", b"n\0.json", b".cutline"]
)
NAMES = st.lists(PARTS, min_size=1, max_size=5).map(b"/".join)
KINDS = st.sampled_from(["regular", "directory", "symlink", "link", "device", "fifo", "sparse"])


def judged_plainly(name, kind):
    """The oracle: path, whether it is a sidecar, and the reason, as the kernel would see a name."""
    path = os.path.normpath(name).removeprefix(b"/").removeprefix(b"/")
    path = b"" if path == b"." else path
    steps = name.split(b"/")
    bad = name[:1] == b"/" or b".." in steps or any(len(step) > 255 for step in steps)
    bad = bad or path.split(b"/")[0] == b".cutline" or b"\0" in name
    folder = kind == "directory" or (kind == "regular" and name.endswith(b"/"))
    if bad or (path == b"" and not folder):
        path, reason = name, "bad_name"
    elif folder:
        reason = "directory"
    else:
        reason = None if kind == "regular" else "not_regular"
    steps = path.split(b"/")
    hidden = any(step[:1] == b"." and step != b".." for step in steps)
    below_one = any(step.endswith(b".json") for step in steps[:-1])
    return path, path.endswith(b".json") and not hidden and not below_one, reason


@given(NAMES, KINDS)
def test_a_member_is_judged_as_the_oracle_judges_it(name, kind):
    found = _entry(name, kind)
    assert (found.path, found.sidecar, found.reason) == judged_plainly(name, kind)
    assert (found.fault is None) == (found.reason is None)


def test_the_line_of_a_member_has_its_place_and_what_it_is_judged_to_be():
    line = index_line(Member(b"a/../b.json", 512, 7, "regular", 0))
    assert line == (b"a/../b.json", 512, 7, True, "bad_name", "its name leads out of the folder")
    assert index_line(Member(b"./a//b.json", 512, 7, "regular", 0)) == (
        *(b"a/b.json", 512, 7),
        *(True, None, None),
    )


def test_a_name_of_a_megabyte_is_kept_short():
    found = _entry(b"n/" * 2**19, "regular")
    assert (len(found.path), found.reason) == (4096, "bad_name")


def test_a_long_name_is_looked_at_once_and_its_sidecar_is_not_lost():
    found = _entry(b"a/" * 3000 + b"x.json", "regular")
    assert (found.reason, found.sidecar, len(found.path)) == ("bad_name", True, 4096)
