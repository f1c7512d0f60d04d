"""What leaves the study for other tools and for a paper: scores, ranking input, methods in
words, references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.analysis.blocks import read_scores
from attnbench.files import whole_file, write_csv, write_text
from attnbench.reporting.exports.challenger import challenger_frame
from attnbench.reporting.exports.methods import compose_methods
from attnbench.reporting.exports.references import references
from attnbench.reporting.results import Results

if TYPE_CHECKING:
    from attnbench.study.settings import Study


def write_exports(study: Study) -> None:
    """Write `scores.parquet`, `tables/challenger.csv`, `methods.md` and `references.bib` of what
    is scored so far.
    """
    layout = study.layout
    with whole_file(layout.parquet) as temporary:
        read_scores(layout.scores).to_parquet(temporary, engine="pyarrow", index=False)
    write_csv(layout.challenger, challenger_frame(study))
    cited = references(study)
    write_text(layout.methods, compose_methods(Results(study), cited))
    write_text(
        layout.references, "\n\n".join(dict.fromkeys(entry.bibtex for entry in cited)) + "\n"
    )
