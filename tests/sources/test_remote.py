import functools
import http.server
import threading
from contextlib import contextmanager

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile
from hypothesis import given
from hypothesis import strategies as st

from cutline.errors import CutlineError
from cutline.sources.opening import open_source
from cutline.sources.remote_file import FAR, NEAR, WHOLE, Remote
from cutline.sources.tar.walking import walk
from cutline.sources.tar_shards import RemoteShard
from tar_bytes import Reader, by_tarfile, header

URL = "memory://shards/a.tar"


def put(content):
    fsspec.filesystem("memory").pipe_file("shards/a.tar", content)


@pytest.fixture
def ranges(monkeypatch):
    """The offset and length of each range that is read."""
    seen = []
    read = MemoryFile.read

    def noted(file, length=-1):
        start = file.tell()
        content = read(file, length)
        seen.append((start, len(content)))
        return content

    monkeypatch.setattr(MemoryFile, "read", noted)
    return seen


@given(st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 40_000))))
def test_any_reads_in_any_order_give_the_bytes_that_are_there(reads):
    content = bytes(n * n % 251 for n in range(60_000))
    put(content)
    remote = Remote(URL)
    assert remote.size == len(content)
    for offset, length in reads:
        assert remote(length, offset) == content[offset : offset + length]


def test_a_remote_shard_has_the_members_of_a_local_one(tmp_path):
    archive = by_tarfile([("a.json", b"{}"), ("a.jpg", bytes(50_000)), ("ü" * 80, b"{}")], "pax")
    put(archive)
    (tmp_path / "a.tar").write_bytes(archive)
    for url in (URL, (tmp_path / "a.tar").as_uri()):
        remote = Remote(url)
        assert list(walk(remote, remote.size)) == list(walk(Reader(archive), len(archive)))


def test_a_sample_with_a_large_image_is_one_range_and_its_image_stays_where_it_is(ranges):
    samples = 50
    files = []
    for n in range(samples):
        files += [(f"{n:07}.jpg", bytes(700_000)), (f"{n:07}.json", b"{}" * 1000)]
    put(by_tarfile(files))
    ranges.clear()
    remote = Remote(URL)
    sidecars = [
        remote(m.size, m.offset) for m in walk(remote, remote.size) if m.name.endswith(b".json")
    ]
    assert sidecars == [b"{}" * 1000] * samples
    assert len(ranges) <= samples + 1
    assert sum(length for _, length in ranges) <= NEAR * (samples + 2)


def test_small_members_come_in_ranges_that_grow(ranges):
    archive = header() * 80_000 + bytes(1024)
    put(archive)
    ranges.clear()
    remote = Remote(URL)
    assert sum(1 for _ in walk(remote, remote.size)) == 80_000
    assert len(ranges) < 24
    assert sum(length for _, length in ranges) < 1.01 * len(archive)
    assert max(length for _, length in ranges) <= FAR


def test_a_small_shard_is_walked_in_one_request(ranges):
    archive = by_tarfile([(f"{n}.jpg", bytes(100_000)) for n in range(50)])
    put(archive)
    ranges.clear()
    remote = Remote(URL)
    assert sum(1 for _ in walk(remote, remote.size)) == 50
    assert ranges == [(0, len(archive))]


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Say nothing of a client that has heard enough."""


@contextmanager
def served(handler):
    """The URL of a server."""
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def rangeless(tmp_path):
    """The URL of a server that knows no ranges, as Python's own does not."""
    with served(functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)) as url:
        yield url


def test_a_server_that_knows_no_ranges_is_refused_with_the_mend(rangeless, tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "a.tar").write_bytes(by_tarfile([("a.jpg", bytes(WHOLE)), ("a.json", b"{}")]))
    remote = Remote(f"{rangeless}/a.tar")
    with pytest.raises(CutlineError, match="download it first"):
        list(walk(remote, remote.size))


def test_a_small_shard_of_such_a_server_gives_no_other_bytes_for_a_sidecar(rangeless, tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "a.tar").write_bytes(by_tarfile([("a.json", b"{}"), ("b.json", b"{}")]))
    with pytest.raises(CutlineError, match="download it first"):
        list(RemoteShard(f"{rangeless}/a.tar").read_spans([(512, 2)]))


def test_nothing_of_a_server_that_tells_no_stamps_is_known_again(rangeless, tmp_path):
    pytest.importorskip("aiohttp")
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_bytes(b"{}")
    source = open_source(rangeless)
    first, second = source.list(), source.list()
    assert first["path"].equals(second["path"])
    assert not set(first["stamp"].to_pylist()) & set(second["stamp"].to_pylist())


def test_a_server_that_goes_while_a_shard_is_read_is_said_with_the_shard(tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "a.tar").write_bytes(bytes(1000))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with served(handler) as url:
        shard = RemoteShard(f"{url}/a.tar")
    with pytest.raises(
        CutlineError,
        match=r"^http.*/a.tar cannot be read \(Connect.*\): check that each worker reaches",
    ):
        shard.copy(0, 10, -1)
