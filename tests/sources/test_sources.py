import errno
import os
import stat
import time
import uuid

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

import oracle
from cutline import in_flight
from cutline.errors import CutlineError, UsageError
from cutline.record.outcome import TOO_LARGE, Reject
from cutline.sources import local_folder
from cutline.sources.line_format import WIDE, sorted_paths
from cutline.sources.local_folder import Folder, shown_refusals
from cutline.sources.opening import open_source
from cutline.sources.passing_over import is_sidecar
from cutline.sources.remote_folder import RemoteFolder
from sidecars import as_bytes, numbered, record, write_sidecars
from trees import make_unlistable


def paths(source):
    return source.list()["path"].to_pylist()


def read(source):
    """What a source reads: {path: bytes or Reject}, in order."""
    return {path: data for path, data, _ in source.read(source.list())}


def reasons(source):
    return {path: data.reason for path, data in read(source).items() if isinstance(data, Reject)}


def file_url(folder):
    return "file://" + os.fspath(folder)


# Which files


NESTED = {
    "b.json": record("b.png"),
    "a/z.json": record("z.png"),
    "a.json": record("a.png"),
    "a.JSON": record("upper.png"),
    "a/b/c/d.json": record("d.png"),
    "a-1.json": record("a1.png"),
    "B.json": record("B.png"),
    "10.json": record("10.png"),
    "9.json": record("9.png"),
    "é/夜.json": record("e.png"),
    "a b/%20#?*[x].json": record("q.png"),
    b"caf\xe9.json": record("cafe.png"),
    b"caf\xe9/in.json": record("in.png"),
}

PASSED_OVER = {
    ".hidden.json": record("h1.png"),
    ".hidden/a.json": record("h2.png"),
    "a/.hidden/a.json": record("h3.png"),
    "a.json.gz": b"",
    "json": b"",
    "a.txt": b"a caption",
    "folder.json/a.json": record("h5.png"),
}


@pytest.fixture
def nested(tmp_path):
    return write_sidecars(tmp_path / "data", NESTED | PASSED_OVER)


def test_a_listing_is_in_the_order_of_the_paths_bytes(nested):
    found = paths(Folder(nested))
    assert found == sorted([*map(os.fsencode, NESTED), b"folder.json"])
    assert found == oracle.sidecar_paths(nested)
    assert found.index(b"10.json") < found.index(b"9.json") < found.index(b"B.json")
    assert found.index(b"a.JSON") < found.index(b"a.json") < found.index(b"a/z.json")


def test_a_listing_over_a_url_is_the_same(nested):
    assert paths(open_source(file_url(nested))) == paths(open_source(nested))


def test_folders_that_are_links_are_not_entered(tmp_path):
    folder = write_sidecars(tmp_path / "data", {"a.json": record()})
    outside = write_sidecars(tmp_path / "outside", {"b.json": record()})
    os.symlink(outside, f"{folder}/link")
    os.symlink(".", f"{folder}/loop")
    assert paths(Folder(folder)) == [b"a.json"]
    assert paths(open_source(file_url(folder))) == [b"a.json"]


def test_a_link_that_leads_to_itself_is_a_shard_that_cannot_be_looked_at(tmp_path):
    os.symlink("loop.tar", tmp_path / "loop.tar")
    with pytest.raises(UsageError, match=r"loop\.tar cannot be looked at \(Too many .* away"):
        open_source(tmp_path)


def test_the_source_itself_may_be_a_link(tmp_path):
    folder = write_sidecars(tmp_path / "data", {"a.json": record()})
    os.symlink(folder, tmp_path / "link")
    assert paths(open_source(tmp_path / "link")) == [b"a.json"]


def test_a_folder_that_cannot_be_listed_is_named_in_one_sentence(tmp_path):
    make_unlistable(tmp_path)
    with pytest.raises(CutlineError, match=r"/x+/ cannot be listed: File name too long\. Make it"):
        Folder(os.fspath(tmp_path)).list()


def test_what_cannot_be_listed_is_told_and_the_rest_is_listed(tmp_path):
    write_sidecars(tmp_path, {"a.json": record(), "z/b.json": record()})
    make_unlistable(tmp_path)
    errors = []
    lines = open_source(tmp_path).list(errors.append)
    assert lines["path"].to_pylist() == [b"a.json", b"z/b.json"]
    (error,) = errors
    assert "x" * 250 in str(error.filename)
    said = shown_refusals([error] * 5)
    assert said.startswith("These folders cannot be listed, and what is in them is left out: /")
    assert "(File name too long) and 2 more: make them readable" in said
    assert shown_refusals([]) == ""


