import re
import signal
import sys
from pathlib import Path

import dask
import pytest

from cutline import Address, Local, Slurm, Spec, Ssh, UsageError, read_cluster
from cutline.cluster import kinds
from cutline.cluster.address import address_in
from cutline.cluster.slurm import check_job, lifetime, seconds_of
from cutline.cluster.starting import class_of
from cutline.cluster.tls import Tls

TOP = Path(__file__).parents[2]
EXAMPLES = sorted(TOP.glob("examples/*.yaml"))

SLURM = "kind: slurm\ncores: 1\nmemory: 1GiB\njobs: 1"

KEYS = {"workers", "threads_per_worker", "memory_limit", "dashboard_address"}


@pytest.fixture
def written(tmp_path):
    """Write a cluster.yaml, and give its path."""

    def write(text):
        path = tmp_path / "c.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_a_file_with_no_more_than_its_kind_is_the_default(written):
    assert read_cluster(written("kind: local")) == Local()


def test_every_key_is_read(written):
    text = (
        "kind: local\nworkers: 3\nthreads_per_worker: 2\n"
        "memory_limit: 1.5 GiB\ndashboard_address: none\n"
    )
    assert read_cluster(written(text)) == Local(3, 2, "1.5 GiB", "none")


def test_an_address_is_read(written):
    text = "kind: address\naddress: tcp://10.0.0.1:8786"
    assert read_cluster(written(text)) == Address("tcp://10.0.0.1:8786")


def test_the_keys_of_a_local_cluster_are_its_fields():
    assert set(Local.__struct_fields__) == KEYS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "is not YAML: correct it, while parsing"),
        ("a: !!python/object/apply:os.abort []", "is not YAML: correct it, could not determine"),
        (b"\xff\xfe\x00", "is not YAML: correct it, 'utf-8' codec"),
        ("", "holds no keys; start from the cluster.yaml"),
        ("- kind: local", "holds no keys"),
        ("local", "holds no keys"),
        ("workers: 1", "it has no kind, which must be local or address or slurm or ssh or spec"),
        ("kind: slum", "kind is 'slum', and must be local or address or slurm or ssh or spec"),
        ("kind: [local]", "must be local or address"),
        ("kind: 7", "must be local or address"),
        ("kind: local\nworker: 1", "it has no key 'worker'; the nearest is 'workers'"),
        ("kind: local\nthreads: 1", "no key 'threads'; the nearest is 'threads_per_worker'"),
        ("kind: local\nmemory: 1", "no key 'memory'; the nearest is 'memory_limit'"),
        ("kind: local\ndashboard: 1", "no key 'dashboard'; the nearest is 'dashboard_address'"),
        ("kind: local\n7: 1", "it has no key 7; the nearest is "),
        ("kind: local\naddress: tcp://h:1", "it has no key 'address'; the nearest is "),
        ("kind: address\nadress: tcp://h:1", "no key 'adress'; the nearest is 'address'"),
        ("kind: address", "No scheduler is named: give address or scheduler_file"),
        ("kind: address\naddress: 8786", "Expected `str | null`, got `int` - at `$.address`"),
        ("kind: local\nworkers: two", "Expected `int | null`, got `str` - at `$.workers`"),
        ("kind: local\nworkers: 0", "Expected `int` >= 1 - at `$.workers`"),
        ("kind: local\nworkers: -1", "Expected `int` >= 1 - at `$.workers`"),
        ("kind: local\nworkers: 1.5", "got `float` - at `$.workers`"),
        ("kind: local\nthreads_per_worker: 0", ">= 1 - at `$.threads_per_worker`"),
        ("kind: local\nmemory_limit: 4", "Expected `str`, got `int` - at `$.memory_limit`"),
        ("kind: local\nmemory_limit: much", "Could not interpret 'much' as a byte unit"),
        ("kind: local\nmemory_limit: 4 bananas", "Could not interpret 'bananas' as a byte unit"),
        (SLURM, "The scheduler for Slurm's jobs listens on the network without TLS"),
        (f"{SLURM}\ninsecure: true\nmaximum: 2", "either jobs, or maximum: give one"),
        (f"{SLURM}\ninsecure: true\nwalltime: 10:00:00", "; put it in quotes"),
        (f"{SLURM}\ninsecure: true\nwalltime: soon", "The walltime soon is none"),
        (f"{SLURM}\nwalltme: soon", "no key 'walltme'; the nearest is 'walltime'"),
        (f"{SLURM}\npartition: x", "no key 'partition'; the nearest is "),
        ("kind: slurm\nmemory: 1GiB\njobs: 1", "missing required field `cores`"),
        ("kind: slurm\ncores: 1\nmemory: much\njobs: 1", "Could not interpret 'much'"),
        ("kind: ssh\nhosts: [a]", "Expected `array` of length >= 2 - at `$.hosts`"),
        ("kind: ssh\nhosts: [a, b]", "The scheduler on a listens on the network without TLS"),
        ("kind: ssh\nhosts: [a, b]\ntls: {ca: x}", "missing required field `cert` - at `$.tls`"),
        ("kind: spec\nmodule: x", "missing required field `class`"),
        ("kind: spec\nmodule: x\nclas: y", "no key 'clas'; the nearest is 'class'"),
        ("kind: spec\nmodule: x.\nclass: y", "cannot be 'y' of 'x.'"),
        ("kind: address\naddress: a\nscheduler_file: b", "give one of them"),
        ("kind: local\nmemory_limit: ${NOT_SET}", "names ${NOT_SET}, which is not set"),
        ("kind: local\ndashboard_address: true", "got `bool` - at `$.dashboard_address`"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_sentence(written, text, said):
    path = written(text)
    with pytest.raises(UsageError) as caught:
        read_cluster(path)
    sentence = str(caught.value)
    assert re.match(rf"The cluster file {re.escape(path)} (is|names) ", sentence)
    assert said in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_kind_is_a_line_and_its_keys_are_its_fields():
    for name, kind in kinds.KINDS.items():
        assert kind.__struct_config__.tag == name
        assert kind.__struct_config__.frozen
        assert kind.__struct_config__.forbid_unknown_fields


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"cannot be read \(.*\): name a cluster\.yaml\.$"):
        read_cluster(str(tmp_path / name))


