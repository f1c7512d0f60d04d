"""Figures: both formats at the printed size, their numbers, and messages for what is missing."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from attnbench.analysis.case_choice import choose_cases
from attnbench.analysis.run import analyse_study
from attnbench.errors import StudyError
from attnbench.files import write_csv
from attnbench.reporting.contents import figure_names
from attnbench.reporting.figures import draw_figure
from attnbench.reporting.figures.effects import draw_effects
from attnbench.reporting.figures.learning import curve_frame
from attnbench.reporting.figures.pareto import front_of
from attnbench.reporting.figures.ranks import alike
from attnbench.reporting.results import Results
from attnbench.reporting.style import styled
from attnbench.study.settings import Study, parse_study
from sealing import seal_study


def study_of(*models: str) -> Study:
    return parse_study(
        {"name": "s", "datasets": ["phantom2d"], "models": [{"name": name} for name in models]}
    )


def printed_mm(study: Study, name: str) -> tuple[float, float]:
    """Size of the PDF's page, from its MediaBox in points."""
    content = (study.layout.figures / f"{name}.pdf").read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", content)
    assert box
    return float(box[1]) / 72 * 25.4, float(box[2]) / 72 * 25.4


def assert_drawn(study: Study, name: str) -> None:
    width, height = printed_mm(study, name)
    page = Results(study).page
    assert any(width == pytest.approx(allowed, abs=0.2) for allowed in (page.single, page.double))
    assert 15 < height <= page.tallest + 0.2
    with Image.open(study.layout.figures / f"{name}.png") as picture:
        assert picture.width == pytest.approx(width / 25.4 * 300, abs=2)
        assert picture.height == pytest.approx(height / 25.4 * 300, abs=2)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 5
    assert (study.layout.figures / f"{name}.csv").exists()


def test_every_figure_in_both_formats_at_journal_width(write_study):
    study = write_study(datasets=["phantom2d", "hippocampus"], cases=6, seeds=(0,))
    for name in figure_names(study):
        draw_figure(study, name)
        assert_drawn(study, name)
        content = (study.layout.figures / f"{name}.pdf").read_bytes()
        assert b"/Subtype /Type3" not in content
        assert b"/FontFile2" in content


@pytest.mark.parametrize(
    ("page", "single", "double"),
    [
        ("miccai", 122, 122),
        ("tmi", 88.9, 181),
        ("nature", 89, 183),
        ([75, 150.5, 99], 75, 150.5),
        (None, 88, 180),
    ],
)
def test_the_study_says_how_wide_figures_are_printed(write_study, page, single, double):
    """Widths of Springer LNCS, IEEE (3.5 and 7.1 in), Nature, and two of one's own; the last is
    the default.
    """
    study = write_study(
        datasets=["phantom2d", "phantom3d"], models=["unet", "attention_gate"], cases=4, seeds=(0,)
    )
    if page:
        study = parse_study({**study.model_dump(mode="json"), "figures": {"page": page}})
    narrow = parse_study({**study.model_dump(mode="json"), "datasets": ["phantom2d"]})
    for name in (
        "scores",
        "effects",
        "heatmap_metrics",
        "ranks",
        "pareto",
        "difficulty",
        "learning",
        "cases_phantom2d",
    ):
        draw_figure(study, name)
        assert printed_mm(study, name)[0] == pytest.approx(double, abs=0.2)
    for name in ("scores", "learning", "calibration"):
        draw_figure(narrow, name)
        assert printed_mm(narrow, name)[0] == pytest.approx(single, abs=0.2)


def test_widths_that_no_page_has_are_refused():
    with pytest.raises(StudyError, match=r"figures\.page"):
        parse_study(
            {"name": "s", "datasets": ["d"], "models": ["unet"], "figures": {"page": [8.8, 18, 23]}}
        )
    with pytest.raises(StudyError, match="no such journal; allowed: miccai, nature, tmi"):
        parse_study(
            {"name": "s", "datasets": ["d"], "models": ["unet"], "figures": {"page": "lancet"}}
        )


def test_drawing_again_gives_the_same_bytes(write_study):
    study = write_study(datasets=["phantom2d"], cases=4, seeds=(0,))
    draw_figure(study, "effects")
    first = {path.name: path.read_bytes() for path in study.layout.figures.iterdir()}
    draw_figure(study, "effects")
    assert first == {path.name: path.read_bytes() for path in study.layout.figures.iterdir()}


def test_csv_beside_a_figure_holds_what_is_drawn(write_study):
    study = write_study()
    draw_figure(study, "effects")
    drawn = pd.read_csv(study.layout.figures / "effects.csv")
    analysed = pd.read_csv(study.layout.analysis / "effects.csv")
    expected = analysed[
        (analysed["class"] == "all") & analysed["metric"].isin(["dice", "hd95_penalised"])
    ]
    pd.testing.assert_frame_equal(drawn, expected.reset_index(drop=True))