@pytest.mark.parametrize("place", ["{}", "file://{}"])
@pytest.mark.parametrize(
    "path",
    ["lost+found/a.json", ".Trash-0/a.json", "$RECYCLE.BIN/a.json", "@eaDir/a.json/x.json",
     "sub/System Volume Information/a.json", ".snapshot/a.json", "LOST.DIR/../lost+found/a.json",
     "x.cutline/a.json", "sub/x.webshart/a.json", "aspect_ratio_bucket_indices_x.json",
     "sub/aspect_ratio_bucket_metadata_x.json", "multidatabackend.json"],
)  # fmt: skip
def test_what_is_of_systems_of_the_trainer_or_of_other_jobs_is_no_sidecar(tmp_path, path, place):
    write_sidecars(tmp_path, {"LOST.DIR/k.json": record(), "car.parts/b.json": record()})
    write_sidecars(tmp_path, {path: record()})
    found = open_source(place.format(tmp_path)).list()["path"].to_pylist()
    assert found == [b"LOST.DIR/k.json", b"car.parts/b.json"]


@pytest.mark.parametrize("place", ["{}", "file://{}"])
def test_a_folder_that_is_called_like_a_file_of_the_trainer_is_a_folder(tmp_path, place):
    write_sidecars(tmp_path, {"multidatabackend.json/a.json": record()})
    found = open_source(place.format(tmp_path)).list()["path"].to_pylist()
    assert found == [b"multidatabackend.json/a.json"]


components = st.binary(min_size=1, max_size=4).map(lambda name: name.replace(b"/", b"."))
names = st.builds(
    bytes.__add__, components, st.sampled_from([b".json", b"", b".JSON"])
) | st.sampled_from([b".json", b"json", b".a.json", b"a.json", b"a.json.json"])


@given(st.lists(names, min_size=1, max_size=4).map(b"/".join))
def test_a_path_of_a_url_is_judged_as_the_walk_of_a_folder_would(path):
    *folders, name = path.lower().split(b"/")
    hidden = any(one.startswith(b".") and one != b".." for one in (*folders, name))
    found = name.endswith(b".json") and not any(one.endswith(b".json") for one in folders)
    assert is_sidecar(path.split(b"/")) == (found and not hidden)


# What they hold


def test_every_sidecar_is_read_whole_in_the_order_of_the_listing(nested):
    expected = {os.fsencode(path): as_bytes(sidecar) for path, sidecar in NESTED.items()}
    for source in (open_source(nested), open_source(file_url(nested))):
        found = read(source)
        assert list(found) == paths(source)
        assert found.pop(b"folder.json").reason == "unreadable"
        assert found == expected


@pytest.fixture
def odd(tmp_path):
    """A folder with everything that can stand where a sidecar should be."""
    folder = write_sidecars(tmp_path / "data", {"good.json": record(), "empty.json": b""})
    os.mkdir(f"{folder}/folder.json")
    os.mkfifo(f"{folder}/pipe.json")
    os.symlink("good.json", f"{folder}/link.json")
    os.symlink("nowhere", f"{folder}/dangling.json")
    os.symlink("loop.json", f"{folder}/loop.json")
    os.symlink("folder.json", f"{folder}/linked folder.json")
    os.symlink("pipe.json", f"{folder}/linked pipe.json")
    os.symlink("/dev/zero", f"{folder}/endless.json")
    os.mknod(f"{folder}/socket.json", stat.S_IFSOCK | 0o600)
    return folder


@pytest.mark.parametrize("url", [os.fspath, file_url])
def test_what_is_no_file_is_unreadable_and_nobody_waits_for_it(odd, url):
    source = open_source(url(odd))
    found = read(source)
    assert set(reasons(source).values()) == {"unreadable"}
    readable = {path for path, data in found.items() if isinstance(data, bytes)}
    assert readable == {b"good.json", b"link.json", b"empty.json"}
    assert found[b"link.json"] == found[b"good.json"] == as_bytes(record())
    assert found[b"empty.json"] == b""
    assert len(found) == 11


