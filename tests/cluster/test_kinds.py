import pytest

from cutline import Address, Local, UsageError, read_cluster
from cutline.cluster import kinds

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
        ("kind: local\ndashboard_address: true", "got `bool` - at `$.dashboard_address`"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_sentence(written, text, said):
    path = written(text)
    with pytest.raises(UsageError) as caught:
        read_cluster(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"The cluster file {path} is ")
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
