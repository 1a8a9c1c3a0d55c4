# `make demo` and `make test` need Python 3.11+ and make, nothing else: the environment lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# torch is large; without its group (PIP_GROUPS=dev) the tests that need it are skipped
PIP_GROUPS ?= dev docs torch
GALLERY ?= 1
# Processes of pytest: most tests wait for servers and processes of their own, so there are more than cores.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(4 + (os.cpu_count() or 2))")
SOAK_SECONDS ?= 600
SOAK_SEED ?=
# Snakemake wants other releases of some libraries than our tests: it has an environment of its own
FLOWS := .venv-snakemake
FLOWS_STAMP := $(FLOWS)/.installed
BENCH_STAMP := $(VENV)/.installed-bench
PIP_FLAGS := --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types quick browser plugin collected ui ui-shots soak bench docs pages readme schema clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --upgrade "pip>=25.1"

# pip >= 25.1 reads [dependency-groups]
$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_FLAGS) --editable ".[all]" $(addprefix --group ,$(PIP_GROUPS))
	@touch $@

$(FLOWS_STAMP): pyproject.toml $(STAMP)
	$(BIN)/python -m venv $(FLOWS)
	$(FLOWS)/bin/python -m pip install $(PIP_FLAGS) --upgrade "pip>=25.1"
	$(FLOWS)/bin/python -m pip install $(PIP_FLAGS) --editable . --group snakemake
	@touch $@

$(BENCH_STAMP): pyproject.toml $(STAMP)
	$(BIN)/python -m pip install $(PIP_FLAGS) --group bench
	@touch $@

demo: $(STAMP) ## the main job on real local servers, with pictures in demo/
	$(BIN)/python -m demo

test: $(STAMP) $(FLOWS_STAMP) ## everything that needs no internet: lint, types, all tests
	$(MAKE) --no-print-directory -j 3 lint types browser plugin collected
	NEUROFETCH_SNAKEMAKE=$(CURDIR)/$(FLOWS)/bin/snakemake $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

check: $(STAMP) ## lint, types, quick tests: under a minute
	$(MAKE) --no-print-directory lint types quick

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

plugin: $(FLOWS_STAMP)
	$(FLOWS)/bin/python -m pytest -q tests/workflow/test_plugin.py tests/workflow/test_plugin_interface.py

# compiles the tests once, instead of once in each process; what it finds wrong, the run itself tells
collected:
	-@$(BIN)/python -m pytest -qq --collect-only > /dev/null

browser: ## what the tests in a browser need, where it can be had: Chromium, and the modules of tools/web
	@sh tools/browser.sh

quick:
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not slow and not network"

soak: $(STAMP) ## faults, kills, suspends, many processes (SOAK_SECONDS=600, SOAK_SEED=a new one)
	$(BIN)/python -B -m tests.soak --seconds $(SOAK_SECONDS) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

bench: $(BENCH_STAMP) ## benchmarks against the tools people use today
	$(BIN)/python -m benchmarks

pages: $(STAMP) ## write the generated pages (docs/cli.md, docs/man) anew
	$(BIN)/python -m docs.generate

# A warning is an error. GALLERY=0 builds the pages of the examples without running them.
docs: $(STAMP) pages ## build the documentation site in docs/_build/html; it asks no network
	NEUROFETCH_DOCS_GALLERY=$(GALLERY) $(BIN)/python -m sphinx -b html -n -W --keep-going -j 2 docs docs/_build/html
	@echo "docs/_build/html/index.html; man pages: man -l docs/man/neurofetch.1"

readme: $(STAMP) ## write the session of README.md and its picture anew
	$(BIN)/python -m tools.readme

schema: $(STAMP) ## write the tables of BIDS (planning/bids_schema.py) anew
	$(BIN)/python -m tools.bids_schema

WEB := tools/web
# npm writes it last
WEB_STAMP := $(WEB)/node_modules/.package-lock.json

# exact versions, each held to the digest in package-lock.json; no script of a package is run
$(WEB_STAMP): $(WEB)/package.json $(WEB)/package-lock.json
	npm ci --prefix $(WEB) --ignore-scripts --no-audit --no-fund

ui: $(WEB_STAMP) ## build the viewer of the page (niivue.mjs, NOTICE) anew, and check the page's types
	node $(WEB)/build.mjs
	$(WEB)/node_modules/.bin/tsc --project $(WEB)

ui-shots: $(STAMP) ## screenshots of each state of the page, in demo/shots/
	$(BIN)/python -m tests.ui.browser.shots demo/shots

clean: ## remove the environment and all caches
	rm -rf $(VENV) $(FLOWS) .mypy_cache .ruff_cache .pytest_cache demo/work benchmarks/work docs/_build docs/api docs/auto_gallery