def test_why_a_sidecar_cannot_be_read_is_told_without_this_machines_paths(odd):
    details = {path: data.detail for path, data in read(Folder(odd)).items() if len(data) == 3}
    assert details == {
        b"dangling.json": "No such file or directory",
        b"endless.json": "it is not a regular file",
        b"folder.json": "it is a folder",
        b"linked folder.json": "it is a folder",
        b"linked pipe.json": "it is not a regular file",
        b"loop.json": "Too many levels of symbolic links",
        b"pipe.json": "it is not a regular file",
        b"socket.json": "No such device or address",
    }


@pytest.mark.parametrize("url", [os.fspath, file_url])
def test_a_stamp_tells_what_cannot_be_read(odd, url):
    source = open_source(url(odd))
    lines = source.list()
    told = map(source.is_unreadable, source.stamps(lines))
    assert {path for path, odd in zip(paths(source), told, strict=True) if odd} == set(
        reasons(source)
    )


@pytest.mark.parametrize("url", [os.fspath, file_url])
def test_a_sidecar_may_have_16_mib_and_not_a_byte_more(tmp_path, url):
    for size in (TOO_LARGE - 1, TOO_LARGE, TOO_LARGE + 1, 2**26):
        with open(tmp_path / f"{size}.json", "wb") as file:
            file.truncate(size)
    found = read(open_source(url(tmp_path)))
    assert found.pop(b"67108864.json").reason == "too_large"
    assert found.pop(b"16777217.json") == Reject(
        "too_large", "16,777,217 bytes are more than 16,777,216"
    )
    assert {path: len(data) for path, data in found.items()} == {
        b"16777215.json": 16777215,
        b"16777216.json": 16777216,
    }


def test_a_folder_that_is_gone_is_told_of_each_of_its_sidecars(tmp_path):
    sidecars = {"a/1.json": record(), "b/1.json": record(), "b/2.json": record(), "c.json": b""}
    folder = write_sidecars(tmp_path / "data", sidecars)
    source = Folder(folder)
    lines = source.list()
    os.rename(f"{folder}/b", f"{folder}/elsewhere")
    found = {path: data for path, data, _ in source.read(lines)}
    gone = Reject("unreadable", "No such file or directory")
    assert found == {b"a/1.json": as_bytes(record()), b"b/1.json": gone, b"b/2.json": gone} | {
        b"c.json": b""
    }


# What changes meanwhile


def read_while_it_changes(tmp_path, monkeypatch, size):
    """Return what is read of a file of 100,000 bytes, of another size once it is looked at."""
    path = tmp_path / "a.json"
    path.write_bytes(b"x" * 100_000)
    look = os.fstat

    def look_and_change(descriptor):
        status = look(descriptor)
        os.truncate(path, size)
        return status

    root = os.open(tmp_path, os.O_RDONLY)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", look_and_change)
        _, data, _ = local_folder.read_file(root, b"a.json")
    os.close(root)
    return data


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_001, 300_000, TOO_LARGE])
def test_a_file_that_grows_or_shrinks_between_look_and_read_is_read_as_it_is(
    tmp_path, monkeypatch, size
):
    data = read_while_it_changes(tmp_path, monkeypatch, size)
    assert data == (tmp_path / "a.json").read_bytes()
    assert len(data) == size


@pytest.mark.parametrize("size", [TOO_LARGE + 1, 2**26])
def test_a_file_that_grows_too_large_between_look_and_read_is_too_large(
    tmp_path, monkeypatch, size
):
    assert read_while_it_changes(tmp_path, monkeypatch, size).reason == "too_large"


def test_a_stamp_is_of_before_the_read_so_that_a_later_change_is_found(tmp_path):
    folder = write_sidecars(tmp_path, {"a.json": b"before"})
    source = Folder(folder)
    lines = source.list()
    [(_, _, stamp)] = source.read(lines)
    assert [stamp] == source.stamps(lines)
    write_sidecars(tmp_path, {"a.json": b"after!"})
    os.utime(tmp_path / "a.json", ns=(0, stamp[2]))  # as tar sets what it unpacks
    assert [stamp] != source.stamps(lines)


# Other file systems


@pytest.fixture
def memory():
    """The URL of a folder in fsspec's memory, and its file system."""
    fs = fsspec.filesystem("memory")
    folder = f"/{uuid.uuid4().hex}"
    fs.makedirs(folder)
    yield f"memory:/{folder}", fs
    fs.rm(folder, recursive=True)


