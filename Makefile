# Needs only make and Python 3.11 or newer; everything else is installed.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
REPORT ?= reports/demo

# uv compiles nothing, so imports must be allowed to write bytecode: a second start takes half as long.
export PYTHONDONTWRITEBYTECODE =

# The servers listen on loopback; if the ports are taken: make server PORTS="--prefect-port 4201 --mlflow-port 5001".
PORTS ?=

.PHONY: help demo test test-faults check lint bench server server-stop deploy clean install install-dev

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: install  ## train on the shipped synthetic subject, compare with the baseline, write a report
	$(BIN)/gazeworks demo --out $(REPORT)

test: install-dev  ## the test suite without test-faults
	$(BIN)/python -m pytest

test-faults: install-dev  ## kill processes, servers and workers while they work; takes minutes
	$(BIN)/python -m pytest -m faults tests/faults

check: lint test test-faults  ## what CI runs: lint, types, import contracts, tests, faults

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install-dev  ## time the rasteriser and the loader against their references
	$(BIN)/gazeworks bench splat
	$(BIN)/gazeworks bench data

server: install  ## start Prefect, MLflow and workers on loopback, in the background, and print their addresses
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/gazeworks server start $(PORTS)

server-stop:  ## stop only what make server started
	$(BIN)/gazeworks server stop

deploy: install  ## put the deployments of prefect.yaml on the server that PREFECT_API_URL names
	$(BIN)/gazeworks server deploy

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
