"""Figures of shift and calibration: drawn only when asked for, and honest about what lacks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from attnbench.analysis.blocks import read_scores
from attnbench.analysis.runs import compute_runs
from attnbench.analysis.shift import compute_shift, read_shift_scores
from attnbench.files import write_csv
from attnbench.reporting.contents import figure_names
from attnbench.reporting.figures import draw_figure
from attnbench.reporting.figures.calibration import draw_calibration
from attnbench.reporting.figures.cases import draw_cases
from attnbench.reporting.figures.difficulty import draw_difficulty_slopes
from attnbench.reporting.figures.drawing import coloured
from attnbench.reporting.figures.ranks import draw_ranks
from attnbench.reporting.figures.shift import draw_corruption
from attnbench.reporting.results import Results
from attnbench.reporting.style import styled
from attnbench.study.settings import Study, parse_study

SHIFT = ("corruption", "corruption_slopes", "transfer", "data_efficiency")
ASKED = {
    "corruptions": ["noise", "blur"],
    "data_efficiency": [25, 50],
    "transfer": [{"train": "phantom2d", "test": "retina_drive"}],
}

NUMBERS = (
    "mean", "low", "high", "slope", "difference", "difference_low", "difference_high", "p",
    "p_holm", "observed", "ece",
)  # fmt: skip


def asking(study: Study, **asked: object) -> Study:
    return parse_study({**study.model_dump(mode="json"), **asked})


def with_shift(study: Study) -> Study:
    """Scores that fall with the level, on another set, and with fewer groups; then the project's
    own analysis.
    """
    study, layout = asking(study, **ASKED), study.layout
    scores = pd.read_csv(layout.scores)
    corrupted = [
        scores.assign(value=scores["value"] * (1 - rate * level), corruption=kind, level=level)
        for kind, rate in (("noise", 0.02), ("blur", 0.05))
        for level in range(1, 6)
    ]
    write_csv(layout.shift("corrupted"), pd.concat(corrupted))
    own = scores[(scores["dataset"] == "phantom2d") & (scores["class"] == 1)]
    elsewhere = own.assign(
        value=own["value"] * 0.7, case="r_" + own["case"], group="r_" + own["group"]
    )
    elsewhere.insert(1, "test", "retina_drive")
    write_csv(layout.shift("transfer"), elsewhere)
    fewer = [
        scores.assign(value=scores["value"] * p / 100, percent=p, training_groups=p // 25)
        for p in (25, 50)
    ]
    write_csv(layout.shift("data_efficiency"), pd.concat(fewer))
    ordinary = read_scores(layout.scores)
    for name, frame in compute_shift(
        study, ordinary, compute_runs(layout, study.runs(), ordinary), read_shift_scores(study)
    ).items():
        write_csv(layout.analysis / f"{name}.csv", frame)
    return study


def drawn(study: Study, name: str) -> pd.DataFrame:
    draw_figure(study, name)
    with Image.open(study.layout.figures / f"{name}.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 5
    assert (study.layout.figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    return pd.read_csv(study.layout.figures / f"{name}.csv")


def test_figures_of_shift_exist_only_where_the_study_asks(write_study):
    study = write_study(
        datasets=["phantom2d", "retina_drive"], models=["unet"], cases=4, analysed=False
    )
    assert not set(SHIFT) & set(figure_names(study))
    assert set(SHIFT) <= set(figure_names(asking(study, **ASKED)))
    assert set(SHIFT) & set(figure_names(asking(study, data_efficiency=[50]))) == {
        "data_efficiency"
    }


def test_every_figure_of_shift_shows_the_analysis(write_study):
    study = with_shift(
        write_study(
            datasets=["phantom2d", "retina_drive"], models=["unet", "cbam", "eca"], seeds=(0,)
        )
    )
    levels = drawn(study, "corruption").set_index(["dataset", "corruption", "model", "level"])[
        "mean"
    ]
    at_0, at_5 = levels.xs(0, level="level"), levels.xs(5, level="level")
    np.testing.assert_allclose(
        at_5.xs("blur", level="corruption"), 0.75 * at_0.xs("blur", level="corruption")
    )
    slopes = drawn(study, "corruption_slopes").set_index(["dataset", "corruption", "model"])[
        "slope"
    ]
    np.testing.assert_allclose(
        slopes.xs("noise", level="corruption"), -0.02 * at_0.xs("noise", level="corruption")
    )
    matrix = drawn(study, "transfer").set_index(["train", "test", "model"])["mean"]
    assert set(matrix.index.droplevel("model")) == {
        ("phantom2d", "phantom2d"), ("phantom2d", "retina_drive"), ("retina_drive", "retina_drive"),
    }  # fmt: skip
    small = drawn(study, "data_efficiency").set_index(["dataset", "percent", "model"])["mean"]
    np.testing.assert_allclose(small.xs(50, level="percent"), 0.5 * small.xs(100, level="percent"))


@pytest.mark.parametrize("name", SHIFT)
def test_what_has_not_been_scored_is_said(write_study, name):
    study = write_study(
        datasets=["phantom2d", "retina_drive"], models=["unet", "cbam"], cases=4, seeds=(0,)
    )
    assert drawn(asking(study, **ASKED), name).empty


@pytest.mark.parametrize("name", [*SHIFT, "calibration", "pareto"])
def test_scores_that_are_all_undefined_are_drawn_as_nothing(write_study, name):
    study = with_shift(
        write_study(datasets=["phantom2d", "retina_drive"], models=["unet", "cbam"], seeds=(0,))
    )
    sources = {"corruption": "corruption_levels", "calibration": "reliability", "pareto": "means"}
    path = study.layout.analysis / f"{sources.get(name, name)}.csv"
    frame = pd.read_csv(path, dtype={"class": "str"})
    frame[[column for column in NUMBERS if column in frame]] = np.nan
    write_csv(path, frame)
    drawn(study, name)


@pytest.mark.parametrize("name", [*SHIFT, "calibration"])
def test_one_model_alone_and_a_dataset_without_runs(write_study, name):
    failed = [("retina_drive", "unet", fold) for fold in (0, 1)]
    study = write_study(
        datasets=["phantom2d", "retina_drive"], models=["unet"], seeds=(0,), failed=failed
    )
    drawn(with_shift(study), name)


def test_calibration_shows_the_share_observed_and_the_error_of_every_model(write_study):
    study = write_study(datasets=["phantom2d"], models=["unet", "cbam"], seeds=(0,))
    shown = drawn(study, "calibration")
    assert set(shown["class"]) == {"all"} and set(shown["model"]) == {"unet", "cbam"}
    assert set(shown["bin"]) == {1, 13}
    assert shown["probability"].round(6).isin([0.07, 0.93]).all()
    assert shown.groupby("model")["ece"].nunique().eq(1).all()


def test_of_many_models_the_baseline_and_the_best_are_coloured_everywhere_alike(write_study):
    names = ["unet", *(f"m{place:02d}" for place in range(14))]
    study = write_study(datasets=["phantom2d"], models=names, seeds=(0,), metrics=["dice"])
    shown, ranks = (
        coloured(Results(study)),
        pd.read_csv(study.layout.analysis / "ranks.csv", dtype={"class": "str"}),
    )
    best = ranks.query(
        "`class` == 'all' and metric == 'dice' and dataset == 'phantom2d'"
    ).sort_values("mean_rank")
    assert set(shown) == {"unet", *[name for name in best["model"] if name != "unet"][:8]}
    assert list(shown) == [name for name in names if name in shown]
    few = parse_study(
        {**study.model_dump(mode="json"), "models": study.model_dump(mode="json")["models"][:3]}
    )
    assert list(coloured(Results(few))) == names[:3]
    for name in (
        "learning",
        "difficulty",
        "difficulty_slopes",
        "calibration",
        "pareto",
        "cases_phantom2d",
    ):
        assert len(drawn(study, name))
    assert set(drawn(study, "calibration")["model"]) == set(names)


def test_of_many_models_those_not_in_colour_are_counted_and_case_panels_stay_readable(write_study):
    names = ["unet", *(f"m{place:02d}" for place in range(14))]
    study = write_study(datasets=["phantom2d"], models=names, seeds=(0,), metrics=["dice"])
    with styled():
        slopes, reliability, shown = (
            draw_difficulty_slopes(Results(study)),
            draw_calibration(Results(study)),
            draw_cases(Results(study), "phantom2d"),
        )
        shown.figure.draw_without_rendering()
    assert (
        slopes.figure.get_suptitle().replace("\n", " ").endswith("; 6 further models are not shown")
    )
    legend = reliability.figure.axes[0].get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()][-1] == "6 others"
    pictures = [axes for axes in shown.figure.axes if axes.get_images()]
    assert min(axes.get_window_extent().width for axes in pictures) / shown.figure.dpi * 25.4 > 15
    hidden = len(names) - shown.frame["model"].nunique()
    assert f"{hidden} further models are not shown" in shown.figure.get_suptitle()


def test_all_corruptions_of_a_dataset_are_drawn_on_one_scale(write_study):
    study = with_shift(
        write_study(datasets=["phantom2d", "retina_drive"], models=["unet", "cbam"], seeds=(0,))
    )
    with styled():
        figure = draw_corruption(Results(study)).figure
    limits = [axes.get_ylim() for axes in figure.axes]
    assert limits[0] == limits[1] and limits[2] == limits[3]
    fallen = Results(study).frame("corruption_levels")
    fallen = fallen[
        (fallen["dataset"] == "phantom2d")
        & (fallen["class"] == "all")
        & (fallen["metric"] == "dice")
    ]
    assert limits[0][0] < fallen["mean"].min() and limits[0][1] > fallen["mean"].max()


def test_no_rank_below_the_first_is_on_the_axis(write_study):
    names = ["unet", *(f"m{place:02d}" for place in range(11))]
    study = write_study(datasets=["phantom2d"], models=names, seeds=(0,), metrics=["dice"])
    with styled():
        ticks = draw_ranks(Results(study)).figure.axes[0].get_xticks()
    assert ticks.min() == 1 and ticks.max() <= len(names)
