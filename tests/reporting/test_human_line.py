"""The second observer's line in the comparison."""

import pandas as pd

from attnbench.analysis.human import HUMAN
from attnbench.files import write_csv
from attnbench.reporting.tables.comparison import HUMAN_NOTE, comparison


def add_observer(study):
    """A second observer on six cases of the retina, worse than every model in Dice and better in nothing."""
    means = pd.read_csv(study.layout.analysis / "means.csv", dtype={"class": "str"})
    rows = means[(means["dataset"] == "retina_drive") & (means["model"] == "unet")]
    numbers = {"mean": 0.788, "low": 0.77, "high": 0.8, "cases": 6, "groups": 3, "seeds": 1}
    write_csv(study.layout.analysis / "human.csv", pd.concat([rows, rows.assign(model=HUMAN, **numbers)]))


def test_the_observer_is_the_last_line_of_its_dataset_alone(write_study):
    study = write_study()
    before = comparison(study)
    add_observer(study)
    after = comparison(study)
    retina, phantom = after.blocks
    assert retina.rows[:-1] == before.blocks[0].rows and phantom == before.blocks[1]
    assert retina.rows[-1][:4] == ("Second observer", "0.788 [0.770, 0.800]", "–", "–")
    assert retina.rows[-1][-2:] == ("6", "3")
    assert HUMAN_NOTE in after.notes and HUMAN_NOTE not in before.notes
    line = after.frame[after.frame["model"] == HUMAN]
    assert set(line["mean"]) == {0.788} and not line["best"].any()


def test_best_is_a_model_even_where_the_observer_is_better(write_study):
    study = write_study()
    best = comparison(study).frame.query("best")["model"].tolist()
    add_observer(study)
    assert comparison(study).frame.query("best")["model"].tolist() == best
