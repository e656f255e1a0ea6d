"""Ways to meet a scheduler that speaks TLS alone: with the right certificates, and without."""

import os

import pytest
import yaml

from certificates import client_environment, make_certificates
from datasets_at_home import PARTITION, outcome, same
from nodes import dask_on_hosts
from processes import SCRIPTS
from tools import require


@pytest.fixture(scope="module")
def ours(work):
    require("openssl")
    (work / "tls").mkdir()
    return make_certificates(work / "tls", "ours")


@pytest.fixture(scope="module")
def theirs(ours):
    return make_certificates(ours.ca.parent, "theirs")


@pytest.fixture(scope="module")
def folder(ours, theirs):
    """Yield the folder that has the files of both."""
    return ours.ca.parent


@pytest.fixture(scope="module")
def secret_cluster(hosts, work, ours):
    """Yield a scheduler and a worker that speak TLS."""
    folder = work / "dask.tls"
    folder.mkdir()
    with dask_on_hosts(hosts, folder, ["good"], protocol="tls", secrets=ours.options) as running:
        yield running


def compile_as(hosts, data, table, *options, **environment):
    """Compile on the client's host, with more in the environment."""
    command = (f"{SCRIPTS}/cutline", "compile", data, table, *PARTITION, *options)
    return hosts["client"].run(*command, env={**os.environ, **environment})


def check_is_the_table_at_home(result, table, data, datasets):
    assert result.returncode == 0, result.stderr
    assert same(outcome(table, data), datasets.of_loose.without_captions())


def test_a_handshake_needs_the_authority_of_the_other(hosts, secret_cluster, ours, theirs):
    """The harness itself: certificates of the one are nothing to the other."""
    where = secret_cluster.address.removeprefix("tls://")
    for asker, verified in ((ours, True), (theirs, False)):
        words = ("-CAfile", asker.ca, "-cert", asker.cert, "-key", asker.key)
        said = hosts["client"].run("openssl", "s_client", "-connect", where, *words).stdout
        assert ("Verify return code: 0 (ok)" in said) is verified


@pytest.fixture
def dask_config(ours, place):
    """Yield the folder of a configuration of Dask that asks for TLS everywhere."""
    tls = {"ca-file": str(ours.ca), "client": {"cert": str(ours.cert), "key": str(ours.key)}}
    comm = {"require-encryption": True, "tls": tls}
    folder = place / "dask"
    folder.mkdir()
    (folder / "distributed.yaml").write_text(yaml.safe_dump({"distributed": {"comm": comm}}))
    return {"DASK_CONFIG": str(folder)}


def test_environment_variables_are_enough(hosts, secret_cluster, ours, datasets, loose):
    data, table = loose
    address = ("--scheduler", secret_cluster.address)
    result = compile_as(hosts, data, table, *address, **ours.environment)
    check_is_the_table_at_home(result, table, data, datasets)


def test_the_configuration_of_dask_is_enough(hosts, secret_cluster, dask_config, datasets, loose):
    data, table = loose
    address = ("--scheduler", secret_cluster.address)
    result = compile_as(hosts, data, table, *address, **dask_config)
    check_is_the_table_at_home(result, table, data, datasets)


def test_a_local_cluster_starts_where_encryption_is_asked_for(hosts, dask_config, datasets, loose):
    data, table = loose
    result = compile_as(hosts, data, table, "--workers", "1", **dask_config)
    check_is_the_table_at_home(result, table, data, datasets)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(("tcp", None, ["tls://"]), id="tcp at a scheduler of TLS"),
        pytest.param(("tls", None, ["certificate", "tls"]), id="no certificate"),
        pytest.param(
            ("tls", ("theirs", "ours"), ["certificate", "theirs.pem"]), id="another authority"
        ),
        pytest.param(
            ("tls", ("ours", "theirs"), ["certificate", "theirs.node.pem"]), id="a foreign client"
        ),
        pytest.param(("tls", ("nothing", "ours"), ["nothing.pem"]), id="no such file"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(hosts, secret_cluster, folder, loose, case):
    (data, table), (protocol, files, words) = loose, case
    address = f"{protocol}{secret_cluster.address.removeprefix('tls')}"
    environment = {}
    if files:
        ca, node = (folder / f"{name}.pem" for name in files)
        environment = client_environment(
            ca, node.with_suffix(".node.pem"), node.with_suffix(".node.key")
        )
    result = compile_as(hosts, data, table, "--scheduler", address, **environment)
    check_is_refused(result, table, *words)


def test_tcp_where_encryption_is_asked_for_is_told(hosts, secret_cluster, dask_config, loose):
    data, table = loose
    address = secret_cluster.address.replace("tls://", "tcp://")
    result = compile_as(hosts, data, table, "--scheduler", address, **dask_config)
    check_is_refused(result, table, "require-encryption")


def check_is_refused(result, table, *words):
    """Check that one sentence has the reason, and that nothing else is told or made."""
    assert result.returncode in {1, 2}
    assert "Traceback" not in result.stderr
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("cutline: ")]
    missing = [word for word in words if word not in sentence]
    assert not missing, f"{missing} not in: {sentence}"
    assert not table.exists()