def test_points_of_the_score_figure_average_to_the_analysed_mean(write_study):
    study = write_study()
    draw_figure(study, "scores")
    drawn = pd.read_csv(study.layout.figures / "scores.csv")
    points = drawn[drawn["shown"] == "case"].groupby(["dataset", "model"])["value"].mean()
    means = drawn[drawn["shown"] == "mean"].set_index(["dataset", "model"])["value"]
    assert len(points) == len(study.datasets) * len(study.models)
    np.testing.assert_allclose(points, means.reindex(points.index), rtol=1e-12)


def test_missing_pieces_are_said_not_raised(write_study):
    failed = [("phantom3d", model, fold) for model in ("unet", "attention_gate") for fold in (0, 1)]
    study = write_study(
        datasets=["retina_drive", "phantom3d"],
        models=["unet", "attention_gate"],
        failed=failed,
        cases=4,
    )
    for name in figure_names(study):
        draw_figure(study, name)
        assert_drawn(study, name)


@pytest.mark.parametrize("analysed", [True, False])
def test_one_model_and_one_dataset(write_study, analysed):
    study = write_study(datasets=["phantom2d"], models=["unet"], cases=4, analysed=analysed)
    for name in figure_names(study):
        draw_figure(study, name)
        assert_drawn(study, name)


def test_scores_that_are_all_undefined(write_study):
    study = write_study(
        datasets=["phantom2d", "phantom3d"], models=["unet", "cbam"], cases=4, seeds=(0,)
    )
    write_csv(study.layout.scores, pd.read_csv(study.layout.scores).assign(value=np.nan))
    seal_study(study)
    analyse_study(study)
    for name in figure_names(study):
        draw_figure(study, name)
        assert_drawn(study, name)


def test_one_fold_alone(write_study):
    failed = [
        (dataset, model, 1) for dataset in ("phantom2d", "phantom3d") for model in ("unet", "cbam")
    ]
    study = write_study(
        datasets=["phantom2d", "phantom3d"],
        models=["unet", "cbam"],
        cases=4,
        seeds=(0,),
        failed=failed,
    )
    for name in figure_names(study):
        draw_figure(study, name)
        assert_drawn(study, name)


def test_the_margin_of_equivalence_is_drawn_where_the_metric_has_one(write_study):
    study = write_study(datasets=["phantom2d"], models=["unet", "cbam"], metrics=["dice", "hd95"])
    with styled():
        dice, hd95 = draw_effects(Results(study)).figure.axes
    margin = study.analysis.margin
    lines = [
        {line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1}
        for axes in (dice, hd95)
    ]
    assert {-margin, 0, margin} <= lines[0]
    assert not {-margin, margin} & lines[1]


def test_unknown_figure_is_refused_with_the_names(write_study):
    with pytest.raises(
        StudyError, match=r"no figure 'scoers'; did you mean 'scores'\?.*cases_phantom2d"
    ):
        draw_figure(
            write_study(datasets=["phantom2d"], models=["unet"], cases=4, analysed=False), "scoers"
        )


def test_names_need_neither_matplotlib_nor_pandas():
    heavy = "{'matplotlib', 'pandas', 'torch'}"
    code = f"import sys, attnbench.reporting.contents; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_model_has_a_look_of_its_own_and_keeps_it():
    names = ["unet", *(f"m{k}" for k in range(40))]
    styles = Results(study_of(*names)).styles
    assert len({(style.colour, style.marker) for style in styles.values()}) == len(names)
    assert Results(study_of(*names[:5])).styles == {name: styles[name] for name in names[:5]}


def test_neighbouring_models_are_distinguishable_with_a_colour_deficiency():
    """Machado et al. (2009), severity 1: protanopia, deuteranopia, tritanopia, in linear RGB."""
    matrices = [
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ]
    styles = list(Results(study_of("unet", *(f"m{k}" for k in range(5)))).styles.values())
    colours = np.array(
        [[int(style.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for style in styles]
    )
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for matrix in [np.eye(3).tolist(), *matrices]:
        seen = np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.4)
        distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert distance[~np.eye(len(seen), dtype=bool)].min() > 0.1


VALUES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["unet", "x", "y"]), st.floats(0, 1)),
    max_size=24,
    unique_by=lambda item: item[:2],
)


