import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import dask
import pytest
from distributed import Client

from cutline import compile_table
from cutline.cluster import dashboard
from cutline.errors import UsageError
from schedulers import scheduler


def can_rename_host():
    """Tell whether a process may have a host name of its own here."""
    return (
        shutil.which("unshare")
        and not subprocess.run(["unshare", "--uts", "true"], check=False).returncode
    )


def test_a_dashboard_of_this_host_is_its_address(client, at_home):
    assert dashboard.where(client) == [f"The dashboard is at {client.dashboard_link}"]


@pytest.fixture
def at_home(monkeypatch):
    """No ssh and no batch job, whatever runs the tests."""
    for name in ("SSH_CONNECTION", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def listens(monkeypatch, at_home):
    """Let the scheduler of a client say that its dashboard is somewhere."""

    def client_of(host, address):
        answer = (host, address, 8787)
        return SimpleNamespace(run_on_scheduler=lambda _: answer, dashboard_link="proxy")

    return client_of


HERE = socket.gethostname()


@pytest.mark.parametrize("variable", ["SSH_CONNECTION", "SLURM_JOB_ID"])
def test_whoever_reads_this_elsewhere_is_told_the_way_in(listens, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    way = f"From your own machine: ssh -N -L 8787:127.0.0.1:8787 {HERE}  # and open "
    link, line = dashboard.where(listens(HERE, "127.0.0.1"))
    assert link == "The dashboard is at http://127.0.0.1:8787/status"
    assert line.startswith(way)
    link, line = dashboard.where(listens(HERE, "0.0.0.0"))
    assert link == f"The dashboard is at http://{HERE}:8787/status"
    assert line.startswith(way)


def test_the_address_that_really_listens_is_told(listens):
    link, way = dashboard.where(listens("far", "10.0.0.9"))
    assert link == "The dashboard is at http://10.0.0.9:8787/status"
    assert way.startswith("From here: ssh -N -L 8787:10.0.0.9:8787 far ")


def test_a_link_that_somebody_has_configured_is_told(listens):
    with dask.config.set({"distributed.dashboard.link": "https://hub/proxy/{port}/status"}):
        assert dashboard.where(listens(HERE, "127.0.0.1")) == ["The dashboard is at proxy"]


@pytest.mark.skipif(not can_rename_host(), reason="a host name of its own needs root")
def test_the_way_to_a_dashboard_on_another_host_is_an_ssh_command(tmp_path):
    renamed = ("unshare", "--uts", "sh", "-c", 'hostname far-away; exec "$0" "$@"')
    with (
        scheduler(tmp_path, before=renamed) as there,
        Client(there["address"], set_as_default=False) as client,
    ):
        lines = dashboard.where(client)
        port = there["services"]["dashboard"]
    assert lines[1].startswith(f"From here: ssh -N -L 8787:127.0.0.1:{port} far-away ")


@pytest.mark.parametrize("name", ["", "not there/x.html", "folder"])
def test_a_report_that_cannot_be_written_is_refused_at_once(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="name a file in a folder"):
        dashboard.check_report(str(tmp_path / name))


def test_a_report_tells_the_stages_of_the_job(client, tmp_path, demo_root):
    folder, _ = demo_root
    with dashboard.reported(client, str(tmp_path / "report.html")):
        compile_table(str(folder / "data"), str(tmp_path / "t.parquet"), client=client)
    report = Path(tmp_path / "report.html").read_text()
    assert "Performance Report" in report
    assert "compile-rows" in report


def test_the_command_line_saves_the_report_and_ends_in_a_sentence_if_it_cannot(tmp_path, demo_root):
    folder, _ = demo_root
    command = [sys.executable, "-m", "cutline", "compile", str(folder / "data")]
    command += [str(tmp_path / "t.parquet"), "--workers", "1", "--dashboard-address", "127.0.0.1:0"]
    bad = subprocess.run(
        [*command, "--performance-report", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 2
    assert bad.stderr.count("\n") == 1
    good = subprocess.run(
        [*command, "--performance-report", str(tmp_path / "r.html"), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert good.returncode == 0
    assert (tmp_path / "r.html").stat().st_size > 10_000
    assert good.stdout.count("\n") == 1
    assert "Traceback" not in good.stderr
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", good.stderr)
    assert len(good.stderr.splitlines()) < 20
