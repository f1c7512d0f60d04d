"""What inspections found in the datasets of a study: counts, copies and oddities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from attnbench.analysis.frames import joined, of_rows
from attnbench.analysis.runs import read_object
from attnbench.analysis.tables import FRAMES, TEXTS
from attnbench.study.settings import Study

COUNTED = {
    "empty_masks": "empty mask",
    "equal_masks": "equal mask",
    "constant_images": "constant image",
    "rare_classes": "class in few groups",
    "absent_classes": "class without a case",
}
"""Columns of `inspected` that count findings of one kind."""


def compute_quality(study: Study) -> dict[str, pd.DataFrame]:
    """Return `inspected`, `duplicates` and `findings` of the datasets that were inspected.

    Generated images never are; a dataset that is not inspected yet has no rows either.
    """
    pairs, findings, counts = [], [], []
    for dataset in study.datasets:
        folder = study.layout.inspected(dataset.name)
        if not (folder / "inspected.json").is_file():
            continue
        own_pairs = _read(folder / "pairs.csv", "duplicates", dataset.name)
        own_findings = _read(folder / "findings.csv", "findings", dataset.name)
        pairs.append(own_pairs)
        findings.append(own_findings)
        summary = read_object(folder / "inspected.json")
        facts = read_object(study.layout.prepared(dataset.name) / "dataset.json")
        merged = facts.get("merged_groups", {})
        counts.append(
            {
                "dataset": dataset.name,
                "duplicates": dataset.duplicates,
                "merged": sum(map(len, merged.values())),
                "merged_into": len(merged),
                **summary,
                **_counts(own_pairs, own_findings),
            }
        )
    return {
        "inspected": of_rows("inspected", counts),
        "duplicates": joined("duplicates", pairs),
        "findings": joined("findings", findings),
    }


def _counts(pairs: pd.DataFrame, findings: pd.DataFrame) -> dict[str, int]:
    across, exact = pairs["across_groups"].eq(True), pairs["kind"] == "exact"
    kinds = findings["kind"]
    return {
        "exact_across": int((across & exact).sum()),
        "near_across": int((across & ~exact).sum()),
        "exact_within": int((~across & exact).sum()),
        "near_within": int((~across & ~exact).sum()),
        **{column: int((kinds == kind).sum()) for column, kind in COUNTED.items()},
        "outliers": int(kinds.str.startswith("outlier").sum()),
        "mixed": int(kinds.str.startswith("mixed").sum()),
    }


def _read(path: Path, frame: str, dataset: str) -> pd.DataFrame:
    names: dict[Any, str] = dict.fromkeys(TEXTS.intersection(FRAMES[frame]), "str")
    table = pd.read_csv(
        path, dtype=names | {"kind": "str"}, keep_default_na=False,
        na_values={name: [""] for name in ("value", "correlation", "distance")},
    )  # fmt: skip
    return table.assign(dataset=dataset)
