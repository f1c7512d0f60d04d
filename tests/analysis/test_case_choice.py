import numpy as np

from attnbench.analysis.blocks import arrange
from attnbench.analysis.case_choice import compute_cases
from attnbench.study.settings import Study


def chosen(scores, **settings):
    study = Study(name="s", datasets=["sim"], models=["unet", "m1"], metrics=["dice"], **settings)
    return compute_cases(arrange(scores, ["sim"], ["unet", "m1"], study.metrics), study)


def test_cases_are_chosen_by_the_runs_of_the_first_seed(score_table):
    unet, variant = [0.5, 0.7, 0.8, 0.9, 0.2], [0.6, 0.9, 0.7, 0.9, 0.25]
    values = np.stack([np.stack([unet, unet[::-1]], 1), np.stack([variant, variant[::-1]], 1)])
    scores = score_table(values, groups="vwxyz", folds=[0, 0, 1, 1, 2])
    table = chosen(scores, seeds=[0, 1]).set_index("rule")
    assert table["case"].to_dict() == {
        "Median": "case0001", "Largest gain": "case0000", "Largest loss": "case0002",
        "Worst": "case0004",
    }  # fmt: skip
    assert table["of_model"].dropna().to_dict() == {"Largest gain": "m1", "Largest loss": "m1"}
    assert table["group"].to_dict() == {
        "Median": "w",
        "Largest gain": "v",
        "Largest loss": "x",
        "Worst": "z",
    }
    assert table["fold"].to_dict() == {
        "Median": 0,
        "Largest gain": 0,
        "Largest loss": 1,
        "Worst": 2,
    }
    assert (
        set(table["seed"]) == {0}
        and set(table["metric"]) == {"dice"}
        and set(table["dataset"]) == {"sim"}
    )
    other = chosen(scores, seeds=[1, 0]).set_index("rule")
    assert set(other["seed"]) == {1}
    assert other["case"]["Worst"] == "case0000"


def test_without_runs_of_the_first_seed_there_is_no_case(score_table):
    scores = score_table(np.full((2, 3, 1), 0.5), groups="xyz")
    assert chosen(scores, seeds=[7]).empty
    assert list(chosen(scores[:0], seeds=[0]).columns) == list(chosen(scores, seeds=[0]).columns)


def test_a_model_alone_shows_its_best_case(score_table):
    scores = score_table(np.array([[[0.3], [0.4], [0.9]]]), groups="xyz")
    table = chosen(scores, seeds=[0])
    assert dict(zip(table["rule"], table["case"], strict=True)) == {
        "Median": "case0001", "Best": "case0002", "Worst": "case0000",
    }  # fmt: skip
    assert table["of_model"].isna().all()
