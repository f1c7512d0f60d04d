#!/usr/bin/env bash
# Run by Snakemake in the new environment (--sdm conda): the package itself, from this checkout.
set -euo pipefail
if [ ! -f pyproject.toml ]; then
    echo "error: --sdm conda takes AttnBench from a checkout, and $PWD is none; leave it out, and" >&2
    echo "jobs run in the environment in which attnbench is installed (docs/install.md)" >&2
    exit 1
fi
pip install --quiet --no-deps --editable .
