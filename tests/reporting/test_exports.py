"""What leaves the study for other tools and for a paper."""

import re

import pandas as pd
import pytest

from attnbench.analysis.averages import mean_defined
from attnbench.analysis.blocks import arrange, read_scores
from attnbench.analysis.runs import compute_runs
from attnbench.analysis.shift import compute_data_efficiency
from attnbench.catalog import load_entry
from attnbench.files import write_csv, write_json
from attnbench.models.describe import describe_model
from attnbench.models.names import known_models
from attnbench.models.registry import get_mechanism
from attnbench.reporting.exports import write_exports
from attnbench.reporting.exports.challenger import rank_input
from attnbench.reporting.exports.claims_reloaded import claim_inputs
from attnbench.reporting.exports.references import bibliography, collect_references
from attnbench.reporting.results import Results
from attnbench.study.groups import PrimarySettings
from attnbench.study.settings import parse_study
from attnbench.study.shift import TransferSettings

KEY = re.compile(r"^@\w+\{([^,\s]+),", re.MULTILINE)


@pytest.fixture
def described(write_study):
    """A finished study whose models were described by the package itself."""
    study = write_study(models=("unet", "cbam", "u_transformer"), cases=26)
    for dataset in ("retina_drive", "phantom3d"):
        for model in study.models:
            describe_model(study, dataset, model.name)
    write_exports(study)
    return study


def test_parquet_is_the_table_of_scores(described):
    text = dict.fromkeys(("case", "group", "unit"), "str")
    expected = pd.read_csv(described.layout.scores, dtype=text)
    found = pd.read_parquet(described.layout.parquet)
    assert list(found) == list(expected)
    pd.testing.assert_frame_equal(found.astype(expected.dtypes), expected)


def test_challenger_has_every_case_of_every_model_once(described):
    found = pd.read_csv(described.layout.challenger)
    assert list(found) == ["task", "case", "algorithm", "score"]
    assert not found.duplicated(["task", "case", "algorithm"]).any()
    assert found.groupby("task")["case"].nunique().to_dict() == {
        "retina_drive": 26,
        "phantom3d": 26,
    }
    scores = pd.read_csv(described.layout.scores).query(
        "metric == 'dice' and dataset == 'retina_drive'"
    )
    one = found.query("task == 'retina_drive'").set_index(["case", "algorithm"])["score"]
    expected = scores.groupby(["case", "model"])["value"].mean()
    for key, value in expected.items():
        assert one[key] == pytest.approx(value)


def test_challenger_averages_classes_then_seeds(described):
    names = [part.name for part in described.models]
    (block,) = arrange(read_scores(described.layout.scores), ["phantom3d"], names, ["dice"])
    expected = mean_defined(mean_defined(block.values[0], 0), 2)
    frame = rank_input(Results(described)).query("task == 'phantom3d'")
    found = frame.pivot_table(index="algorithm", columns="case", values="score").loc[
        names, list(block.cases)
    ]
    assert found.to_numpy() == pytest.approx(expected)


def test_a_model_that_was_not_run_on_a_fold_has_empty_scores_there(write_study):
    study = write_study(datasets=("phantom3d",), failed=[("phantom3d", "attention_gate", 1)])
    frame = rank_input(Results(study))
    counts = frame.groupby("algorithm")["score"].agg(["size", "count"])
    assert counts["size"].unique().tolist() == [10]
    assert 0 < counts.loc["attention_gate", "count"] < 10 == counts.loc["unet", "count"]


@pytest.mark.parametrize("class_", ["all", 1])
def test_claims_reloaded_has_the_primary_metric_of_every_case_and_model(write_study, class_):
    study = write_study(analysed=False)
    primary = PrimarySettings.model_validate({"metric": "iou", "class": class_})
    analysis = study.analysis.model_copy(update={"primary": primary})
    inputs = claim_inputs(study.model_copy(update={"analysis": analysis}))
    scores = pd.read_csv(study.layout.scores).query("metric == 'iou'")
    if class_ != "all":
        scores = scores[scores["class"] == class_]
    for dataset, rows in scores.groupby("dataset"):
        per_training = rows.groupby(["model", "case", "fold", "seed"])["value"].mean()
        expected = per_training.groupby(["case", "model"]).mean().reset_index()
        expected = expected.pivot_table(index="case", columns="model", values="value")
        path = study.layout.claims_reloaded(dataset)
        write_csv(path, inputs[dataset])
        found = pd.read_csv(path, index_col="case_id")
        assert list(found) == [f"alg_{part.name}" for part in study.models]
        assert list(found.index) == list(expected.index)
        assert found.to_numpy() == pytest.approx(
            expected[[part.name for part in study.models]].to_numpy()
        )


