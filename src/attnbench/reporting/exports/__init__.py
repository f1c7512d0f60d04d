"""Exports for other tools and a paper: scores, ranking input, methods, references, model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.analysis.gathered import read_gathered
from attnbench.files import whole_file, write_csv, write_text
from attnbench.reporting.exports.card import Shared, compose_card
from attnbench.reporting.exports.challenger import rank_input
from attnbench.reporting.exports.claims_reloaded import claim_inputs
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.exports.references import bibliography
from attnbench.reporting.results import Results

if TYPE_CHECKING:
    from attnbench.study.settings import Study


def write_exports(study: Study) -> None:
    """Write `scores.parquet`, `methods.md`, `references.bib`, model cards, and tables for other
    tools.

    The tables are `tables/challenger.csv` and, for each dataset,
    `tables/claims_reloaded_<dataset>.csv`; the cards `cards/<dataset>/<model>.md`.
    """
    results, layout = Results(study), study.layout
    # pandas opens its own file, so the rename that keeps it whole is made around it.
    with whole_file(layout.parquet) as temporary:
        read_gathered(layout).to_parquet(temporary, engine="pyarrow", index=False)
    write_csv(layout.challenger, rank_input(results))
    for dataset, frame in claim_inputs(study).items():
        write_csv(layout.claims_reloaded(dataset), frame)
    shared = Shared.of(results)
    write_text(layout.methods, compose_methods(results, shared.references))
    write_text(layout.references, bibliography(shared.references))
    for name in results.datasets:
        for model in study.trained_models:
            write_text(layout.card(name, model.name), compose_card(shared, name, model.name))
