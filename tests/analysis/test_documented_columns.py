"""docs/files.md names every column of every table of the analysis, in the table's own section."""

import re
from pathlib import Path

import numpy as np
import pytest

from attnbench.analysis import answer, difficulty, verdicts
from attnbench.analysis.run import compute_analysis
from attnbench.files import write_csv
from attnbench.study.settings import Study

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
ANALYSIS = PAGE.split("\n# `analysis/`\n")[1]
EVERYWHERE = {
    "dataset",
    "class",
    "class_name",
    "metric",
    "unit",
    "model",
    "cases",
    "groups",
    "folds",
    "seeds",
}
LIKE = {
    "second_rater": "means",
    "difficulty_strata": "difficulty",
    "learning": "history",
    "runs": "history",
    "missing": "history",
}
"""Tables whose section refers to another one's columns."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory, score_table):
    study = Study(
        name="s", datasets=["sim"], models=["unet", {"name": "m1", "slots": {}}], metrics=["dice"],
        analysis={"bootstrap": 200}, output=tmp_path_factory.mktemp("study"),
    )  # fmt: skip
    write_csv(
        study.layout.scores, score_table(np.random.default_rng(0).uniform(size=(2, 6, 1)), range(6))
    )
    return compute_analysis(study)


def sections(text):
    """The words in backticks of every section, by the names of the tables in its heading."""
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0].split(":")[0]
        for name in re.findall(r"([a-z_]+)\.csv`", heading):
            words = {
                word
                for quoted in re.findall(r"`([^`]+)`", section)
                for word in re.findall(r"[a-z_0-9]+", quoted)
            }
            found.setdefault(name, set()).update(words)
    return found


def test_every_column_is_documented(tables):
    documented, whole = sections(ANALYSIS), sections(PAGE)
    assert set(documented) == set(tables)
    known = {
        name: EVERYWHERE | documented[name] | whole.get(LIKE.get(name, ""), set())
        for name in tables
    }
    missing = {name: sorted(set(frame.columns) - known[name]) for name, frame in tables.items()}
    assert {name: words for name, words in missing.items() if words} == {}


def test_every_word_of_a_verdict_is_explained():
    words = (
        *(verdicts.FAILURES_DIFFER, verdicts.DIVERGED, verdicts.TOO_FEW_GROUPS),
        verdicts.TOO_FEW_TRAININGS,
        *(verdicts.ONE_SPLIT, verdicts.GROUPS_CROSS, verdicts.NEAR_ZERO),
        *(verdicts.SAME_NETWORK, difficulty.ONE_SCALE, answer.HELPS, answer.BIGGER),
        *("better", "worse", "equivalent", "undecided", "undefined"),
    )
    assert [word for word in words if f"`{word}`" not in ANALYSIS] == []
