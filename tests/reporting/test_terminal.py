"""The comparison in the terminal: complete, plain and narrow."""

from __future__ import annotations

import pandas as pd
import pytest

from attnbench.reporting.figures import draw_figure
from attnbench.reporting.tables import write_tables
from attnbench.reporting.terminal import show_comparison
from attnbench.reporting.words import mechanism_label


@pytest.fixture
def shown(write_study, capsys):
    def show(**settings):
        study = write_study(**settings)
        write_tables(study)
        capsys.readouterr()
        show_comparison(study)
        return study, capsys.readouterr().out

    return show


def test_every_model_stands_in_one_line_with_its_mean_and_interval(shown):
    study, text = shown(models=["unet", "squeeze_excitation", "self_attention"])
    means = pd.read_csv(study.layout.analysis / "means.csv").query(
        "metric == 'dice' and `class` == 'all'"
    )
    for row in means.to_dict("records"):
        cell = f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        assert any(
            mechanism_label(row["model"]) in line and cell in line for line in text.splitlines()
        )


def test_plain_text_within_100_columns(shown):
    _, text = shown(models=["unet", "squeeze_excitation"], cases=24)
    assert "\x1b" not in text
    tables = text.split("\ntable")[0]
    assert max(len(line) for line in tables.splitlines()) <= 100
    assert "…" not in tables


def test_marks_stand_beside_significant_differences(shown):
    study, text = shown(datasets=["retina_drive"], cases=24)
    effects = pd.read_csv(study.layout.analysis / "effects.csv").query(
        "metric == 'dice' and `class` == 'all'"
    )
    significant = [
        mechanism_label(row["model"]) for row in effects.to_dict("records") if row["p_holm"] <= 0.05
    ]
    assert significant
    for name in significant:
        assert any(line.strip().startswith(name) and "]⁺" in line for line in text.splitlines())


def test_paths_are_those_that_exist(shown, capsys):
    study, text = shown(datasets=["phantom2d"], models=["unet"], cases=4)
    assert f"{study.layout.tables / 'comparison.md'} (also .csv, .tex)" in text
    assert "figure" not in text.split("table   ", 1)[1]
    assert str(study.layout.report) not in text
    draw_figure(study, "effects")
    study.layout.report.write_text("report", encoding="utf-8")
    show_comparison(study)
    after = capsys.readouterr().out
    assert f"{study.layout.figures / 'effects.pdf'} (also .png, .csv)" in after
    assert after.rstrip().endswith(str(study.layout.report))
