"""The definitions are complete, light to import, and what the documentation says."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from attnbench.scoring.definitions import METRICS, main_metrics, stated_rule
from attnbench.study.groups import ScoringSettings

PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "empty-masks.md"


def _word(value):
    if isinstance(value, str):
        return value
    return "NaN" if math.isnan(value) else f"{value:g}"


def test_documented_values_of_empty_masks_are_the_defined_ones():
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    ]
    values = [
        (metric.both_empty, metric.prediction_empty, metric.reference_empty)
        for metric in METRICS.values()
    ]
    expected = [[name, *map(_word, stated)] for name, stated in zip(METRICS, values, strict=True)]
    assert rows[2:] == expected


def test_every_metric_has_its_own_label_and_says_its_rule():
    assert len({metric.label for metric in METRICS.values()}) == len(METRICS)
    for name, metric in METRICS.items():
        assert name == metric.name
        assert metric.rule.endswith(".")
        assert (metric.both_empty == 1) == metric.higher_is_better


def test_a_bounded_metric_has_no_unit_and_a_perfect_value_of_0_or_1():
    unbounded = {name for name, metric in METRICS.items() if not metric.bounded}
    lengths = {name for name, metric in METRICS.items() if metric.unit == "distance"}
    assert unbounded == lengths | {"volume_error", "lesion_fp"}
    assert METRICS["lesion_fp"].unit == "count"


def test_a_rule_states_the_values_of_the_study():
    units = {"mm": "mm", "um": "µm"}
    own = ScoringSettings(
        nsd_tolerance={"um": 0.35}, lesion_connectivity="faces", hd_percentile="larger"
    )
    stated = {
        name: [stated_rule(name, scoring, units) for scoring in (ScoringSettings(), own)]
        for name in METRICS
    }
    assert not any("{" in rule for rules in stated.values() for rule in rules)
    assert ["within 1 mm or 0.2 µm" in stated["nsd"][0], "1 mm or 0.35 µm" in stated["nsd"][1]] == [
        True, True
    ]  # fmt: skip
    changed = {name for name, (default, other) in stated.items() if default != other}
    lesions = {name for name in METRICS if name.startswith("lesion_")}
    assert changed == lesions | {"nsd", "hd95", "hd95_penalised"}


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        (("iou", "hd95", "dice", "hd95_penalised"), ("dice", "hd95_penalised")),
        (("iou", "hd95", "dice"), ("dice", "hd95")),
        (("hd95_penalised", "iou"), ("hd95_penalised",)),
        (("iou", "assd"), ("iou",)),
    ],
)
def test_the_first_metrics_are_dice_and_one_hd95_where_failures_count_if_there_is_one(
    metrics, shown
):
    assert main_metrics(metrics) == shown


def test_checking_a_study_needs_no_heavy_library():
    code = (
        "import sys, attnbench.scoring.definitions, attnbench.check;"
        "heavy = {'numpy', 'scipy', 'medpy', 'pandas', 'skimage', 'torch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
