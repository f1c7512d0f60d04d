#!/usr/bin/env bash
# Run by Snakemake in the new environment (--sdm conda): the package itself, from this checkout.
set -euo pipefail
pip install --quiet --no-deps --editable .
