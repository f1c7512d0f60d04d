"""An own metric stands wherever ours do: in tables, figures, methods, page and plan."""

import pandas as pd
import pytest

from attnbench.analysis.planning import _wanted
from attnbench.errors import StudyError
from attnbench.reporting.exports import write_exports
from attnbench.reporting.figures import draw_figure
from attnbench.reporting.tables import write_tables
from attnbench.scoring.definitions import METRICS
from attnbench.scoring.own import planned, register
from attnbench.study.metrics import OwnMetric

LABEL = "Ratio & 50 % <b>_#"
FILE = f'''
from attnbench.scoring.definitions import metric

@metric(label="{LABEL}", higher_is_better=True, both_empty=1.0, prediction_empty=0.0,
        reference_empty="undefined", bounded=True,
        rule="Smaller volume {{a}} over the larger {{b}}.")
def ratio(prediction, reference, spacing):
    a, b = prediction.sum(), reference.sum()
    return min(a, b) / max(a, b)

@metric(higher_is_better=False, unit="distance", both_empty=0, prediction_empty="diagonal",
        reference_empty="diagonal", rule="Distance of the two centres.")
def centre_distance(prediction, reference, spacing):
    centres = ((mask.nonzero()[0].mean() * spacing[0]) for mask in (prediction, reference))
    return abs(next(centres) - next(centres))
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_metrics.py").write_text(FILE)
    names = ("ratio", "centre_distance")
    metrics = {name: OwnMetric(code=f"./my_metrics.py:{name}") for name in names}
    found = {name: planned(name, one) for name, one in metrics.items()}
    register(found)
    return found


def test_tables_figures_and_methods_have_an_own_metric_with_rule_and_fingerprint(own, write_study):
    study = write_study(
        ["retina_drive"], ["unet", "attention_gate"], metrics=("ratio", "centre_distance", "dice")
    )
    assert study.primary == ("ratio", "all")
    write_tables(study)
    protocol = pd.read_csv(study.layout.tables / "protocol.csv").set_index("setting")["value"]
    stated = protocol[f"Metric: {LABEL}"]
    assert stated.startswith("Smaller volume {a} over the larger {b}. Both masks empty: 1; ")
    assert "only the reference empty: undefined. " in stated
    assert stated.endswith(f"Own code: ./my_metrics.py:ratio, {own['ratio'].source[:12]}.")
    distance = protocol["Metric: Centre distance"]
    assert "only the prediction empty: the image's diagonal" in distance
    comparison = (study.layout.tables / "comparison.md").read_text()
    assert r"by Ratio & 50 % &lt;b>\_# and Dice" in comparison and LABEL not in comparison
    assert r"50 \%" in (study.layout.tables / "comparison.tex").read_text()
    per_class = (study.layout.tables / "per_class.md").read_text()
    assert "↑" in per_class and "Centre distance ↓" in per_class
    write_exports(study)
    methods = study.layout.methods.read_text()
    assert "./my_metrics.py:ratio" in methods
    for name in ("effects", "heatmap_metrics"):
        draw_figure(study, name)
    drawn = pd.read_csv(study.layout.figures / "heatmap_metrics.csv")
    assert set(drawn["metric"]) == {"ratio", "centre_distance", "dice"}


def test_effects_have_direction_and_a_margin_only_where_the_scale_is_known(own, write_study):
    study = write_study(
        ["retina_drive"], ["unet", "attention_gate"], metrics=("ratio", "centre_distance", "dice")
    )
    effects = pd.read_csv(study.layout.analysis / "effects.csv")
    of = effects[effects["model"] == "attention_gate"].groupby("metric")
    assert of["higher_is_better"].first().to_dict() == {
        "ratio": True, "centre_distance": False, "dice": True
    }  # fmt: skip
    margin = of["margin"].first()
    assert margin["ratio"] == margin["dice"] == study.analysis.margin
    assert pd.isna(margin["centre_distance"])
    assert of["unit"].first()["centre_distance"] == "px"


def test_a_plan_assumes_nothing_of_a_metric_without_a_scale(own):
    assert _wanted("ratio") == _wanted("dice")
    with pytest.raises(StudyError, match="centre_distance has no usual difference"):
        _wanted("centre_distance")
    assert METRICS["volume_error"].has_margin
