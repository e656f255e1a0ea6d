"""Faults of storage while many questions are on their way: nothing is lost, and nothing hangs."""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from sidecars import numbered, write_sidecars

SAMPLES = 400
ALONE = ("--workers", "1", "--dashboard-address", "none", "--max-rejects", "1")
HERE = os.path.dirname(os.path.abspath(__file__))
BENCHMARKS = os.path.join(HERE, "..", "..", "benchmarks")
PROMISED = 2  # seconds from a Ctrl-C to the end
NOISE = 3  # and what a busy machine adds to it


@pytest.fixture
def mounted(tmp_path):
    """A function that shows a folder where it is slow and has faults."""
    jobs = []

    @contextmanager
    def mount(folder, milliseconds=1):
        at = tmp_path / f"mount{len(jobs)}"
        at.mkdir()
        command = [sys.executable, f"{HERE}/faulty_folder.py", folder, at, str(milliseconds)]
        path = os.pathsep.join([BENCHMARKS, os.environ.get("PYTHONPATH", "")])
        job = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path})
        jobs.append(job)
        try:
            while not os.path.ismount(at):
                assert job.poll() is None
                time.sleep(0.05)
            yield os.fspath(at)
        finally:
            subprocess.run(["umount", "--lazy", at], check=True)
            job.terminate()
            job.wait()

    return mount


def rows_of(names):
    """The rows of good records, in the order of their paths."""
    return [
        {
            "width": one["width"],
            "height": one["height"],
            "caption": one["short_caption"],
            "filename": one["image_name"],
        }
        for _, one in sorted(names.items())
    ]


def start(*command):
    return subprocess.Popen(
        [sys.executable, "-m", "cutline", *map(str, command), *ALONE, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def done(*command):
    with start(*command) as job:
        out, said = job.communicate(timeout=300)
    assert job.returncode == 0, said
    return json.loads(out)


def test_files_that_fail_or_stall_on_a_slow_mount_cost_no_other(tmp_path, mounted):
    names = numbered(SAMPLES)
    names["300-stall.json"] = names.pop("300.json")
    source = write_sidecars(tmp_path / "data", names | {"200-eio.json": b"{}"})
    with mounted(source) as slow:
        summary = done("compile", slow, tmp_path / "x.parquet")
        again = done("compile", slow, tmp_path / "x.parquet")
    assert summary["rejects"] == {"unreadable": 1}
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == rows_of(names)
    assert again["reused_parts"] < again["parts"]  # what could not be read may be readable now


def test_sidecars_of_16_mb_among_small_ones_take_no_more_memory_on_a_slow_mount(tmp_path, mounted):
    large = b'{"image_name": "x.png", "story": "' + b"x" * (16 * 2**20 - 200) + b'"}'
    names = numbered(SAMPLES) | {f"{n:03}.json": large for n in range(20, SAMPLES, 20)}
    source = write_sidecars(tmp_path / "data", names)
    with mounted(source) as slow, start("compile", slow, tmp_path / "x.parquet") as job:
        summary = json.loads(job.stdout.read())
        _, status, used = os.wait4(job.pid, 0)  # of this job: other tests' may have been larger
        job.returncode = os.waitstatus_to_exitcode(status)
    assert summary["sidecars"] == SAMPLES
    assert used.ru_maxrss < 400_000  # kilobytes, of the largest process


RELEASED = threading.Event()
SEEN = set()
"""What has had its fault."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing of a client that has heard enough."""


class Faulty(http.server.SimpleHTTPRequestHandler):
    """A server of a folder; the first answer to what has a fault in its name has it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        fault = re.search("stall|never|half", self.path)
        if fault and self.path not in SEEN:
            SEEN.add(self.path)
            if fault[0] != "half":
                RELEASED.wait(30 if fault[0] == "stall" else None)
            else:
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"{")
                self.close_connection = True
                return
        super().do_GET()


@pytest.fixture
def server(tmp_path):
    """The URL of a server of tmp_path/data."""
    RELEASED.clear()
    SEEN.clear()
    data = os.fspath(tmp_path / "data")
    with Server(("127.0.0.1", 0), lambda *a: Faulty(*a, directory=data)) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        RELEASED.set()
        served.shutdown()


def test_a_server_that_stalls_or_breaks_off_costs_no_sidecar(tmp_path, server):
    names = numbered(SAMPLES)
    for number in (50, 51, 120):
        names[f"{number:03}-stall.json"] = names.pop(f"{number:03}.json")
    for number in (70, 300):
        names[f"{number:03}-half.json"] = names.pop(f"{number:03}.json")
    write_sidecars(tmp_path / "data", names)
    summary = done("compile", server, tmp_path / "x.parquet")
    assert summary["rejects"] == {}
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == rows_of(names)


def test_a_request_that_never_ends_is_asked_again(tmp_path, server, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import cutline.sources.remote_file as r; r.PATIENT = 5\n"
    )
    names = numbered(SAMPLES)
    names["100-never.json"] = names.pop("100.json")
    write_sidecars(tmp_path / "data", names)
    done("compile", server, tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == rows_of(names)


def test_ctrl_c_ends_a_run_whose_requests_never_end(tmp_path, server):
    names = numbered(SAMPLES) | {f"{n}-never.json": b"{}" for n in range(100, 200)}
    write_sidecars(tmp_path / "data", names)
    with start("compile", server, tmp_path / "x.parquet") as job:
        while len(SEEN) < 30:  # each has a good one beside it, and 64 are on their way
            assert job.poll() is None
            time.sleep(0.1)
        began = time.monotonic()
        os.killpg(job.pid, signal.SIGINT)
        job.communicate(timeout=60)
        took = time.monotonic() - began
    assert job.returncode == 130
    assert took < PROMISED + NOISE