def test_a_folder_in_memory_is_read_as_a_local_one(memory, nested):
    url, fs = memory
    root = fs._strip_protocol(url)
    for path in oracle.sidecar_paths(nested):
        data = oracle.read(os.path.join(os.fsencode(nested), path))
        if isinstance(data, bytes):
            fs.pipe(f"{root}/{os.fsdecode(path)}", data)
    fs.pipe(f"{root}/folder.json/a.json", b"{}")
    fs.pipe(f"{root}/.hidden/a.json", b"{}")
    fs.pipe(f"{root}x/beside.json", b"{}")  # a folder whose name begins the same
    assert read(open_source(url)).keys() == read(open_source(nested)).keys()
    assert [data for data in read(open_source(url)).values() if isinstance(data, bytes)] == [
        data for data in read(open_source(nested)).values() if isinstance(data, bytes)
    ]
    assert reasons(open_source(url)) == reasons(open_source(nested))
    fs.rm(f"{root}x", recursive=True)


def test_more_sidecars_than_are_read_at_once_come_in_order(memory):
    url, fs = memory
    expected = {f"{n:05}.json": str(n).encode() for n in range(300)}
    for path, data in expected.items():
        fs.pipe(f"{fs._strip_protocol(url)}/{path}", data)
    found = read(open_source(url))
    assert [(os.fsdecode(path), data) for path, data in found.items()] == [*expected.items()]


def test_an_object_that_vanishes_after_the_listing_is_no_reject(memory):
    url, fs = memory
    for name in "abc":
        fs.pipe(f"{fs._strip_protocol(url)}/{name}.json", b"{}")
    source = open_source(url)
    lines = source.list()
    fs.rm(f"{fs._strip_protocol(url)}/b.json")
    with pytest.raises(
        CutlineError, match=r"b\.json cannot be read \(it is not there\): .*run this"
    ):
        list(source.read(lines))


class Unreachable(MemoryFileSystem):
    """A server that goes away when it is asked for a list."""

    protocol = "unreachable"

    def ls(self, *_, **__):
        raise ConnectionResetError(104, "the server has gone")


def test_a_server_that_goes_while_it_is_listed_is_one_sentence():
    fsspec.register_implementation("unreachable", Unreachable)
    with pytest.raises(CutlineError) as caught:
        RemoteFolder("unreachable://folder").list()
    assert str(caught.value) == (
        "unreachable://folder cannot be read (the server has gone): check that each worker"
        " reaches its server, and run this again."
    )


def test_a_worker_that_lacks_a_package_for_the_source_says_so_in_one_sentence(memory):
    lines = open_source(memory[0]).list()
    lacking = RemoteFolder("nothing-like-this://folder")
    with pytest.raises(
        CutlineError, match=r"^nothing-like-this://folder cannot be opened \(Protocol not known"
    ):
        list(lacking.read(lines))


def test_an_object_whose_size_the_listing_does_not_tell_is_still_not_read_beyond_16_mib(memory):
    url, fs = memory
    fs.pipe(f"{fs._strip_protocol(url)}/a.json", bytes(TOO_LARGE + 10))
    source = open_source(url)
    lines = source.list()
    untold = lines.set_column(1, "size", [[None]]).cast(lines.schema)
    [(_, known, _)] = source.read(lines)
    [(_, unknown, _)] = source.read(untold)
    assert known.detail == "16,777,226 bytes are more than 16,777,216"
    assert unknown.detail == "16,777,217 bytes are more than 16,777,216"


# What is asked for


def test_a_local_path_takes_the_fast_way_and_a_url_its_file_system(tmp_path):
    assert open_source(tmp_path) == Folder(os.fspath(tmp_path))
    assert open_source(file_url(tmp_path)) == RemoteFolder(file_url(tmp_path))


def test_a_relative_source_means_the_same_on_a_worker_that_runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("data")
    assert open_source("data/").root == os.fspath(tmp_path / "data")


@pytest.mark.parametrize("url", [os.fspath, file_url])
def test_a_source_that_is_not_there_is_refused_with_the_mend(tmp_path, url):
    with pytest.raises(UsageError, match="is not there: name the folder"):
        open_source(url(tmp_path / "nothing"))


def test_a_source_that_is_a_file_is_refused_with_the_mend(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError, match=r"a\.json is a file: name the folder"):
        open_source(tmp_path / "a.json")


