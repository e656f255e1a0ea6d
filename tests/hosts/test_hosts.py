"""The hosts themselves: that they are apart as machines are, and gone in the end."""

import contextlib
import os
import sys

import pytest

from hosts import empty, hosts_on_a_switch, instead, kill, moved, read_only, without
from processes import until

LISTEN = """
import socket
with socket.create_server(("", 7777)) as server:
    while True:
        server.accept()[0].close()
"""
REACH = "import socket, sys; socket.create_connection((sys.argv[1], 7777), timeout=1)"


def test_each_host_has_its_own_name_and_boot_id(hosts):
    names = {host.check("hostname") for host in hosts.values()}
    boots = {host.check("cat", "/proc/sys/kernel/random/boot_id") for host in hosts.values()}
    assert len(names) == len(boots) == len(hosts)
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert file.read() not in boots


@pytest.mark.parametrize(("away", "back"), [("cut", "rejoin"), ("unplug", "plug_in")])
def test_hosts_reach_each_other_until_one_is_away(hosts, away, back):
    good, odd = hosts["good"], hosts["odd"]
    server = odd.start(sys.executable, "-c", LISTEN)

    def reached():
        return good.run(sys.executable, "-c", REACH, odd.address).returncode == 0

    try:
        until(reached, "a connection")
        getattr(odd, away)()
        assert not reached()
        getattr(odd, back)()
        until(reached, "a connection")
    finally:
        getattr(odd, back)()
        kill(server)


@pytest.mark.parametrize(
    ("mounts", "seen"),
    [
        ((), "a b"),
        ((empty("{}/a"),), "a b"),
        ((empty("{}"),), ""),
        ((instead("{}", "{}/b"),), "beside"),
        ((without("{}", but=["b"]),), "b"),
        ((moved("{}"),), ""),
    ],
)
def test_a_command_sees_its_own_mounts_and_nobody_else_does(hosts, place, mounts, seen):
    (place / "a").mkdir()
    (place / "b" / "beside").mkdir(parents=True)
    where = {"mounts": [mount.format(*[place] * mount.count("{}")) for mount in mounts]}
    assert hosts["odd"].check("ls", place, where=where).split() == seen.split()
    assert hosts["odd"].check("ls", place).split() == ["a", "b"]
    assert sorted(os.listdir(place)) == ["a", "b"]


def test_nobody_writes_where_a_command_sees_a_read_only_mount(hosts, place):
    where = {"mounts": [read_only(place)]}
    assert "Read-only" in hosts["odd"].run("touch", place / "new", where=where).stderr
    hosts["odd"].check("touch", place / "new")


def test_what_runs_on_a_host_ends_with_it(work):
    with contextlib.suppress(KeyError), hosts_on_a_switch(["one"], work) as made:
        process = made["one"].start("sh", "-c", "sleep 1000 & sleep 1000")
        until(lambda: len(made["one"].processes()) == 3, "three processes")
        everything = made["one"].processes()
        raise KeyError
    assert process.returncode == -9
    # A process that has ended and that nobody has asked for has no program.
    until(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in everything), "their end")
