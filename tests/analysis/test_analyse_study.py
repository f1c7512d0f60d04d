import numpy as np
import pandas as pd
import pytest

from attnbench.analysis.run import analyse_study, compute_analysis
from attnbench.errors import DataError
from attnbench.files import write_csv, write_json
from attnbench.study.settings import Study
from sealing import seal_study

RANDOM = np.random.default_rng(2)
GROUPS = 12


@pytest.fixture
def study(tmp_path):
    return Study(
        name="small",
        datasets=["sim"],
        models=["unet", "m1"],
        seeds=[0, 1],
        folds={"outer": 3},
        metrics=["dice"],
        analysis={"bootstrap": 300},
        output=tmp_path,
    )


@pytest.fixture
def finished(study, score_table):
    """A study whose every run left its files."""
    layout = study.layout
    folds = np.arange(GROUPS) % 3
    write_csv(layout.scores, score_table(RANDOM.uniform(size=(2, GROUPS, 2)), range(GROUPS), folds))
    write_json(layout.prepared("sim") / "dataset.json", {"classes": {"1": "organ"}})
    for model, parameters in (("unet", 100), ("m1", 150)):
        description = {"parameters": parameters, "flops": parameters * 10, "input": [1, 64, 64]}
        write_json(layout.model("sim", model), description)
    for run in study.runs():
        leave(study, run)
    seal_study(study)
    return study


def leave(study, run, **facts):
    folder = study.layout.run(run)
    seconds = 10.0 + run.fold + (5 if run.model == "m1" else 0)
    known = {
        "train_seconds": seconds,
        "device": "cpu",
        "data_hash": "a",
        "folds_hash": "b",
        "energy_j": None,
    }
    write_json(folder / "run.json", {**known, **facts})
    steps = np.arange(300)
    history = pd.DataFrame(
        {
            "step": steps,
            "loss": 1 / (steps + 1),
            "validation_dice": np.where(steps == 7, 0.5, np.nan),
        }
    )
    write_csv(folder / "history.csv", history)
    for name in ("predictions.npz", "scores.csv"):
        (folder / name).touch()


def test_a_finished_study_gives_every_table(finished):
    analyse_study(finished)
    tables = {path.stem: pd.read_csv(path) for path in finished.layout.analysis.glob("*.csv")}
    assert {"means", "effects", "cost", "learning", "runs", "missing"} <= set(tables)
    assert set(tables["means"]["class_name"]) == {"organ", "mean over classes"}
    assert len(tables["effects"]) == 2 and tables["missing"].empty
    assert tables["runs"][["trained", "predicted", "scored", "gathered"]].all().all()


def test_measured_times_stand_beside_the_baseline_and_are_empty_where_nothing_was_measured(
    finished,
):
    for model, seconds in (("unet", 0.25), ("m1", 0.5)):
        facts = {
            "batch": 4,
            "latency_seconds": seconds,
            "step_seconds": 2 * seconds,
            "device": "elsewhere",
        }
        write_json(
            finished.layout.measured("sim", model),
            facts | {"rounds": 9, "inference_peak_bytes": None},
        )
    cost = compute_analysis(finished)["cost"].set_index("model")
    assert cost.loc["m1", ["batch", "rounds", "latency_seconds", "step_seconds"]].tolist() == [
        4,
        9,
        0.5,
        1.0,
    ]
    assert cost.loc["m1", ["latency_seconds_ratio", "step_seconds_ratio"]].tolist() == [2, 2]
    assert cost["device"].tolist() == ["cpu", "cpu"] and cost["inference_peak_bytes"].isna().all()
    finished.layout.measured("sim", "unet").unlink()
    cost = compute_analysis(finished)["cost"].set_index("model")
    assert cost["latency_seconds_ratio"].isna().all() and cost.loc["m1", "latency_seconds"] == 0.5


def test_cost_is_the_median_over_runs_beside_the_baseline(finished):
    cost = compute_analysis(finished)["cost"].set_index("model")
    assert cost["train_seconds"].to_dict() == {"unet": 11.0, "m1": 16.0}
    assert cost.loc["m1", "train_seconds_ratio"] == pytest.approx(16 / 11)
    assert cost.loc["m1", ["parameters_ratio", "flops_ratio"]].tolist() == [1.5, 1.5]
    assert cost.loc["m1", ["runs", "input", "device"]].tolist() == [6, "1x64x64", "cpu"]
    assert cost["energy_j"].isna().all() and cost["peak_memory_bytes"].isna().all()


def test_learning_keeps_the_validated_rows_of_a_long_history(finished):
    table = compute_analysis(finished)["learning"]
    one = table[(table["model"] == "m1") & (table["fold"] == 2) & (table["seed"] == 1)]
    assert one["step"].iloc[0] == 0 and one["step"].iloc[-1] == 299 and 7 in set(one["step"])
    assert one["step"].is_monotonic_increasing and len(one) <= 201
    np.testing.assert_allclose(one["loss"], 1 / (one["step"] + 1))


def test_a_study_that_stopped_halfway_is_analysed_and_names_what_is_missing(finished, caplog):
    layout, runs = finished.layout, list(finished.runs())
    scores = pd.read_csv(layout.scores, dtype={"group": str})
    write_csv(layout.scores, scores[(scores["model"] == "unet") | (scores["fold"] == 0)])
    lost = [run for run in runs if run.model == "m1" and run.fold > 0]
    (layout.run(lost[0]) / "run.json").unlink()
    (layout.run(lost[1]) / "predictions.npz").unlink()
    (layout.run(lost[2]) / "scores.csv").unlink()
    tables = compute_analysis(finished)
    assert tables["missing"]["next_step"].tolist() == ["train", "predict", "score", "gather"]
    assert [
        f"{r.dataset}/{r.model}/fold{r.fold}-seed{r.seed}" for r in tables["missing"].itertuples()
    ] == list(map(str, lost))
    assert "4 of 12 runs have no scores" in caplog.text
    assert tables["effects"][["cases", "folds"]].drop_duplicates().to_numpy().tolist() == [[4, 1]]


def test_files_that_are_absent_leave_empty_cells(study, score_table):
    write_csv(study.layout.scores, score_table(RANDOM.uniform(size=(2, GROUPS, 2)), range(GROUPS)))
    tables = compute_analysis(study)
    none = ["told", "rising", "diverged", "trials", "trial_seconds"]
    assert tables["cost"].drop(columns=["dataset", "model", "runs", *none]).isna().all().all()
    assert not tables["cost"][none].any().any()
    assert set(tables["means"]["class_name"]) == {"1", "mean over classes"}
    assert tables["learning"].empty and "step" in tables["learning"]
    assert len(tables["missing"]) == 8


@pytest.mark.parametrize("fact", ["data_hash", "folds_hash"])
def test_runs_on_different_data_are_not_compared(finished, fact):
    odd = list(finished.runs())[3]
    leave(finished, odd, **{fact: "other"})
    with pytest.raises(DataError, match=rf"{odd}: its {fact} differs"):
        compute_analysis(finished)


def test_the_same_scores_give_the_same_bytes(finished):
    analyse_study(finished)
    first = {path.name: path.read_bytes() for path in finished.layout.analysis.iterdir()}
    analyse_study(finished)
    assert first == {path.name: path.read_bytes() for path in finished.layout.analysis.iterdir()}


def test_a_broken_run_file_is_named(finished):
    path = finished.layout.run(next(iter(finished.runs()))) / "run.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"run\.json: not valid JSON"):
        compute_analysis(finished)


EMPTY = np.full((2, GROUPS, 2), np.nan)
UNEQUAL = RANDOM.uniform(size=(2, GROUPS, 2))


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (UNEQUAL[:, :1], [0]),
        (UNEQUAL, [0] * GROUPS),
        (UNEQUAL[:1], range(GROUPS)),
        (UNEQUAL[1:] * 0 + 0.5, range(GROUPS)),
        (np.repeat(UNEQUAL[:1], 2, axis=0), range(GROUPS)),
        (EMPTY, range(GROUPS)),
        (np.stack([UNEQUAL[0], EMPTY[0]]), range(GROUPS)),
        (UNEQUAL, np.arange(GROUPS) % 4),
    ],
    ids=[
        "one case",
        "one group",
        "only the baseline",
        "constant",
        "equal models",
        "all empty",
        "one model empty",
        "four groups",
    ],
)
def test_degenerate_scores_give_tables_in_which_every_gap_has_its_reason(
    study, score_table, values, groups
):
    folds = np.arange(values.shape[1]) % 3 if len(set(groups)) > 3 else None
    write_csv(study.layout.scores, score_table(values, groups, folds))
    seal_study(study)
    analyse_study(study)
    tables = {path.stem: pd.read_csv(path) for path in study.layout.analysis.glob("*.csv")}
    means, effects, across = tables["means"], tables["effects"], tables["across"]
    assert (means["mean"].isna() == (means["cases"] == 0)).all()
    assert (means["low"].isna() == (means["groups"] < 5)).all()
    assert (effects["difference"].isna() == (effects["cases"] == 0)).all()
    assert (effects["p"].isna() == (effects["groups"] == 0)).all()
    assert (effects["low"].isna() == (effects["groups"] < 5)).all()
    none = effects["verdict"].isin(["undefined", "failures differ"])
    assert (none == (effects["cases"] == 0)).all()
    assert not effects["verdict_retrained"].isin(["better", "worse", "equivalent"]).any()
    assert not effects["verdict"].isin(["better", "worse"]).any() or np.array_equal(values, UNEQUAL)
    assert (across["low"].notna() | across["note"].fillna("").ne("")).all()
    assert (tables["ranks"]["first"].isna() == (tables["ranks"]["blocks"] < 5)).all()
