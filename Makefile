.DEFAULT_GOAL := help
PYTHON ?= python3
STUDY ?= config.yaml
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install run test lint format clean

help:  ## show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test,lint]'
	touch $@

install: $(INSTALLED)  ## set up .venv with the pinned dependencies

run: install  ## run the study (STUDY=config.yaml) and print the comparison
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all --configfile $(STUDY)

test: lint  ## lint, then run every test, the workflow's included
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest

lint: install  ## ruff, snakefmt, mypy, snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy

format: install  ## rewrite files in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

clean:  ## remove the environment and all results that are not committed
	rm -rf $(VENV) results/*/ .snakemake
