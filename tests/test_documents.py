"""What the documents show is true: their commands run, their names are there."""

import importlib
import operator
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import cutline
from cutline.record.reasons import REASONS
from cutline.verify.checks import CHECKS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MODULES = sorted((ROOT / "src/cutline").rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> list[str]:
    return [line for block in blocks(text, "sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The folder of somebody who has typed what README and pages say, and what was there when."""
    folder = tmp_path_factory.mktemp("reader")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    left = set()
    for text in (README, page("workstation"), page("trainers")):
        for line in shell_lines(text):
            if line.startswith("cutline "):
                command = shlex.split(line, comments=True)
                env = {**os.environ, "PATH": path}
                done = subprocess.run(command, cwd=folder, env=env, check=False)
                assert done.returncode == line.endswith("# status 1"), line
        left = left or {path.name for path in (folder / "dalle3").iterdir()}
    return SimpleNamespace(folder=folder, left=left - {"expected.json"})


@pytest.mark.commands
def test_the_commands_of_the_documents_run(reader):
    assert (reader.folder / "dalle3/dalle3.parquet").exists()


@pytest.mark.commands
def test_the_output_tree_of_the_documents_is_what_is_left_behind(reader):
    tree = next(block for block in blocks(page("workstation"), "text") if "dalle3/" in block)
    shown = {line.split()[0].rstrip("/") for line in tree.splitlines()[1:]}
    assert shown == reader.left


@pytest.mark.commands
def test_the_python_of_the_documents_runs(reader):
    told = []
    for code in blocks(page("python"), "python"):
        (reader.folder / "readme.py").write_text(code)
        command = [sys.executable, "readme.py"]
        done = subprocess.run(
            command, cwd=reader.folder, stdout=subprocess.PIPE, text=True, check=True
        )
        told.append(done.stdout)
    assert told[0].startswith("953 rows;")


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_the_make_targets_of_the_documents_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = README + (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"make ([a-z-]+)  ", texts)) <= targets


def test_a_page_names_every_reason():
    assert [reason for reason in REASONS if f"`{reason}`" not in page("sidecars")] == []


def test_a_page_names_every_check():
    assert [check.name for check in CHECKS if f"`{check.name}`" not in page("trainers")] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_links_of_a_document_lead_to_a_file_and_a_heading(document):
    for name, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", document.read_text()):
        target = document.parent / name if name else document
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


def anchors(document):
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_files_and_folders_that_a_document_names_are_there(document):
    text = document.read_text()
    named = re.findall(r"`((?:src|docs|jobs|tests|benchmarks|\.ci)/[\w./-]*)`", text)
    named += re.findall(r"\]\((?!https?:)([\w./-]+)", text)
    below = (ROOT, document.parent)
    assert [name for name in named if not any((at / name).exists() for at in below)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_the_modules_that_a_document_names_are_there(document):
    stems = {path.stem if path.stem != "__init__" else path.parent.name for path in MODULES}
    files = {path.name for path in MODULES} | {f"{path.parent.name}/" for path in MODULES}
    for name in re.findall(r"`([\w./]+)`", document.read_text()):
        if re.fullmatch(r"\w+\.py|[a-z_]+/", name):
            assert name in files or (ROOT / name).exists(), name
        elif name.startswith("cutline."):
            assert pkgutil.resolve_name(name), name
        elif "." in name and name.partition(".")[0] in stems and not (ROOT / name).exists():
            assert any(has(module, name.partition(".")[2]) for module in called(name)), name


def called(name):
    """Yield the modules that the first word of a name may mean."""
    for path in MODULES:
        module = path.parent if path.stem == "__init__" else path.with_suffix("")
        if module.name == name.partition(".")[0]:
            yield importlib.import_module(".".join(module.relative_to(ROOT / "src").parts))


def has(module, attributes):
    """Return whether a module has an attribute, which may be one of an attribute."""
    try:
        operator.attrgetter(attributes)(module)
    except AttributeError:
        return False
    return True


def test_the_house_of_the_architecture_has_every_package():
    rooms = (ROOT / "ARCHITECTURE.md").read_text().partition("## Rooms")[2].partition("\n## ")[0]
    packages = {path.parent.name for path in (ROOT / "src/cutline").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"`(\w+)/`", rooms))


def test_the_glossary_has_at_most_twenty_words():
    words = (ROOT / "ARCHITECTURE.md").read_text().partition("## Words")[2].partition("\n## ")[0]
    assert 15 <= len(re.findall(r"^\| \w+(?: file)? \| ", words, re.MULTILINE)) - 1 <= 20


def test_every_key_of_the_cluster_file_is_the_default_and_has_a_comment():
    text = (ROOT / "cluster.yaml").read_text()
    assert cutline.read_cluster(str(ROOT / "cluster.yaml")) == cutline.Local()
    for key in yaml.safe_load(text):
        assert re.search(rf"^# .*\n{key}:", text, re.MULTILINE), key


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.py")), ids=lambda path: path.name)
def test_a_job_to_copy_is_short(job):
    assert len(job.read_text().splitlines()) <= 40


def test_the_lower_layers_import_no_dask():
    script = "import sys, cutline.record, cutline.sources; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    modules = {name.split(".")[0] for name in loaded.stdout.decode().split()}
    assert "cutline" in modules
    assert not modules & {"dask", "distributed"}


def test_the_index_of_the_decisions_has_each_under_its_title():
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    pages = [page for page in folder.glob("*.md") if page.name != "README.md"]
    titles = {page.name: page.read_text().splitlines()[0].removeprefix("# ") for page in pages}
    assert {name for name, title in titles.items() if f"[{title}]({name})" not in index} == set()
