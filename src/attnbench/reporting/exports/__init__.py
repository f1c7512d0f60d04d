"""Exports for other tools and a paper: scores, ranking input, methods in words, references."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.analysis.blocks import read_scores
from attnbench.files import whole_file, write_csv, write_text
from attnbench.reporting.exports.challenger import rank_input
from attnbench.reporting.exports.claims_reloaded import claim_inputs
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.exports.references import bibliography, collect_references
from attnbench.reporting.results import Results

if TYPE_CHECKING:
    from attnbench.study.settings import Study


def write_exports(study: Study) -> None:
    """Write `scores.parquet`, `methods.md`, `references.bib`, and tables for other tools.

    Those are `tables/challenger.csv` and, for each dataset, `tables/claims_reloaded_<dataset>.csv`.
    """
    results, layout = Results(study), study.layout
    # pandas opens its own file, so the rename that keeps it whole is made around it.
    with whole_file(layout.parquet) as temporary:
        read_scores(layout.scores).to_parquet(temporary, engine="pyarrow", index=False)
    write_csv(layout.challenger, rank_input(results))
    for dataset, frame in claim_inputs(study).items():
        write_csv(layout.claims_reloaded(dataset), frame)
    references = collect_references(study)
    write_text(layout.methods, compose_methods(results, references))
    write_text(layout.references, bibliography(references))
