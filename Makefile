# `make help` lists the targets. A virtual environment in .venv is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help train test check docs screenshots setup clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

train: $(VENV)/.train  ## Set up what training needs, then train on the shipped corpus: make train ARGS="model=prior"
	$(BIN)/stancelib train $(ARGS)

test: check  ## Set up everything, then run all checks and all tests: make test ARGS="-m 'not slow'"
	$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

check: $(VENV)/.dev  ## Format, lint, types and layers, without the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(VENV)/.dev  ## Build the pages for users into build/docs
	$(BIN)/zensical build --strict

screenshots: $(VENV)/.dev  ## Train a few models and take the pictures of README and pages: make screenshots ARGS="--browser chrome"
	$(BIN)/python docs/screenshots.py $(ARGS)

setup: $(VENV)/.dev  ## Set up the environment with everything

clean:  ## Remove the environment and caches, not your runs
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	test $(VENV)/.dev -nt pyproject.toml -a $(VENV)/.dev -nt constraints.txt || $(PIP) -e '.[train,torch,offline]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.train
