"""Score rows without a value: of a run whose training diverged there is nothing to score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import nan
from typing import Any

from attnbench.data.store import CaseStore
from attnbench.scoring.definitions import METRICS, of_masks
from attnbench.study.settings import Study


def rows_of_diverged(
    study: Study, store: CaseStore, indices: Iterable[int], classes: Iterable[int] | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Yield, for every case, the rows that a prediction of it would have, without a value.

    As `case_scores`, their status `diverged`: so the run is counted wherever scores are, and
    nothing that is paired with it has a value either.
    """
    metrics = (*of_masks(study.metrics), *(["ece"] if "ece" in study.metrics else []))
    numbers = tuple(store.info.classes if classes is None else classes)
    for index in indices:
        origin = {key: store.cases[key].iloc[index] for key in ("case", "group")}
        yield [
            {
                **origin,
                "class": number,
                "metric": name,
                "value": nan,
                "unit": store.info.spacing_unit
                if METRICS[name].unit == "distance"
                else METRICS[name].unit,
                "status": "diverged",
            }
            for number in numbers
            for name in metrics
        ]