@pytest.mark.parametrize("address", ["none", ":8787", "8787", "[::1]:0"])
def test_an_address_of_the_dashboard_may_be_a_port_alone(address):
    assert Local(dashboard_address=address).dashboard_address == address


@pytest.mark.parametrize("address", ["foo", "127.0.0.1:99999", "127.0.0.1:", "8787x", ""])
def test_an_address_of_the_dashboard_that_cannot_be_one_is_refused(address):
    with pytest.raises(UsageError, match="is not HOST:PORT: correct it, or write none"):
        Local(dashboard_address=address)


def test_there_is_an_example_of_each_kind_that_somebody_has_to_write():
    assert {path.stem for path in EXAMPLES} == kinds.KINDS.keys() - {"local"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_right_and_has_a_comment_above_each_key(path, monkeypatch):
    for name in ("SLURM_ACCOUNT", "USER"):
        monkeypatch.setenv(name, "somebody")
    assert isinstance(read_cluster(str(path)), kinds.KINDS[path.stem])
    blocks = path.read_text().split("\n\n")
    assert all(block.startswith("# ") for block in blocks)


def test_what_stands_in_the_cluster_file_of_the_project_is_the_default():
    assert read_cluster(str(TOP / "cluster.yaml")) == Local()


def test_variables_of_the_environment_are_read_as_what_the_key_takes(written, monkeypatch):
    monkeypatch.setenv("CORES", "12")
    text = "kind: slurm\ncores: ${CORES}\nmemory: ${CORES}GiB\njobs: 1\naccount: ${CORES}\n"
    cluster = read_cluster(written(f"{text}insecure: true"))
    assert cluster == Slurm(cores=12, memory="12GiB", jobs=1, account="12", insecure=True)


@pytest.mark.parametrize(
    ("walltime", "seconds"),
    [("30", 1800), ("1:30", 90), ("01:00:00", 3600), ("1-2", 93600), ("1-2:03", 93780)],
)
def test_a_walltime_is_read_as_slurm_reads_it(walltime, seconds):
    assert seconds_of(walltime) == seconds


@pytest.mark.parametrize("walltime", ["00:02:00", "01:00:00", "7-0"])
def test_a_worker_leaves_before_its_job_ends_however_it_is_spread(walltime):
    options = lifetime(walltime)
    life, spread = (int(options[place].rstrip("s")) for place in (1, 3))
    assert 0.8 * seconds_of(walltime) < life < life + spread < seconds_of(walltime)


@pytest.mark.parametrize("interface", ["lo", None])
def test_what_listens_on_this_machine_alone_needs_no_certificates(interface):
    host = {} if interface else {"host": "127.0.0.1"}
    assert Slurm(cores=1, memory="1GiB", jobs=1, interface=interface, scheduler_options=host)
    assert Ssh(hosts=("localhost", "127.0.0.1"))


def test_a_package_that_is_missing_is_told_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    slurm = Slurm(cores=1, memory="1GiB", jobs=1, interface="lo")
    for cluster, extra in ((slurm, "slurm"), (Ssh(hosts=("localhost", "localhost")), "ssh")):
        with pytest.raises(UsageError, match=rf": pip install 'cutline\[{extra}\]'\.$"):
            cluster.open().__enter__()


def test_a_package_that_takes_ctrl_c_for_itself_does_not_keep_it(monkeypatch, tmp_path):
    (tmp_path / "greedy.py").write_text(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nclass Taken: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    assert class_of("greedy", "Taken", "greedy").__name__ == "Taken"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_class_that_is_not_there_is_told():
    with pytest.raises(UsageError, match="pip install 'no-such-thing'"):
        Spec(module="no_such_thing", class_="X").open().__enter__()
    with pytest.raises(UsageError, match="The package distributed has no Nothing"):
        Spec(module="distributed", class_="Nothing").open().__enter__()


def test_without_slurm_a_sentence_says_where_to_run(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="There is no sbatch here"):
        check_job("#!/bin/sh")


@pytest.mark.parametrize("name", ["ca", "cert", "key"])
def test_a_tls_file_that_is_not_there_is_named(tmp_path, name):
    files = {each: str(tmp_path / each) for each in ("ca", "cert", "key")}
    for path in files.values():
        Path(path).touch()
    Path(files[name]).unlink()
    with pytest.raises(UsageError, match=rf"The TLS file {files[name]} is not there"):
        Address("tls://127.0.0.1:1", tls=Tls(**files)).open().__enter__()


def test_tls_files_that_are_none_are_told(tmp_path):
    (tmp_path / "x").touch()
    x = str(tmp_path / "x")
    with pytest.raises(UsageError, match=r"cannot be used .* name PEM files that belong together"):
        Address("tls://127.0.0.1:1", tls=Tls(x, x)).open().__enter__()


def test_a_scheduler_file_is_waited_for_and_then_missed(tmp_path):
    path = str(tmp_path / "s.json")
    with pytest.raises(UsageError, match="There is no scheduler file "):
        address_in(path, 0.1)
    Path(path).write_text("[]")
    with pytest.raises(UsageError, match=r"The scheduler file .* cannot be read"):
        address_in(path, 0.1)
    Path(path).write_text('{"address": "tcp://10.0.0.1:8786"}')
    assert address_in(path, 0.1) == "tcp://10.0.0.1:8786"


def test_the_variable_of_dask_names_a_scheduler(written):
    with dask.config.set({"scheduler-address": "tcp://h:1"}):
        assert read_cluster(written("kind: address")) == Address()
