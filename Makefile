# Everything here makes the environment it needs: Python 3.11 or newer with venv is enough, root is not needed.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo report test test-browser soak faults faults-quick check lab samples notebooks docs bench format clean

help:  ## say what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

demo: .venv/lab  ## the main job once: import the sample recordings, compute features, export them, run the notebooks
	@$(BIN)/vectra demo
	@echo
	@echo "The notebooks, run and validated:"
	@$(BIN)/vectra report --out demo/report

report: .venv/lab  ## run and validate the notebooks: report/index.html and report/junit.xml
	$(BIN)/vectra report

test: .venv/all  ## all tests, and the notebooks
	$(BIN)/python -m pytest -n auto --dist worksteal -p no:nbval
	$(BIN)/python -m pytest --nbval --nbval-sanitize-with notebooks/sanitize.cfg notebooks
	@echo "the notebooks in a real browser are tested apart: make test-browser"

soak: .venv/all  ## record a replayed feed for ten minutes, killing its server and stopping the recorder meanwhile
	$(BIN)/python -m tests.soak

faults: .venv/all  ## kill, fill, cut, flip and stop all there is, for an hour; the results go into docs/faults.md
	$(BIN)/python -m tests.faults --write-docs

faults-quick: .venv/all  ## a part of the faults, in some five minutes
	$(BIN)/python -m tests.faults --quick

test-browser: .venv/browser  ## the notebooks in JupyterLab, in Debian's chromium
	@test -x /usr/bin/chromium || { echo "make: the browser test needs chromium: apt-get install chromium" >&2; exit 2; }
	$(BIN)/python -m pytest -s tests/browser

check: .venv/all  ## format, lint, types, imports and docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_environment.py

format: .venv/all  ## put the code into the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lab: .venv/lab  ## JupyterLab on the notebooks, with the sample store for EventStoreQuery()
	$(BIN)/vectra lab

notebooks: .venv/all  ## run the notebooks again, keep their outputs and show what changed
	$(BIN)/python -m vectra_analytics.reports notebooks

docs: .venv/core  ## write the catalogue in docs/views.md anew from the views' headers
	$(BIN)/python -m vectra_analytics.features docs/views.md

samples: .venv/core  ## make data_samples again: the same bytes
	$(BIN)/python -m vectra_analytics.simulator data_samples

bench: .venv/bench  ## measure speeds against honest alternatives, in one run: some ten minutes
	$(BIN)/python -m benchmarks.bench

clean:  ## remove the environment and what the demo and a report made
	rm -rf .venv demo report

.venv/core: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer with venv was found; install one, or name it: make demo PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing into .venv"
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25'  # older ones resolve for minutes
	@$(PIP) --editable .
	@$(BIN)/python -m compileall -q vectra_analytics  # pip compiles what it copies, but an editable package is not copied
	@touch $@

.venv/lab: .venv/core
	@echo "installing what notebooks and reports need into .venv"
	@$(PIP) --editable '.[lab,record]'
	@touch $@

.venv/all: .venv/lab
	@echo "installing what tests need into .venv"
	@$(PIP) --editable '.[lab,record,test]'
	@touch $@

.venv/browser: .venv/all
	@$(PIP) --editable '.[browser]'
	@touch $@

.venv/bench: .venv/all
	@$(PIP) --editable '.[bench]'
	@touch $@