@given(VALUES, st.booleans())
def test_chosen_cases_follow_their_rules(items, higher_is_better):
    values = pd.DataFrame(items, columns=["case", "model", "value"])
    chosen = choose_cases(values, "unet", higher_is_better)
    names = [choice.case for choice in chosen]
    assert len(set(names)) == len(names) and set(names) <= set(values["case"])
    assert bool(names) == bool(len(values))
    sign = 1 if higher_is_better else -1
    score = {(case, model): sign * value for case, model, value in items}
    for choice in chosen:
        if choice.model is not None and "unet" in set(values["model"]):
            gain = score[choice.case, choice.model] - score[choice.case, "unet"]
            assert gain > 0 if choice.rule == "Largest gain" else gain < 0
            others = [
                value - score[case, "unet"]
                for (case, model), value in score.items()
                if model != "unet"
                and (case, "unet") in score
                and case not in names[: chosen.index(choice)]
            ]
            assert gain == (max(others) if choice.rule == "Largest gain" else min(others))


def test_largest_gain_and_loss_on_a_hand_made_table():
    rows = {"a": (0.5, 0.6), "b": (0.7, 0.9), "c": (0.8, 0.7), "d": (0.9, 0.9), "e": (0.2, 0.25)}
    table = [
        (case, model, value)
        for case, pair in rows.items()
        for model, value in zip(("unet", "x"), pair, strict=True)
    ]
    chosen = choose_cases(pd.DataFrame(table, columns=["case", "model", "value"]), "unet", True)
    assert {choice.rule: choice.case for choice in chosen} == {
        "Median": "b",
        "Largest gain": "a",
        "Largest loss": "c",
        "Worst": "e",
    }


@given(
    st.lists(st.tuples(st.integers(1, 6), st.floats(0, 1)), min_size=1, max_size=12), st.booleans()
)
def test_front_holds_exactly_the_models_that_none_beats(points, higher_is_better):
    rows = pd.DataFrame(points, columns=["parameters", "mean"])
    sign = 1 if higher_is_better else -1
    expected = {
        (cost, mean)
        for cost, mean in points
        if not any(
            c <= cost and sign * m >= sign * mean and (c, m) != (cost, mean) for c, m in points
        )
    }
    front = front_of(rows, "parameters", higher_is_better)
    assert set(zip(front["parameters"], front["mean"], strict=True)) == expected


def test_learning_curves_span_the_runs():
    history = pd.DataFrame(
        {
            "dataset": "d", "model": "m", "fold": [0, 0, 1, 1], "seed": 0, "step": [0, 10, 0, 10],
            "loss": [1.0, 0.5, 3.0, 0.7], "validation_dice": [np.nan, 0.8, np.nan, 0.6],
        }
    )  # fmt: skip
    curves = curve_frame(history).set_index(["curve", "step"])
    assert curves.loc[("loss", 0), ["mean", "low", "high", "runs"]].tolist() == [2.0, 1.0, 3.0, 2]
    assert curves.loc[("validation_dice", 10), ["mean", "low", "high"]].tolist() == pytest.approx(
        [0.7, 0.6, 0.8]
    )
    assert ("validation_dice", 0) not in curves.index


@given(st.lists(st.floats(1, 12), min_size=2, max_size=12), st.floats(0.1, 6))
def test_bars_join_exactly_the_pairs_within_the_critical_difference(mean_ranks, critical):
    ordered = sorted(mean_ranks)
    bars = list(alike(ordered, critical))
    joined = {
        (a, b)
        for first, last in bars
        for a in range(first, last + 1)
        for b in range(a + 1, last + 1)
    }
    size = len(ordered)
    close = {
        (a, b)
        for a in range(size)
        for b in range(a + 1, size)
        if ordered[b] - ordered[a] <= critical
    }
    assert joined == close
    assert not any(a[0] <= b[0] and b[1] <= a[1] for a in bars for b in bars if a != b)


def test_difficulty_figure_shows_known_truths_first_and_the_strata_of_the_analysis(write_study):
    study = write_study(
        datasets=["phantom2d", "retina_drive"], models=["unet", "attention_gate"], seeds=(0,)
    )
    draw_figure(study, "difficulty")
    drawn = pd.read_csv(study.layout.figures / "difficulty.csv")
    shown = drawn.drop_duplicates(["dataset", "measure"]).groupby("dataset")["measure"].agg(set)
    assert shown["phantom2d"] == {"blur", "contrast", "clutter"}
    assert drawn.loc[drawn["dataset"] == "phantom2d", "known_truth"].all()
    assert shown["retina_drive"] == {"contrast_to_noise", "clutter"}
    strata = pd.read_csv(study.layout.analysis / "difficulty_strata.csv").query("metric == 'dice'")
    keys = ["dataset", "measure", "known_truth"]
    wanted = strata.merge(drawn[keys].drop_duplicates(), on=keys)["benefit"]
    assert sorted(drawn.loc[drawn["shown"] == "stratum", "gain"]) == pytest.approx(sorted(wanted))
