"""The command lines that are held against each other."""

import os
import shlex
import sys

from measure import Contender

HERE = os.path.dirname(os.path.abspath(__file__))
CUTLINE = os.path.join(os.path.dirname(sys.executable), "cutline")
WORKERS = ["--workers", "2"]  # as many processes as the naive bag and the floor have


def script(name: str, *arguments: str) -> list[str]:
    return [sys.executable, f"{HERE}/{name}.py", *arguments]


def cutline(verb: str, *arguments: str) -> list[str]:
    return [CUTLINE, verb, *arguments, *WORKERS, "--json", "--quiet"]


def table_in(folder: str) -> str:
    return f"{folder}/table.parquet"


def parts_in(folder: str) -> str:
    return f"{folder}/table.parts"


def compilers(data: str) -> list[Contender]:
    """Name everybody who makes a table from `data`; the recipe first, cutline last."""
    return [
        Contender("recipe", lambda folder: script("recipe", "compile", data, table_in(folder))),
        Contender(
            "naive bag", lambda folder: script("naive_bag", "compile", data, table_in(folder))
        ),
        Contender("floor", lambda folder: script("floor", "compile", data, table_in(folder))),
        Contender("floor on Dask", lambda folder: script("dask_floor", data, table_in(folder))),
        Contender("cutline", lambda folder: cutline("compile", data, table_in(folder))),
    ]


def compile_in_parts(data: str, table: str, partition_size: int) -> list[str]:
    return cutline("compile", data, table, "--partition-size", str(partition_size))


def watched(data: str) -> list[Contender]:
    """Name cutline with nothing to look at, with a dashboard, and with one that is opened."""

    def command(folder: str, address: str) -> list[str]:
        options = [*WORKERS, "--json", "--dashboard-address", address]
        return [CUTLINE, "compile", data, table_in(folder), *options]

    return [
        Contender("not watched", lambda folder: command(folder, "none")),
        Contender("watched", lambda folder: command(folder, "127.0.0.1:0")),
        Contender("looked at", lambda folder: script("looked_at", *command(folder, "127.0.0.1:0"))),
    ]


def stages(data: str) -> list[Contender]:
    """Name who tells the seconds of the stages of a compile."""
    return [
        Contender("floor", lambda folder: script("floor", "compile", data, table_in(folder))),
        Contender("floor on Dask", lambda folder: script("dask_floor", data, table_in(folder))),
        Contender(
            "floor on Dask that checks",
            lambda folder: script("dask_floor", data, table_in(folder), "checked"),
        ),
        Contender("cutline", lambda folder: script("cutline_stages", data, table_in(folder))),
    ]


def captioners(table: str) -> list[Contender]:
    """Name everybody who writes caption files in the `data` of a folder.

    The recipe first, then two who show what is in reach: a floor that reads rows from the table,
    and the recipe until its files survive a power cut, as those of cutline do when it ends.
    """

    def durable_recipe(folder: str) -> list[str]:
        loop = shlex.join(script("recipe", "captions", f"{folder}/data"))
        return ["sh", "-c", f"{loop} && sync --file-system {shlex.quote(folder)}/data"]

    return [
        Contender("recipe", lambda folder: script("recipe", "captions", f"{folder}/data")),
        Contender("recipe, then sync", durable_recipe),
        Contender("floor", lambda folder: script("floor", "captions", table, f"{folder}/data")),
        Contender(
            "cutline from sidecars",
            lambda folder: cutline("captions", f"{folder}/data", f"{folder}/data"),
        ),
        Contender(
            "cutline from the table", lambda folder: cutline("captions", table, f"{folder}/data")
        ),
    ]


def graphs(data: str) -> list[list[str]]:
    """Say what prints the bytes of a graph, pickled: the naive bag's, then cutline's."""
    return [script("naive_bag", "graph", data), script("cutline_graph", data)]


def same_rows(folder: str) -> list[str]:
    return script("digest", "rows", table_in(folder))


def same_captions(folder: str) -> list[str]:
    return script("digest", "captions", f"{folder}/data")
