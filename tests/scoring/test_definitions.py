"""The definitions are complete, light to import, and what the documentation says."""

import math
import subprocess
import sys
from pathlib import Path

from attnbench.scoring.definitions import METRICS, NSD_TOLERANCE

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
    assert all(unit in METRICS["nsd"].rule for unit in NSD_TOLERANCE)


def test_checking_a_study_needs_no_heavy_library():
    code = (
        "import sys, attnbench.scoring.definitions, attnbench.check;"
        "heavy = {'numpy', 'scipy', 'medpy', 'pandas', 'skimage', 'torch'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
