PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

demo: $(READY)   ## set up, train dae-32 on the shipped digits, say where the report is
	$(BIN)/diabolo fit dae-32 --out runs/demo --force

test: check      ## set up, then lint, types and all tests but the slow ones
	$(BIN)/pytest -m "not slow"

test-slow: $(READY) ## the five articles, to the end (half an hour)
	$(BIN)/pytest -m slow

check: $(READY)  ## lint and types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

bench: $(READY)  ## seconds per epoch against the step's matrix products alone
	$(BIN)/python benchmarks/epoch.py

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

.PHONY: help demo test test-slow check bench
