PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
PEERS := .venv-bench/ready
export PYTHONDONTWRITEBYTECODE :=  # each process would compile all modules anew

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

demo: $(READY)   ## set up, train dae-32 on the shipped digits, say where the report is
	$(BIN)/diabolo fit dae-32 --out runs/demo --force

test: check      ## set up, then lint, types and all tests but the slow ones
	$(BIN)/pytest -m "not slow and not stress" -n $$(( $$(nproc) + 1 )) --dist loadfile --no-loadscope-reorder

test-slow: $(READY) ## the five articles, to the end (half an hour)
	$(BIN)/pytest -m slow

stress: $(READY) ## Trainings killed, and power cut, at every change of a file, 20,000 mutated model files, every model with every network (minutes)
	$(BIN)/pytest -m stress

UV := uv run --isolated --no-project --with-editable ".[dev]"
test-matrix:     ## the tests with the lowest versions that we take and the newest there are; needs uv
	$(UV) --python 3.11 --resolution lowest-direct pytest -m "not slow and not stress" -n auto -W default
	$(UV) --python 3.13 --upgrade pytest -m "not slow and not stress" -n auto

coverage: $(READY) ## lines and branches that the tests run
	$(BIN)/coverage run --branch --source diabolo -m pytest -m "not slow and not stress"
	$(BIN)/coverage report --skip-covered

check: $(READY)  ## lint and types
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy

parameters: $(READY) ## the words of help, from the classes
	$(BIN)/python -c "from diabolo.commands import parameters as p; p.WRITTEN.write_text(p.in_words())"

docs: $(READY)   ## the site, docs/_build/html/index.html; runs all that it shows (minutes)
	rm -rf docs/_build
	OMP_NUM_THREADS=2 $(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

bench: $(PEERS)  ## the dense recipes beside other libraries and the matrix products alone (minutes)
	.venv-bench/bin/python -m benchmarks

bench-full: $(PEERS) ## all five recipes, and how each figure grows with data, code and width (hours)
	.venv-bench/bin/python -m benchmarks --full

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

$(PEERS): pyproject.toml constraints.txt benchmarks/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --constraint constraints.txt \
		--requirement benchmarks/requirements.txt --editable .
	touch $(PEERS)

.PHONY: help demo docs parameters test test-matrix test-slow stress coverage check bench bench-full