def test_claims_reloaded_leaves_undefined_values_empty(write_study):
    study = write_study(
        datasets=("phantom3d",), failed=[("phantom3d", "attention_gate", 1)], analysed=False
    )
    frame = claim_inputs(study)["phantom3d"]
    assert len(frame) == frame["alg_unet"].count() == 10
    assert 0 < frame["alg_attention_gate"].count() < 10


def test_references_are_those_of_the_datasets_and_the_mechanisms_used(described):
    text = described.layout.references.read_text()
    keys = KEY.findall(text)
    assert len(keys) == len(set(keys)) and text.count("{") == text.count("}")
    assert load_entry("retina_drive").bibtex in text
    for name in ("cbam", "multi_head_self_attention", "cross_attention"):
        assert get_mechanism(name).paper.title in text
    assert {item.name for item in collect_references(described)} == {
        "retina_drive", "phantom3d", "unet", "cbam", "multi_head_self_attention", "cross_attention",
    }  # fmt: skip
    authors = "Woo, Sanghyun and Park, Jongchan and Lee, Joon-Young and Kweon, In So"
    assert f"author = {{{authors}}}" in text


def test_what_datasets_share_is_in_the_bibliography_once():
    names = ["medseg_wbc_128", "medseg_wbc_256", "medseg_idrib_128", "msd_heart", "hippocampus"]
    study = parse_study({"name": "s", "datasets": names, "models": ["unet"]})
    references = collect_references(study)
    text = bibliography(references)
    keys = KEY.findall(text)
    assert len(keys) == len({*keys})
    assert {*keys} == {key for reference in references for key in reference.keys}
    assert {"kus2024medsegbench", "medseg_wbc", "medseg_idrib", "antonelli2022decathlon"} <= {*keys}


def test_external_networks_are_cited_by_their_paths_and_unknown_ones_are_named(described):
    """Attention U-Net is the paper of a mechanism too: one entry for both."""
    content = described.model_dump(mode="json")
    content["models"] += [
        {"name": name, "network": path}
        for name, path in (
            ("attention_unet", "monai.networks.nets.AttentionUnet"),
            ("unetr", "monai.networks.nets.UNETR"),
            ("mine", "my_package.MyNet"),
            ("smp", "segmentation_models_pytorch.Unet"),
        )
    ]
    study = parse_study(content, known_models())
    write_exports(study)
    bib, methods = study.layout.references.read_text(), study.layout.methods.read_text()
    keys = KEY.findall(bib)
    assert len(keys) == len(set(keys)) and bib.count("{") == bib.count("}")
    for said in ("arXiv:1804.03999", "arXiv:2103.10504", "arXiv:2211.02701", "Iakubovskii"):
        assert bib.count(said) == 1
    assert set(re.findall(r"@([\w:.-]+)", methods)) == set(keys)
    for path in ("my_package.MyNet", "segmentation_models_pytorch.Unet"):
        assert f"The paper of `{path}` is not known here and has to be cited." in methods
    assert "UNETR`" not in methods


def test_the_unets_papers_are_those_of_the_dimensions_used(write_study):
    two, three = (
        collect_references(write_study((name,), analysed=False))
        for name in ("retina_drive", "phantom3d")
    )
    assert [item.keys for item in two if item.name == "unet"] == [("ronneberger2015unet",)]
    assert [item.keys for item in three if item.name == "unet"] == [("cicek2016unet",)]


