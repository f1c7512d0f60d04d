"""The analysis of difficulty on the phantoms, whose blur is known, for `trust.py`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from attnbench.analysis.blocks import arrange
from attnbench.analysis.difficulty import compute_difficulty
from attnbench.catalog import load_entry
from attnbench.data.phantom import generate
from attnbench.scoring.case import score_masks
from benchmarks.trust_claims import Row
from benchmarks.trust_study import BASELINE, SETTINGS

CLAIM = "difficulty: phantoms' known blur, {}"


def phantoms() -> Iterator[Row]:
    """An oracle that degrades with the phantoms' blur, beside a steady one and its own twin."""
    for name in ("phantom2d", "phantom3d"):
        random, cases = np.random.default_rng(0), list(generate(load_entry(name)))
        blur = np.array([case.facts["blur"] for case in cases])
        degrading = 0.05 + 0.2 * blur / blur.max()
        errors = {BASELINE: degrading, "steady": np.full(len(cases), 0.15), "twin": degrading}
        rows = [
            {"dataset": name, "model": model, "fold": 0, "seed": 0, "case": case.case,
             "group": case.group, **row}
            for model, rates in errors.items()
            for case, rate in zip(cases, rates, strict=True)
            for row in score_masks(
                np.where(random.uniform(size=case.mask.shape) < rate, 0, case.mask),
                case.mask, case.spacing, "px", (1, 2, 3), ["dice"],
            )
        ]  # fmt: skip
        blocks = arrange(pd.DataFrame(rows), [name], list(errors), ["dice"])
        known = {name: pd.DataFrame({"blur": blur}, index=[case.case for case in cases])}
        for row in compute_difficulty(blocks, BASELINE, SETTINGS, known).itertuples():
            planted = row.model == "steady"
            held = row.verdict == ("better" if planted else "undecided")
            yield Row(
                CLAIM.format("planted" if planted else "none planted"),
                name,
                str(row.groups),
                "oracle",
                "better" if planted else "undecided",
                f"{row.verdict}, slope {row.slope:.4f}, p {row.p_holm:.2g}",
                "ok" if held else "FAILED",
            )
