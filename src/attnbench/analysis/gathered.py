"""The study's table of scores, as it was gathered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.analysis.blocks import DatasetScores, arrange, read_scores
from attnbench.seals import refuse_changed
from attnbench.study.paths import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from attnbench.study.settings import Study


def read_gathered(layout: Layout) -> pd.DataFrame:
    """Read `scores.csv`, which nobody has touched since it was gathered.

    A folder without any seals is a part of results, passed on by somebody: it is read as it is.

    Raises:
        DataError: there is no such table, or it is none.
        SealError: it is not as it was gathered.
    """
    seal = layout.seal("gather")
    if layout.scores.is_file() and seal.parent.is_dir():
        remedy = "delete it and start Snakemake again, or `attnbench gather --study STUDY`"
        refuse_changed(seal, layout.output, [layout.scores], remedy)
    return read_scores(layout.scores)


def gathered_blocks(study: Study, metrics: Sequence[str]) -> list[DatasetScores]:
    """The scores that a study has gathered so far, in the named metrics; none without a table."""
    if not study.layout.scores.exists():
        return []
    models = [model.name for model in study.models]
    return arrange(read_gathered(study.layout), list(study.splits), models, metrics, study.splits)
