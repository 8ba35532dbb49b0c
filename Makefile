# The README's two commands, each enough on a fresh machine with Python 3.11+ and make.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-export lint docs bench clean

demo: .venv/.core
	$(BIN)/terramosaic demo --out out/demo

PYTEST = $(BIN)/python -m pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: .venv/.dev
	$(PYTEST) -m 'not slow and not online'

# Whole services, browsers, clusters and kills: what takes many seconds each, and mostly waits.
test-slow: .venv/.dev
	$(PYTEST) -m 'slow and not online'

# TerraMind's export against its reference: needs the extra `export` (6.5 GB), and about 15 GB of room while it runs.
test-export: .venv/.export
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q tests/export

lint: .venv/.dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/python -m tools.doc_blocks out/doc_blocks && $(BIN)/mypy out/doc_blocks && $(BIN)/pyright --pythonpath $(BIN)/python out/doc_blocks

docs: .venv/.docs
	$(BIN)/python -m tools.docs_site out/pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "documentation: out/docs/index.html"

bench: .venv/.dev
	$(BIN)/python -m tests.benchmarks.throughput --work out/bench

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit("terramosaic needs Python 3.11 or newer: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	touch $@

# What 0.1's build left in the clone would hide this version's entry points.
.venv/.core: .venv/.made pyproject.toml
	rm -rf terramosaic.egg-info
	@echo "installing Terramosaic and what it needs into .venv: a minute or two, in which pip says nothing"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.dev: .venv/.made pyproject.toml
	rm -rf terramosaic.egg-info
	@echo "installing Terramosaic with what its tests need into .venv: some minutes, in which pip says nothing"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/.core

.venv/.docs: .venv/.dev
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

# torch and torchvision must be of one build, which uv takes care of where a machine brings wheels of its own.
.venv/.export: .venv/.dev
	$(BIN)/python -m pip install --quiet uv
	env -u PIP_FIND_LINKS UV_FIND_LINKS= $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --editable '.[dev,export]'
	touch $@

clean:
	rm -rf .venv out
