"""The second rater's line in the comparison."""

import pandas as pd

from attnbench.analysis.second_rater import SECOND_RATER
from attnbench.files import write_csv
from attnbench.reporting.results import Results
from attnbench.reporting.tables.comparison import SECOND_RATER_NOTE, tabulate_comparison


def add_second_rater(study):
    """A second rater on six cases of the retina, worse than every model in Dice and better in
    nothing.
    """
    means = pd.read_csv(study.layout.analysis / "means.csv", dtype={"class": "str"})
    rows = means[(means["dataset"] == "retina_drive") & (means["model"] == "unet")]
    numbers = {"mean": 0.788, "low": 0.77, "high": 0.8, "cases": 6, "groups": 3, "seeds": 1}
    write_csv(
        study.layout.analysis / "second_rater.csv",
        pd.concat([rows, rows.assign(model=SECOND_RATER, **numbers)]),
    )


def test_the_second_rater_is_the_last_line_of_its_dataset_alone(write_study):
    study = write_study()
    before = tabulate_comparison(Results(study))
    add_second_rater(study)
    after = tabulate_comparison(Results(study))
    retina, phantom = after.blocks
    assert retina.rows[:-1] == before.blocks[0].rows and phantom == before.blocks[1]
    cells = tuple(map(str, retina.rows[-1]))
    assert cells[:4] == ("Second rater", "0.788 [0.770, 0.800]", "–", "–")
    assert cells[-2:] == ("6", "3")
    assert SECOND_RATER_NOTE in after.notes and SECOND_RATER_NOTE not in before.notes
    line = after.frame[after.frame["model"] == SECOND_RATER]
    assert set(line["mean"]) == {0.788} and not line["best"].any()


def test_best_is_a_model_even_where_the_second_rater_is_better(write_study):
    study = write_study()
    best = tabulate_comparison(Results(study)).frame.query("best")["model"].tolist()
    add_second_rater(study)
    assert tabulate_comparison(Results(study)).frame.query("best")["model"].tolist() == best
