# make demo       set up .venv, simulate a particle, run the whole workflow on it
# make test       set up .venv with the tools for development, run all tests
# make test-fast  the same without the tests that are marked slow, without those of napari's window
# make check      style, types, layers, generated files, workflow
# make docs       build the documentation site in site/; runs the notebooks first
# make schema     write configs/schema.json and configs/default.yaml
# make clean      remove what these targets made
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)

# One process more than cores: the tests of the cluster mostly wait for it.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1); echo $$(( n < 4 ? n + 1 : 4 )))
XDIST := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-fast check docs schema clean setup setup-dev
.DELETE_ON_ERROR:

demo: $(VENV)/.installed demo/raw/.simulated
	$(BIN)/oxytomo run configs/demo.yaml

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest $(XDIST)

test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q $(XDIST) -m "not slow and not gui and not data"

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit/test_schema.py tests/unit/test_stage_rows.py tests/unit/test_environment.py -k "in_step"
	$(BIN)/snakemake --lint

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

schema: $(VENV)/.installed
	$(BIN)/oxytomo schema > configs/schema.json
	$(BIN)/oxytomo schema --defaults > configs/default.yaml

clean:
	rm -rf demo build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .snakemake $(VENV)

setup: $(VENV)/.installed

setup-dev: $(VENV)/.installed-dev

demo/raw/.simulated: | $(VENV)/.installed
	$(BIN)/oxytomo simulate demo
	touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@ $(VENV)/.installed

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; give it as make PYTHON=/path/to/python" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	touch $@