def test_methods_say_what_was_done_about_shift_and_how_many_tests_that_is(described):
    layout = described.layout
    shift = {
        "transfer": (
            TransferSettings(train="retina_drive", test="phantom3d", classes={1: 1}, ensemble=True),
        ),
        "corruptions": ("noise", "bias_field"),
        "data_efficiency": (50, 10),
    }
    study = described.model_copy(update=shift)
    folds = len(study.folds_to_run("retina_drive"))
    scores = read_scores(layout.scores)
    small = pd.concat([scores.assign(percent=percent, training_groups=2) for percent in (10, 50)])
    runs = compute_runs(layout, study.runs(), scores)
    write_csv(
        layout.analysis / "data_efficiency.csv", compute_data_efficiency(study, scores, small, runs)
    )
    write_exports(study)
    text = layout.methods.read_text()
    frame = pd.read_csv(layout.analysis / "data_efficiency.csv")
    tested = frame[frame["p_holm"].notna()]
    sizes = tested.groupby(["metric", tested["class"] == "all"]).size()
    for said in (
        "Models of Retina DRIVE were also scored on every case of Phantom 3-D (classes: 1 as 1)",
        f"class probabilities of all {folds * len(study.seeds)} trainings of a model was scored",
        "corrupted in five levels by noise and bias field",
        "trained again on 10 and 50 % of a fold's training groups",
        f"with test and validation groups unchanged ({sizes.min()} to {sizes.max()} tests per "
        "metric, corrected together).",
    ):
        assert said in text, said


def test_methods_state_the_families_of_the_tests_of_difficulty(described):
    families = pd.read_csv(described.layout.analysis / "difficulty.csv")[
        ["family", "family_size"]
    ].drop_duplicates()
    # Distances have no second scale: nothing of them is tested.
    families = families[families["family_size"] > 0]
    text = described.layout.methods.read_text()
    assert len(families) and all(
        f"{row.family} ({row.family_size} test" in text for row in families.itertuples()
    )


def test_bibtex_says_others_and_escapes_what_latex_would_read(write_study):
    study = write_study(datasets=("phantom3d",))
    paper = {
        "mechanism": "x",
        "authors": "Loic Le Folgoc, Le Lu, Hu et al.",
        "year": 2018,
        "title": "50 % of A & B mean",
        "source": "arXiv:1",
    }
    write_json(study.layout.model("phantom3d", "unet"), {"papers": [paper]})
    (entry,) = [item for item in collect_references(study) if item.name == "x"]
    assert entry.keys == ("lefolgoc2018mean",)
    assert (
        "author = {Le Folgoc, Loic and Lu, Le and Hu and others}" in entry.bibtex
        and r"title = {{50 \% of A \& B mean}}" in entry.bibtex
    )


def test_methods_state_the_studys_numbers_and_cite_what_references_hold(described):
    text = described.layout.methods.read_text()
    keys = set(KEY.findall(described.layout.references.read_text()))
    assert set(re.findall(r"@([\w:.-]+)", text)) == keys
    effects = pd.read_csv(described.layout.analysis / "effects.csv")
    for family, size in (
        effects[["family", "family_size"]].drop_duplicates().itertuples(index=False)
    ):
        assert f"{family} ({size} test" in text
    for said in (
        "2 datasets", "26 cases of 13 groups", "outer folds 2",
        "inner validation on one training group in 2", "3 models", "2 seeds (0, 1)",
        "optimiser steps 1000; patches per step 8", "bootstrap resamples over groups 200",
        "seed of the resampling 0", "confidence of intervals 0.95", "level 0.05",
        "Of 24 planned trainings, 24 were finished", "scipy ",
    ):  # fmt: skip
        assert said in text, said


def test_methods_say_where_mechanisms_sit_here_and_in_their_papers(described):
    text = described.layout.methods.read_text()
    for said in (
        "full resolution: CBAM: encoder 0, 1 and 2, bottleneck 3; U-Transformer: ",
        "Cross-attention in skip 0, 1 and 2",
        "In the papers they sit elsewhere: CBAM: inside every residual block",
    ):
        assert said in text, said


def test_methods_name_the_runs_that_are_missing(write_study):
    study = write_study(datasets=("phantom3d",), failed=[("phantom3d", "attention_gate", 1)])
    write_exports(study)
    text = study.layout.methods.read_text()
    assert "Of 12 planned trainings, 10 were finished" in text
    assert "Phantom 3-D: runs not finished and left out: Attention gate (2 of 4)." in text


def test_methods_of_a_study_that_has_not_run_say_what_is_open(write_study):
    study = write_study(analysed=False)
    write_exports(study)
    text = study.layout.methods.read_text()
    assert "No test has been computed yet" in text and "none has been analysed yet" in text
