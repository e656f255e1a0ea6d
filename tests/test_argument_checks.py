"""Each public function refuses arguments of other types in a sentence."""

import inspect
import os
from pathlib import Path

import dask
import pytest
from distributed import Client

import cutline
from cutline.cluster import dashboard
from sidecars import numbered, write_sidecars

FUNCTIONS = [
    getattr(cutline, name) for name in cutline.__all__ if inspect.isfunction(getattr(cutline, name))
]
SIGNATURES = {function: inspect.signature(inspect.unwrap(function)) for function in FUNCTIONS}
"""What they name themselves, without the fields of options as keywords."""
GOOD = {"rules": cutline.Rules(), "count": 1, "file_format": "kohya"}


def cases():
    for function in FUNCTIONS:
        for name in SIGNATURES[function].parameters:
            for odd in (b"bytes", object(), {"rules": 1}, cutline.Rules(), 1.5):
                if name == "rules" and isinstance(odd, cutline.Rules):
                    continue
                yield pytest.param(
                    function, name, odd, id=f"{function.__name__}-{name}-{type(odd).__name__}"
                )


@pytest.mark.parametrize(("function", "name", "odd"), list(cases()))
def test_an_argument_of_another_type_is_refused_in_a_sentence(function, name, odd, tmp_path):
    arguments = {}
    for other, parameter in SIGNATURES[function].parameters.items():
        if parameter.default is parameter.empty:
            arguments[other] = GOOD.get(other) or os.fspath(tmp_path)
    if arguments.get("options"):
        arguments["options"] = cutline.DemoOptions(100)
    with pytest.raises(cutline.UsageError) as caught:
        function(**{**arguments, name: odd})
    assert str(caught.value).startswith(f"The {name} of {function.__name__} is ")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (cutline.compile_table, {"caption_field": 1.5}),
        (cutline.compile_table, {"max_rejects": "1"}),
        (cutline.compile_table, {"limit": "all"}),
        (cutline.run, {"strategy": 7}),
        (cutline.run, {"overwrite": "yes"}),
        (cutline.caption_orphans, {"column": object()}),
    ],
)
def test_a_keyword_of_another_type_is_refused_in_a_sentence(function, given, tmp_path):
    places = [tmp_path, tmp_path / "t.parquet", tmp_path]
    needed = sum(one.default is one.empty for one in SIGNATURES[function].parameters.values())
    with pytest.raises(cutline.UsageError, match=r"^The \w+ of \w+ is .*: give "):
        function(*places[:needed], **given)


def test_every_public_function_is_there():
    assert len(FUNCTIONS) == 16


@pytest.mark.parametrize("odd", [None, b"x", 7, "nul\0", ["a", None], Path])
def test_what_is_no_path_is_no_source(odd, tmp_path):
    with pytest.raises(cutline.UsageError, match=r"^The source of compile_table is .*: give "):
        cutline.compile_table(odd, tmp_path / "t.parquet")


def test_an_address_is_no_client_and_an_asynchronous_client_is_refused(tmp_path):
    source, table = write_sidecars(tmp_path / "data", numbered(1)), tmp_path / "t.parquet"
    with pytest.raises(cutline.UsageError, match=r"'tcp://127.0.0.1:1': give a Client or None\."):
        cutline.compile_table(source, table, client="tcp://127.0.0.1:1")

    class Asynchronous(Client):
        def __init__(self):
            pass

        def __del__(self):
            pass

        asynchronous = True

    with pytest.raises(cutline.UsageError, match="is asynchronous: make one without"):
        cutline.compile_table(source, table, client=Asynchronous())


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        (cutline.CompileOptions, {"rules": {"caption_fields": ("a",)}}),
        (cutline.CompileOptions, {"partition_size": "10"}),
        (cutline.CompileOptions, {"max_rejects": None}),
        (cutline.ExtractOptions, {"max_rejects": "1"}),
        (cutline.VerifyOptions, {"headers": "many"}),
        (cutline.LoaderOptions, {"minimum_image_size": "1"}),
    ],
)
def test_a_field_of_options_of_another_type_is_refused_in_a_sentence(kind, odd):
    with pytest.raises(cutline.UsageError, match=r"^The \w+ of \w+ is .*: give "):
        kind(**odd)


@pytest.mark.parametrize("template", ["{NOT_SET}/{port}", "{", "{0}", "{host.x}", None])
def test_an_odd_template_of_the_dashboards_link_ends_no_job(template):
    with (
        dask.config.set({"distributed.dashboard.link": template}),
        cutline.connect(cutline.Local(workers=1, dashboard_address="127.0.0.1:0")) as client,
    ):
        (line,) = dashboard.where(client)
    assert line.startswith("The dashboard is at http://127.0.0.1:")
