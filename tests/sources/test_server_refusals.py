"""What servers refuse: asked again, then one sentence that says what to do, and never a reject."""

import functools
import http.server
import os
import pickle
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from test_remote import served

from cutline import CompileOptions, compile_table
from cutline.cluster.flattening import flattened
from cutline.errors import CutlineError, UsageError
from cutline.sources.opening import open_source
from cutline.sources.remote_file import open_filesystem
from sidecars import numbered, record, write_sidecars
from tar_bytes import by_tarfile

pytest.importorskip("aiohttp")

RUN = (sys.executable, "-m", "cutline")
SIDECARS = numbered(12)


class Answers(http.server.SimpleHTTPRequestHandler):
    """Serves a folder in ranges; what is in `faults` decides what becomes of a request."""

    protocol_version = "HTTP/1.1"
    faults = ()

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        if not self.is_faulty():
            super().do_GET()

    def do_HEAD(self):
        if not self.is_faulty():
            super().do_HEAD()

    def is_faulty(self):
        return any(re.search(names, self.path) and fault(self) for names, fault in self.faults)

    def send_head(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if not asked or os.path.isdir(path) or not os.path.exists(path):
            return super().send_head()
        with open(path, "rb") as file:
            data = file.read()
        piece = data[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(piece)))
        self.send_header("Content-Range", f"bytes {asked[1]}-{asked[2]}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(piece)
        return None


def status(code, times=10**9, **headers):
    """Answer with a status, so many times for each path."""
    seen = Counter()

    def answer(handler):
        seen[handler.path] += 1
        if seen[handler.path] > times:
            return False
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def reset(times):
    """Close the connection without a word, so many times for each path."""
    seen = Counter()

    def answer(handler):
        seen[handler.path] += 1
        if seen[handler.path] > times:
            return False
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return True

    return answer


def cut_short(times):
    """Send half of a body, so many times for each path."""
    seen = Counter()

    def answer(handler):
        seen[handler.path] += 1
        if seen[handler.path] > times or handler.command == "HEAD":
            return False
        handler.send_response(206 if "Range" in handler.headers else 200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{" * 500)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True
        return True

    return answer


@contextmanager
def serving(folder, *faults):
    handler = type("Handler", (Answers,), {"faults": faults})
    with served(functools.partial(handler, directory=folder)) as url:
        yield url


@pytest.fixture
def sidecars(tmp_path):
    return write_sidecars(tmp_path / "served", SIDECARS)


@pytest.fixture
def shards(tmp_path):
    """The folder of a shard whose members are in several requests."""
    members = []
    for n in range(12):
        members += [(f"{n}.json", b"{}"), (f"{n}.jpg", bytes(100_000))]
    os.mkdir(tmp_path / "served")
    (tmp_path / "served" / "a.tar").write_bytes(by_tarfile(members))
    return tmp_path / "served"


def compiled(url, tmp_path, **more):
    return compile_table(url, tmp_path / "t.parquet", CompileOptions(max_rejects=1), **more)


MENDS = {
    401: r"HTTP 401 Unauthorized\): this needs a token",
    403: r"HTTP 403 Forbidden\): this needs a token",
    404: r"HTTP 404 Not Found\): correct the URL, or run this again if it has changed",
    416: r"HTTP 416 .*\): it has changed since it was listed",
    429: r"HTTP 429 Too Many Requests\): it is asked too often, so wait",
    500: r"HTTP 500 Internal Server Error\): wait and run this again",
    502: r"HTTP 502 Bad Gateway\): wait and run this again",
    503: r"HTTP 503 Service Unavailable\): wait and run this again",
    504: r"HTTP 504 Gateway Timeout\): wait and run this again",
}


@pytest.mark.parametrize("code", MENDS)
def test_a_sidecar_that_is_refused_fails_the_job_in_one_sentence(sidecars, tmp_path, code):
    with (
        serving(sidecars, ("/005.json", status(code))) as url,
        pytest.raises(
            CutlineError, match=rf"^{url}/005\.json cannot be read \({MENDS[code]}"
        ) as caught,
    ):
        compiled(url, tmp_path)
    assert caught.value.status == code
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert flattened(caught.value) is caught.value
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize("code", set(MENDS) - {416})
def test_a_shard_that_is_refused_fails_the_job_in_one_sentence(shards, tmp_path, code):
    with (
        serving(shards, ("/a.tar", status(code))) as url,
        pytest.raises(CutlineError, match=rf"^{url}/a\.tar cannot be read \({MENDS[code]}"),
    ):
        compiled(f"{url}/a.tar", tmp_path)


@pytest.mark.parametrize("code", set(MENDS) - {404, 416})
@pytest.mark.parametrize("path", ["", "/sub"])
def test_a_folder_that_cannot_be_listed_fails_the_job_in_one_sentence(
    sidecars, tmp_path, code, path
):
    os.mkdir(f"{sidecars}/sub")
    with (
        serving(sidecars, (f"^{path}/?$", status(code))) as url,
        pytest.raises(CutlineError, match=rf"^{url}{path} cannot be read \({MENDS[code]}"),
    ):
        compiled(url, tmp_path)


def test_a_url_that_is_not_there_is_wrong_usage(sidecars):
    with serving(sidecars) as url:
        for path in ("nothing", "nothing/*.tar"):
            with pytest.raises(UsageError, match=r"is not there: name|No shard is named by"):
                open_source(f"{url}/{path}")


FAULTS = {
    "503": lambda: status(503, 2),
    "429": lambda: status(429, 2, Retry_After="0"),
    "reset": lambda: reset(2),
    "short": lambda: cut_short(2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_server_refuses_twice_is_asked_for_again(sidecars, tmp_path, fault):
    with serving(sidecars, (r"\.json" if fault == "short" else "", FAULTS[fault]())) as url:
        summary = compiled(url, tmp_path)
    assert (summary.rows, summary.rejects) == (len(SIDECARS), {})


@pytest.mark.parametrize("fault", FAULTS)
def test_a_shard_of_such_a_server_gives_its_rows_too(shards, tmp_path, fault):
    by_itself = compile_table(shards, tmp_path / "local.parquet", CompileOptions(max_rejects=1))
    with serving(shards, (r"\.tar", FAULTS[fault]())) as url:
        summary = compiled(f"{url}/a.tar", tmp_path)
    assert (summary.sidecars, summary.rejects) == (by_itself.sidecars, by_itself.rejects)


def test_a_body_that_stays_short_is_an_error_and_no_reject(sidecars, tmp_path):
    with (
        serving(sidecars, ("/005.json", cut_short(99))) as url,
        pytest.raises(CutlineError, match=r"/005\.json cannot be read .*: check that each worker"),
    ):
        compiled(url, tmp_path)


@pytest.mark.parametrize(
    "after",
    ["3", format_datetime(datetime.now(UTC) + timedelta(days=400))],
    ids=["seconds", "date"],
)
def test_the_pause_that_a_server_asks_for_is_made_unless_it_is_too_long(
    sidecars, monkeypatch, after
):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with serving(sidecars, ("/005.json", status(429, 1, Retry_After=after))) as url:
        source = open_source(url)
        lines = source.list()
        if after == "3":
            assert all(isinstance(data, bytes) for _, data, _ in source.read(lines))
            assert pauses == [3.0]
        else:
            with pytest.raises(CutlineError, match=r"429 .*, and asks to wait 34,\d{3},\d{3} sec"):
                list(source.read(lines))
            assert pauses == []


def test_what_a_token_opens_is_read_with_the_one_that_the_message_tells_of(sidecars, tmp_path):
    def guarded(handler):
        known = handler.headers.get("Authorization") == "Bearer secret"
        return False if known else status(401)(handler)

    with serving(sidecars, ("", guarded)) as url:
        with pytest.raises(CutlineError) as caught:
            open_source(url)
        name, value = re.search(r"as (FSSPEC_HTTP)='(.*)'", str(caught.value)).groups()
        done = subprocess.run(
            [*RUN, "compile", url, "t.parquet", "--workers", "1", "--dashboard-address", "none"],
            env=os.environ | {name: value.replace("TOKEN", "secret")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError, match=r"run `pip install s3fs` on the host of every worker"):
        open_filesystem("s3://bucket/x")


def test_what_a_worker_raises_is_caught_as_ours_on_the_client(sidecars, tmp_path, client):
    with (
        serving(sidecars, ("/005.json", status(403))) as url,
        pytest.raises(CutlineError, match=r"/005\.json cannot be read \(HTTP 403"),
    ):
        compiled(url, tmp_path, client=client)


# Names

ODD = {
    "train set/café/0.jpg.json": record(),
    "100%.json": record(),
    "%41.json": record(),
    "a#b.json": record(),
    "a?b.json": record(),
    "a+b&c;d=e@f'g.json": record(),
    "[x] {y} ~z.json": record(),
    "ü/日本.json": record(),
}


def test_names_behind_http_are_those_of_the_folder_read_locally(tmp_path):
    folder = write_sidecars(tmp_path / "a folder é", ODD)
    local = {path: data for path, data, _ in open_source(folder).read(open_source(folder).list())}
    with serving(tmp_path) as url:
        for name in ("a folder é", "a%20folder%20%C3%A9"):
            source = open_source(f"{url}/{name}")
            assert {path: data for path, data, _ in source.read(source.list())} == local


def test_a_page_that_sorts_escapes_and_links_otherwise_gives_the_same_names(tmp_path):
    folder = tmp_path / "x"
    write_sidecars(folder, {"a&b.json": record(), "c.json": record(), "d/e.json": record()})
    page = """<a href="?C=N;O=D">Name</a> <a href="/">Parent</a> <a href="../">..</a>
        <a href="a&amp;b.json">1</a> <a href="./c.json">2</a> <a href="/x/d/">3</a>"""

    def listing(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", str(len(page)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(page.encode())
        return True

    with serving(tmp_path, ("^/x/?$", listing)) as url:
        source = open_source(f"{url}/x")
        read = {path: data for path, data, _ in source.read(source.list())}
    assert [*read] == [b"a&b.json", b"c.json", b"d/e.json"]
    assert all(isinstance(data, bytes) for data in read.values())
