"""Folders that hosts share by sshfs and JuiceFS, and one that answers slowly."""

import sys

import pytest

from datasets_at_home import ALONE, PARTITION, outcome, same
from hosts import kill
from processes import PATIENCE, SCRIPTS, until
from shared_folders import juicefs, slow_folder, sshfs
from sshd import ssh_server
from tools import require, require_fuse

SHARING = ("good", "odd", "client")


@pytest.fixture(scope="module")
def server(hosts, work):
    require("sshd", "ssh", "ssh-keygen")
    folder = work / "ssh"
    folder.mkdir()
    with ssh_server(hosts["third"], folder) as running:
        yield running


@pytest.fixture(params=["sshfs", "juicefs"])
def shared(hosts, server, place, request):
    """Yield a folder that three hosts share, each by a mount of its own."""
    require_fuse()
    sharing = [hosts[name] for name in SHARING]
    made = sshfs(sharing, server, place) if request.param == "sshfs" else juicefs(sharing, place)
    with made as folder:
        yield folder


def test_ssh_lets_in_who_has_the_key(hosts, server):
    there = ("ssh", *server.options, f"root@{server.address}", "hostname")
    assert hosts["client"].check(*there) == "node-third\n"
    wrong = [word.replace(str(server.key), f"{server.key}.pub") for word in there]
    assert hosts["client"].run(*wrong).returncode == 255


SSH_CLUSTER = """
import socket, sys
from distributed import Client, SSHCluster
key, port = sys.argv[1:]
ask = {"known_hosts": None, "client_keys": [key], "port": int(port), "username": "root"}
worker = {"nthreads": 1, "n_workers": 1}
with SSHCluster(
    ["127.0.0.1"] * 3, connect_options=ask, worker_options=worker, remote_python=sys.executable
) as cluster, Client(cluster) as client:
    print(len(client.scheduler_info(n_workers=-1)["workers"]), client.submit(pow, 2, 5).result())
"""


def test_the_cluster_of_dask_starts_by_ssh_on_loopback(hosts, work):
    folder = work / "loopback"
    folder.mkdir()
    with ssh_server(hosts["client"], folder, address="127.0.0.1") as server:
        command = (sys.executable, "-c", SSH_CLUSTER, server.key, server.port)
        said = hosts["client"].run(*command)
    assert said.stdout == "2 32\n", said.stderr


def test_what_one_host_writes_another_reads(hosts, shared):
    hosts["good"].check("mkdir", shared / "new")
    hosts["good"].check("cp", "/etc/passwd", shared / "new" / "file")
    with open("/etc/passwd") as file:
        assert hosts["odd"].check("cat", shared / "new" / "file") == file.read()
    assert not (shared / "new").exists(), "nothing is mounted beyond the hosts"


@pytest.fixture
def helped(cluster):
    """Yield a cluster whose workers are on two hosts that share the folder, two on one."""
    with cluster.worker("good", name="worker-second"), cluster.worker("odd"):
        yield cluster


def test_a_table_on_a_shared_folder_is_that_of_one_machine(shared, helped, datasets):
    hosts = helped.hosts
    hosts["client"].check("cp", "-a", datasets.loose, shared / "data")
    compiled = helped.cutline("compile", shared / "data", shared / "t.parquet", *PARTITION)
    assert compiled.returncode == 0, compiled.stderr
    assert same(seen_from(hosts["odd"], shared), datasets.of_loose.without_captions())


@pytest.mark.parametrize("shared", ["sshfs", "juicefs"], indirect=True)
def test_caption_files_on_a_shared_folder_are_those_of_one_machine(shared, helped, datasets):
    hosts = helped.hosts
    (shared.parent / "t.parquet").write_bytes(datasets.of_loose.table)
    hosts["client"].check("cp", "-a", datasets.loose, shared / "data")
    hosts["client"].check("cp", shared.parent / "t.parquet", shared / "t.parquet")
    written = helped.cutline("captions", shared / "t.parquet", shared / "data")
    assert written.returncode == 0, written.stderr
    assert same(seen_from(hosts["odd"], shared).captions, datasets.of_loose.captions)


def seen_from(host, shared):
    """Look at what a run has left, as a host sees it."""
    seen = shared.parent / "seen"
    seen.mkdir()
    # By name: JuiceFS has files of its own at the top, one of which has no end.
    host.check("sh", "-c", f"cp -r {shared}/data {shared}/t.*parquet {seen}")
    return outcome(seen / "t.parquet", seen / "data")


def test_of_two_runs_at_once_one_wins_and_the_other_says_who(hosts, datasets, shared):
    """Each run is on a host of its own, with its worker there."""
    data, table = shared / "data", shared / "t.parquet"
    hosts["odd"].check("cp", "-a", datasets.loose, data)
    command = (f"{SCRIPTS}/cutline", "compile", data, table, "--partition-size", "1", *ALONE)
    first = hosts["odd"].start(*command)
    try:
        parts = shared / "t.parts"
        until(lambda: len(hosts["odd"].run("ls", parts).stdout.split()) > 10, "the first parts")
        second = hosts["client"].run(*command)
        assert first.wait(PATIENCE) == 0
    finally:
        kill(first)
    assert second.returncode == 1, second.stderr
    assert "node-odd" in second.stderr
    assert "Traceback" not in second.stderr
    seen = shared.parent / "seen.parquet"
    hosts["odd"].check("cp", table, seen)
    assert same(seen.read_bytes(), datasets.of_loose.table)


def test_a_slow_folder_is_the_folder(hosts, datasets, place):
    require_fuse()
    data, table = datasets.copy_loose(place)
    (place / "slow").mkdir()
    host = hosts["client"]
    with slow_folder(host, place, place / "slow", 1) as slow:
        assert host.check("ls", slow / "data") == host.check("ls", data)
        host.check("sh", "-c", f"echo one >{slow}/new && mv {slow}/new {slow}/newer")
        command = ("compile", slow / "data", slow / "out" / "t.parquet", *PARTITION)
        result = host.run(f"{SCRIPTS}/cutline", *command, *ALONE)
        assert result.returncode == 0, result.stderr
    assert (place / "newer").read_text() == "one\n"
    assert same(outcome(table, data), datasets.of_loose.without_captions())
