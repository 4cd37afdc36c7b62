# Everything from nothing: a Python 3.11 or newer and make are enough.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
REPORT ?= reports/demo

# uv compiles nothing, so each import must be allowed to keep what it compiled: a second start takes half as long.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo test check lint bench clean install install-dev

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: install  ## train on the shipped synthetic subject, compare with the baseline, write a report
	$(BIN)/gazeworks demo --out $(REPORT)

test: install-dev  ## the whole test suite
	$(BIN)/python -m pytest

check: lint test  ## what CI runs: lint, types, import contracts, tests

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install-dev  ## time the rasteriser and the loader against their references
	$(BIN)/gazeworks bench splat
	$(BIN)/gazeworks bench data

clean:  ## remove the environment, the artifact store and the reports
	rm -rf $(VENV) .gazeworks reports build *.egg-info .mypy_cache .pytest_cache .ruff_cache

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed
