"""The Python interface: light to import, typed, and the same numbers as the workflow's."""

import ast
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

import attnbench
from attnbench.errors import DataError, StudyError
from attnbench.inference.predict import predict_run

TINY = {
    "name": "tiny",
    "datasets": [{"name": "nuclei_mini", "size": [32, 32]}],
    "models": ["unet", "attention_gate"],
    "backbone": {"widths": [2, 4], "blocks_per_level": 1},
    "folds": {"outer": 5, "inner": 2, "run": [0]},
    "training": {"steps": 2, "batch": 2, "patch_2d": [16, 16], "validate_every": 1},
    "metrics": ["dice"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    return attnbench.load_study({**TINY, "output": str(output)})


@pytest.fixture(scope="module")
def trained(study):
    return attnbench.train(study, "nuclei_mini", "attention_gate", fold=0)


def test_import_loads_this_one_module_only():
    command = (
        "import sys; before = {*sys.modules}; import attnbench; print({*sys.modules} - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "{'attnbench'}"


def test_every_name_is_there_documented_and_known_to_type_checkers():
    tree = ast.parse(Path(attnbench.__file__).read_text(encoding="utf-8"))
    (typed,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.names[0].name != "api"
    )
    assert sorted(alias.name for alias in typed.names) == sorted(attnbench.__all__)
    for name in attnbench.__all__:
        assert len(getattr(attnbench, name).__doc__) > 60, name
    assert {*attnbench.__all__} <= {*dir(attnbench)}
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = attnbench.trian


def test_own_tables_are_compared_by_the_paired_t_interval_over_groups():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), [1, 2, 3, 1, 2, 3, 1, 2])
    ours = pd.DataFrame({"case": np.arange(15), "group": groups, "value": random.random(15)})
    theirs = ours.assign(value=random.random(15)).sample(frac=1, random_state=0)
    row = attnbench.compare(ours, theirs).query("`class` == 'all'").iloc[0]
    difference = ours.set_index("case")["value"] - theirs.set_index("case")["value"]
    means = difference.groupby(ours.set_index("case")["group"]).mean().to_numpy()
    expected = stats.ttest_1samp(means, 0).confidence_interval()
    assert row["difference"] == pytest.approx(means.mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected))
    signs = np.array(list(itertools.product([-1, 1], repeat=8)))
    extreme = np.abs(signs @ means) >= abs(means.sum()) - 1e-12
    assert row["p"] == pytest.approx(extreme.mean())
    assert (row["cases"], row["groups"]) == (15, 8)


def test_without_groups_every_case_is_one_and_the_metric_says_what_is_better():
    ours = pd.DataFrame({"case": [f"0{k}" for k in range(6)], "value": np.arange(6.0)})
    worse = ours.assign(value=ours["value"] + [1, 1.1, 1.2, 0.9, 1, 1.3])
    (row,) = (
        attnbench.compare(ours, worse, metric="hd95").query("`class` == 'all'").to_dict("records")
    )
    assert (row["groups"], row["verdict"]) == (6, "better")
    assert row["benefit"] == pytest.approx(6.5 / 6)


def test_several_models_stand_in_one_table():
    table = pd.DataFrame(
        [
            {"model": model, "case": case, "value": case + shift}
            for model, shift in (("a", 0.0), ("b", 1.0), ("c", 3.0))
            for case in range(5)
        ]
    )
    frame = attnbench.compare(table, "a").query("`class` == 'all'")
    assert frame.set_index("model")["difference"].to_dict() == pytest.approx({"b": 1, "c": 3})


@pytest.mark.parametrize(
    ("ours", "theirs", "match"),
    [
        ({"case": [1], "value": [1]}, {"case": [2], "value": [1]}, "no case in common"),
        ({"case": [1], "score": [1]}, {"case": [1], "value": [1]}, "no column value"),
        ({"case": [1, 1], "value": [1, 2]}, {"case": [1], "value": [1]}, "more than one dice"),
        ({"case": [1], "value": ["x"]}, {"case": [1], "value": [1]}, "'x' is no number"),
        ({"case": [1], "value": [1], "fold": [0.5]}, {"case": [1], "value": [1]}, "fold is 0.5"),
        (
            {"case": [1], "value": [1], "group": ["p"]},
            {"case": [1], "value": [1], "group": ["q"]},
            "more than one group",
        ),
        ({"case": [1], "value": [np.inf]}, {"case": [1], "value": [1]}, "infinite"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(ours, theirs, match):
    with pytest.raises(DataError, match=match):
        attnbench.compare(pd.DataFrame(ours), pd.DataFrame(theirs))


@pytest.fixture
def scored(tmp_path):
    """Results of a study that was scored by two metrics."""
    random = np.random.default_rng(0)
    study = attnbench.load_study(
        {**TINY, "metrics": ["dice", "iou"], "output": str(tmp_path / "scored")}
    )
    rows = [
        {
            "dataset": "nuclei_mini", "model": model, "fold": 0, "seed": 0, "case": f"c{case}",
            "group": f"g{case}", "class": 1, "metric": metric, "value": random.random(),
            "unit": "1", "status": "ok", "origin": "trained",
        }
        for model, metric in itertools.product(("unet", "attention_gate"), ("dice", "iou"))
        for case in range(7)
    ]  # fmt: skip
    study.layout.output.mkdir()
    pd.DataFrame(rows).to_csv(study.layout.scores, index=False)
    return attnbench.open_results(study)


def test_of_results_one_metric_has_the_rows_that_it_has_among_all(scored):
    every = attnbench.compare(scored, "unet")
    assert {*every["metric"]} == {"dice", "iou"}
    alone = attnbench.compare(scored, "unet", metric="iou")
    expected = every[every["metric"] == "iou"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected)
    with pytest.raises(DataError, match="no scores by 'hd95'"):
        attnbench.compare(scored, "unet", metric="hd95")


def test_wrong_names_are_refused_with_the_nearest():
    table = pd.DataFrame({"model": ["a", "b"], "case": [1, 1], "value": [0.1, 0.2]})
    with pytest.raises(DataError, match="'unte'"):
        attnbench.compare(table, "unte")
    with pytest.raises(DataError, match="did you mean 'dice'"):
        attnbench.compare(table, "a", metric="dcie")


def test_originals_come_as_arrays_with_spacing():
    dataset = attnbench.open_dataset("nuclei_mini")
    case = next(iter(dataset))
    assert (len(dataset), dataset.classes, case.spacing) == (56, {1: "nucleus"}, (1.0, 1.0))
    assert case.image.shape == (1, *case.mask.shape) and {*np.unique(case.mask)} <= {0, 1}
    folder = Path(attnbench.__file__).parent / "catalog" / "entries" / "nuclei_mini"
    (image,) = (path for path in folder.rglob(f"*{case.case}*") if "mask" not in str(path))
    assert np.array_equal(case.image[0], np.asarray(Image.open(image).convert("L")))
    with pytest.raises(DataError, match="no case 'nothing'"):
        _ = dataset["nothing"]


def test_what_would_be_downloaded_needs_a_folder_and_its_licence_a_word():
    with pytest.raises(DataError, match="downloads='data'"):
        attnbench.open_dataset("retina_drive")
    with pytest.raises(DataError, match="accept_licence=True"):
        attnbench.open_dataset("medseg_kvasir_256", downloads="never")


def test_a_run_is_trained_once(study, trained):
    assert trained.history["step"].max() == 2 and trained.facts["parameters"] > 0
    before = trained.weights.stat().st_mtime_ns
    again = attnbench.train(study, "nuclei_mini", "attention_gate", fold=0)
    assert again.weights.stat().st_mtime_ns == before
    longer = study.model_copy(update={"training": study.training.model_copy(update={"steps": 3})})
    assert attnbench.train(longer, "nuclei_mini", "attention_gate").facts["steps"] == 3
    attnbench.train(study, "nuclei_mini", "attention_gate")


def test_predictions_are_those_of_the_workflow(study, trained):
    predict_run(study, trained.run)
    with np.load(trained.folder / "predictions.npz") as stored:
        found = list(attnbench.predict(study, "nuclei_mini", "attention_gate"))
        assert [one.name for one in found] == stored.files
        for one in found:
            assert np.array_equal(one.mask, stored[one.name])
            assert one.probabilities.sum(axis=0) == pytest.approx(1, abs=1e-5)


def test_an_array_is_predicted_as_the_case_that_it_is_of(study, trained):
    case = next(iter(attnbench.open_dataset("nuclei_mini")))
    (own,) = attnbench.predict(study, "nuclei_mini", "attention_gate", cases=[case.case])
    images = {"a": case.image, "b": case.image[0]}
    for one in attnbench.predict(study, "nuclei_mini", "attention_gate", images=images):
        assert np.array_equal(one.probabilities, own.probabilities)
    wrong = {"c": np.zeros((3, 8, 8))}
    with pytest.raises(DataError, match=r"'c' has shape \(3, 8, 8\)"):
        list(attnbench.predict(study, "nuclei_mini", "attention_gate", images=wrong))


def test_images_say_what_they_were_to_the_training(study, trained):
    folder = Path(attnbench.__file__).parent / "catalog" / "entries" / "nuclei_mini"
    (fold,) = [
        one
        for one in json.loads(study.layout.folds("nuclei_mini").read_text())["folds"]
        if one["fold"] == 0
    ]
    roles = {"train": "training", "validation": "validation", "test": "test"}
    chosen = {fold[part][0]: role for part, role in roles.items()}
    files = [
        path
        for path in folder.rglob("*.*")
        if "mask" not in str(path) and any(case in path.name for case in chosen)
    ]
    found = attnbench.predict(study, "nuclei_mini", "attention_gate", images=files)
    seen = {case: roles for one in found for case, roles in one.seen.items()}
    assert seen == {case: {role: 1} for case, role in chosen.items()}
    case, role = next(iter(chosen.items()))
    (own,) = attnbench.predict(study, "nuclei_mini", "attention_gate", cases=[case])
    assert own.seen == {case: {role: 1}}


def test_runs_that_the_study_lacks_are_refused(study):
    with pytest.raises(StudyError, match="attention_gate"):
        attnbench.train(study, "nuclei_mini", "attention_gat")
    with pytest.raises(DataError, match="no fold 7; it runs 0"):
        attnbench.train(study, "nuclei_mini", "unet", fold=7)
    with pytest.raises(DataError, match="no seed 3"):
        attnbench.predict(study, "nuclei_mini", "unet", seed=3)


def test_results_say_what_is_not_there_yet(study, tmp_path):
    with pytest.raises(DataError, match="has not been analysed"):
        attnbench.open_results(study).frame("means")
    with pytest.raises(StudyError, match=r"no results of a study"):
        attnbench.open_results(tmp_path)
    with pytest.raises(DataError, match="did you mean 'means'"):
        attnbench.open_results(study).frame("mean")
