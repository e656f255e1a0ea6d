"""The house is as ARCHITECTURE.md draws it: faces, one-way imports, names, and public API.

Which package may import which is in pyproject.toml, and `make check` has import-linter look.
"""

import ast
import graphlib
import importlib
import pkgutil
import tomllib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
TOP = SRC / "cutline"
PACKAGES = sorted(package.parent.name for package in TOP.glob("*/__init__.py"))

LATE = {
    ("cutline.__main__", "cutline.cli"): "the process that workers are forked from starts first",
    ("cutline.progress.events", "prometheus_client"): "an extra, which need not be there",
    (
        "cutline.progress.plugin",
        "cutline.progress",
    ): "the page needs bokeh, which a client may lack",
    ("cutline.progress.notebook", "IPython.display"): "who has a notebook has it",
    ("cutline.report.writing", "cutline.report.page"): "bokeh is loaded by who draws a report",
    ("cutline.report.writing", "cutline.report.thumbnails"): "so is Pillow",
    ("cutline.verify.check_rows", "PIL"): "loaded by who turns images",
}
"""Imports inside functions, and why they are there. None of them hides a circle."""

PUBLIC = {
    "bokeh": "*",
    "dask": "*",
    "dask.bag": "*",
    "dask.config": "*",
    "dask.delayed": {"Delayed", "delayed"},
    "dask.highlevelgraph": {"HighLevelGraph"},
    "dask.system": {"CPU_COUNT"},
    "dask.typing": "*",
    "dask.utils": {"format_bytes", "key_split", "parse_bytes"},
    "distributed": "*",
    "distributed.client": {"ClosedClientError"},  # raised to who calls a Client
    "distributed.comm": {"Comm", "CommClosedError", "connect"},
    "distributed.diagnostics.plugin": {"NannyPlugin", "SchedulerPlugin", "WorkerPlugin"},
    "distributed.metrics": {"context_meter"},
    "distributed.security": {"Security"},
    "lazy_loader": "*",
    "multiprocessing": "*",
    "tornado.ioloop": {"IOLoop", "PeriodicCallback"},
}
"""What others document, by module; "*" is all that has no underscore. Of bokeh that is each module
below it too."""

DOCUMENTED = {
    "self.filesystem._cat_file": "fsspec: the coroutine of a method has its name with an underscore"
}
"""What has an underscore and is documented all the same."""

WATCHED = {name.partition(".")[0] for name in PUBLIC}
COMPAT = "private_api"
"""The module that may use what is not public, each use with a test of its own. It imports where it
uses, for Dask may have changed."""


@dataclass(frozen=True)
class Import:
    """One name that a module imports, and whether it does so inside a function."""

    module: str
    name: str | None
    late: bool

    @property
    def whole(self):
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass(frozen=True)
class Module:
    """A module of the source: its path, and what is read from its text."""

    path: Path

    @property
    def name(self):
        return ".".join(self.path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")

    @property
    def package(self):
        """The package right below cutline that it is in, or its own name."""
        return ".".join(self.name.split(".")[:2])

    @cached_property
    def tree(self):
        return ast.parse(self.path.read_text())

    @cached_property
    def imports(self):
        functions = [each for each in ast.walk(self.tree) if isinstance(each, FUNCTION)]
        late = {id(each) for function in functions for each in ast.walk(function)}
        return [
            Import(module, name, id(node) in late)
            for node in ast.walk(self.tree)
            for module, name in imported(node)
        ]


FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def imported(node):
    """Return the modules and names that a statement imports."""
    if isinstance(node, ast.Import):
        return [(alias.name, None) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        return [(node.module, alias.name) for alias in node.names]
    return []


MODULES = [Module(path) for path in sorted(TOP.rglob("*.py"))]
NAMES = {module.name for module in MODULES}


def face(package):
    return importlib.import_module(f"cutline.{package}").__all__


def past_a_face(module):
    """Yield what a module imports of another package otherwise than from its face."""
    for each in module.imports:
        of = each.module.split(".")
        other = ".".join(of[:2])
        if of[0] != "cutline" or other in {"cutline", module.package}:
            continue
        if len(of) > 2 or (of[1] in PACKAGES and each.name and each.name not in face(of[1])):
            yield each.whole


def target(each):
    """Return the module that an import loads."""
    return each.whole if each.whole in NAMES else each.module


def not_public(module):
    """Yield what a module imports of Dask and its kin that these do not document."""
    for each in module.imports:
        root = each.module.partition(".")[0]
        if root not in WATCHED or root == "bokeh":
            continue
        names = PUBLIC.get(each.module, ())
        if (each.name or "*") not in names and names != "*":
            yield each.whole


def underscored(module):
    """Yield the names with one underscore before them that a module takes from something else."""
    own = {"self", "cls"}
    # Of named tuples, of os, and of fsspec's asynchronous file systems.
    documented = {"_replace", "_asdict", "_fields", "_make", "_exit", "_cat_file"}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            if private(node.attr) and of not in own and node.attr not in documented:
                yield ast.unparse(node)
    for each in module.imports:
        if private(each.whole.rpartition(".")[2]):
            yield each.whole


def private(name):
    return name.startswith("_") and not name.startswith("__")


def test_at_most_twelve_files_lie_at_the_top():
    assert len([path for path in TOP.iterdir() if path.is_file()]) <= 12


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_a_face_of_two_to_eight_names(package):
    least = 1 if package == "cli" else 2  # click's group is all that there is to call
    assert least <= len(face(package)) <= 8
    for name in face(package):
        assert hasattr(importlib.import_module(f"cutline.{package}"), name)


def test_nobody_imports_past_a_face():
    found = {name for module in MODULES for name in past_a_face(module)}
    assert found == set()


def test_no_module_imports_what_leads_back_to_it():
    graph = {
        module.name: {target(each) for each in module.imports} & NAMES - {"cutline"}
        for module in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()  # a circle is an error that names it


def test_an_import_inside_a_function_has_its_reason():
    late = {
        (module.name, each.module)
        for module in MODULES
        for each in module.imports
        if each.late and (module.path.stem != COMPAT or each.module.startswith("cutline"))
    }
    assert late - LATE.keys() == set()


def test_no_two_modules_have_one_name():
    names = Counter(
        module.name.rpartition(".")[2] for module in MODULES if "__main__" not in module.name
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_two_classes_have_one_name():
    names = Counter(
        node.name
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_what_others_do_not_document_is_used_in_one_module():
    others = [module for module in MODULES if module.path.stem != COMPAT]
    found = {name for module in others for name in not_public(module)}
    found |= {name for module in others for name in underscored(module)}
    assert found - DOCUMENTED.keys() == set()


def test_every_package_is_looked_at():
    below = {found.name for found in pkgutil.iter_modules([str(TOP)]) if found.ispkg}
    assert below == set(PACKAGES)


def test_whatever_is_no_module_is_installed_too():
    settings = tomllib.loads((SRC.parent / "pyproject.toml").read_text())
    installed = settings["tool"]["setuptools"]["package-data"]["cutline"]
    files = [path.relative_to(TOP) for path in TOP.rglob("*") if path.is_file()]
    left_out = [
        path
        for path in files
        if path.suffix not in {".py", ".pyc"} and not any(map(path.match, installed))
    ]
    assert left_out == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_has_one_topic_and_at_most_400_lines(module):
    assert len(module.path.read_text().splitlines()) <= 400