@pytest.mark.parametrize(
    "url",
    ["nosuch://bucket/x", "://", "memory://nothing/here", "reference://x", "dir://x"],
)
def test_a_url_that_leads_nowhere_is_refused(url):
    with pytest.raises(UsageError, match=r" (cannot be opened|is not there)"):
        open_source(url)


def test_reading_leaves_no_file_open(tmp_path):
    folder = write_sidecars(tmp_path, numbered(20) | {"x/1.json": b""})
    os.mkdir(f"{folder}/d.json")
    before = len(os.listdir("/proc/self/fd"))
    assert len(read(Folder(folder))) == 22
    assert len(os.listdir("/proc/self/fd")) == before


names = st.binary(max_size=9).map(lambda name: name.replace(b"\0", b"/"))


@pytest.mark.parametrize("wide", [0, WIDE])
@given(paths=st.lists(names))
def test_paths_are_sorted_as_bytes_and_each_comes_once(wide, paths):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cutline.sources.line_format.WIDE", wide)
        assert sorted_paths(paths).to_pylist() == sorted(set(paths))


# Where entries have to be asked what they are


class _Unknown:
    """An entry of a folder that takes long to tell what it is, and how often it was asked."""

    asked = 0

    def __init__(self, entry):
        self.name = entry.name
        self._entry = entry
        self._told = None

    def is_dir(self, *, follow_symlinks):
        if self._told is None:
            type(self).asked += 1
            time.sleep(2 * in_flight.SLOW)
            self._told = self._entry.is_dir(follow_symlinks=follow_symlinks)
        return self._told


@pytest.fixture
def slow_kinds(monkeypatch):
    entries = local_folder._entries
    monkeypatch.setattr(
        local_folder, "_entries", lambda *args: (_Unknown(entry) for entry in entries(*args))
    )
    monkeypatch.setattr(_Unknown, "asked", 0)
    # As file systems count them that count folders; overlayfs and btrfs do not.
    monkeypatch.setattr(
        local_folder,
        "_links_of",
        lambda folder: 2 + sum(entry.is_dir() for entry in os.scandir(folder)),
    )


@pytest.mark.parametrize("limit", [None, 10**6])
def test_where_kinds_take_long_files_are_not_asked_as_long_as_the_links_account_for_folders(
    tmp_path, slow_kinds, limit
):
    names = [f"{folder}{name}" for folder in ("", "a/", "a/b/") for name in numbered(40)]
    data = write_sidecars(tmp_path / "data", {name: {} for name in names})
    for name in names:
        (tmp_path / "data" / name).with_suffix(".jpg").touch()
        (tmp_path / "data" / name).with_suffix(".txt").touch()
    assert Folder(data).list(limit=limit)["path"].to_pylist() == sorted(map(os.fsencode, names))
    assert _Unknown.asked <= 3 * local_folder.FEW + 2


@pytest.mark.parametrize("links", [0, 1, 5])
def test_where_kinds_take_long_a_folder_named_like_an_image_is_found(
    tmp_path, slow_kinds, monkeypatch, links
):
    files = {f"{folder}{name}": {} for folder in ("", "x.jpg/", "a.txt/") for name in numbered(9)}
    data = write_sidecars(tmp_path / "data", files)
    for number in range(9):
        (tmp_path / "data" / f"{number}.png").touch()
    assert paths(Folder(data)) == sorted(map(os.fsencode, files))
    # As on file systems that count no links of folders, or others, or do not tell.
    monkeypatch.setattr(local_folder, "_links_of", lambda _: links)
    assert paths(Folder(data)) == sorted(map(os.fsencode, files))


def test_what_does_not_tell_what_it_is_is_refused_and_not_passed_over(tmp_path, monkeypatch):
    data = write_sidecars(tmp_path / "data", numbered(3))
    (tmp_path / "data" / "closed").mkdir()

    class Closed(_Unknown):
        def is_dir(self, **_):
            raise PermissionError(errno.EACCES, "Permission denied", f"/proc/self/fd/9/{self.name}")

    entries = local_folder._entries
    monkeypatch.setattr(
        local_folder, "_entries", lambda *args: (Closed(entry) for entry in entries(*args))
    )
    refused = []
    assert len(Folder(data).list(refused.append)) == 3
    assert [error.filename for error in refused] == [os.fsencode(f"{data}/closed")]
    with pytest.raises(CutlineError, match="closed cannot be listed: Permission denied"):
        Folder(data).list()
