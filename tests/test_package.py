import cloudpickle
import pytest

import cutline


@pytest.mark.parametrize("name", cutline.__all__)
def test_every_name_is_there_and_is_no_module(name):
    assert callable(getattr(cutline, name))
    assert name in dir(cutline)


def test_a_function_of_a_notebook_may_use_cutline_on_a_worker(client):
    def options():
        return cutline.CompileOptions(partition_size=5)

    cloudpickle.register_pickle_by_value(__import__(__name__))  # as one of a notebook is pickled
    try:
        assert client.submit(options).result() == cutline.CompileOptions(partition_size=5)
    finally:
        cloudpickle.unregister_pickle_by_value(__import__(__name__))
