.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
STUDY ?= config.yaml
BIN := .venv/bin
INSTALLED := .venv/.installed
BENCH := .venv-bench
# Rules call `attnbench` by name: the environment comes first in PATH for every recipe.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help install run test test-fast test-report robust trust trust-full bench lint format schema docs clean

help:  ## show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml constraints.txt
	@echo "setting up .venv (a few minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "AttnBench needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	touch $@

install: $(INSTALLED)  ## set up .venv with the pinned dependencies

run: $(INSTALLED)  ## run the study (STUDY=config.yaml) and print the comparison
	snakemake --cores all --configfile "$(STUDY)"

# As many processes as cores: what they share of torch's threads would only be in each other's way.
test: lint  ## lint, then run every test but those in a browser, the workflow's included
	OMP_NUM_THREADS=1 pytest -n auto --dist worksteal

test-fast: $(INSTALLED)  ## run the tests without those of the workflow
	pytest -m 'not workflow and not browser'

test-report: $(INSTALLED)  ## open the report of real runs in a browser; installs Chromium where it may
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	tests/browser/chromium.sh
	pytest -m browser tests/browser

robust: $(INSTALLED)  ## kills, faults and hostile files by the hundred, which the tests have a share of
	OMP_NUM_THREADS=1 pytest -m robust -n auto --dist worksteal tests/robust

trust: $(INSTALLED)  ## simulate studies with known truth; print what the statistics promise and do (10 minutes)
	OMP_NUM_THREADS=1 python -m benchmarks.trust --minutes 10

trust-full: $(INSTALLED)  ## the same with 2,000 studies a row, written to docs/trust.md (about an hour)
	OMP_NUM_THREADS=1 python -m benchmarks.trust --full --studies 2000 --write docs/trust.md

$(BENCH)/.installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	@echo "setting up $(BENCH) with the peers (a few minutes, once)"
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BENCH)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e . -r benchmarks/requirements.txt
	touch $@

bench: $(BENCH)/.installed  ## time this project beside its peers (ROWS="4 6" for some rows; 30 minutes)
	PATH="$(CURDIR)/$(BENCH)/bin:$$PATH" python -m benchmarks $(ROWS)

lint: $(INSTALLED)  ## ruff, snakefmt, mypy, snakemake --lint
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint

format: $(INSTALLED)  ## rewrite files in the project's format
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

schema: $(INSTALLED)  ## write the schema from which editors complete study files
	attnbench study schema > workflow/schemas/study.schema.json

docs: $(INSTALLED)  ## write the pages of models and datasets from registry and catalog
	attnbench models --markdown > docs/models.md
	attnbench datasets --markdown > docs/datasets.md

clean:  ## remove the environment, caches and all results that are not committed
	rm -rf .venv $(BENCH) .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find results -mindepth 1 -maxdepth 1 -type d ! -name reference -exec rm -rf {} +
