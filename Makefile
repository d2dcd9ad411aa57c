# Everything a newcomer types. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# a download that breaks off is tried again
three_times = for attempt in 1 2 3; do $(1) && break; \
	test $$attempt -lt 3 || exit 1; echo "that failed: trying again"; done
# two test processes of one thread each: more threads than cores make them crawl
TEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: help install train sweep compare gallery tensorboard test test-fast test-loss benchmark lint format docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/installed ## make .venv with the locked versions

$(VENV)/installed: requirements.lock pyproject.toml
	@echo "installing into $(VENV): on Linux 6.2 GB, most of it CUDA libraries (README.md: for a CPU alone)"
	$(PYTHON) -m venv $(VENV)
	$(call three_times,$(PIP) -r requirements.lock)
	$(call three_times,$(PIP) --no-deps -e .)
	touch $@

train: install ## train with focal loss on real handwritten digits
	$(BIN)/python train.py loss=focal

sweep: install ## compare three regression losses on data with outliers, eight seeds each
	$(BIN)/python train.py -m loss=mse,mae,huber data=regression data.outliers=0.1 'seed=range(8)'

compare: install ## compare the runs of every sweep in logs/sweeps (or DIR=folder)
	$(BIN)/python scripts/compare.py $(or $(DIR),logs/sweeps)

gallery: install ## try every claim of docs/gallery, or one: make gallery CLAIM=outliers
	$(BIN)/python scripts/gallery.py $(CLAIM)

tensorboard: install ## curves of everything in logs/
	$(BIN)/tensorboard --logdir logs

test: install ## all tests
	$(TEST)

test-fast: install ## the tests without whole commands and long trainings
	$(TEST) -m "not slow"

test-loss: install ## the conformance suite of one loss: make test-loss LOSS=focal
	$(TEST) tests/losses/test_conformance.py --loss $(LOSS)

benchmark: install ## speed of the losses relative to other libraries, against the last committed ratios
	$(BIN)/python scripts/benchmark.py guard

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/docs-installed ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/docs-installed: $(VENV)/installed requirements-docs.lock
	$(call three_times,$(PIP) -r requirements-docs.lock)
	touch $@

clean: ## remove caches and the environment; logs/ and data/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build site src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
