"""Every case side by side: image, reference and each model's prediction, for a reader to choose."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from attnbench.analysis.case_values import case_benefits
from attnbench.reporting.format import decimals, number
from attnbench.reporting.page.embed import outlined, photograph, tinted
from attnbench.reporting.slices import image_plane, mask_plane, opened_predictions, plane_of
from attnbench.reporting.style import class_colour
from attnbench.scoring.definitions import METRICS
from attnbench.study.paths import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnbench.data.store import CaseStore
    from attnbench.reporting.results import Results
    from attnbench.scoring.predictions import Predictions

_SIDE = 288
_LARGEST = 6_000_000
ReadPrediction = Callable[[str, int, str], "NDArray[np.uint8] | None"]


def browse_cases(results: Results, room: int) -> dict[str, Any]:
    """Return what the page's case browser shows, as plain data.

    `room` is the number of characters that its pictures may take; datasets share it, 6 MB at
    most. In each, the cases that figures show come first, whatever the room, then those on which
    a model differs most from the baseline, until the dataset's share is used up: `cases` of
    `total`. Scores are the first main metric of the first seed's runs, whose predictions are
    shown; `gain` above 0 is better than the baseline, null where undefined.
    """
    values = results.case_values(results.metric, results.study.seeds[0])
    present = [name for name in results.datasets if (values["dataset"] == name).any()]
    share = min(room, _LARGEST) // max(1, len(present))
    return {
        "metric": METRICS[results.metric].label,
        "baseline": results.baseline_label,
        "models": [results.drawn_label(name) for name in results.models],
        "compared": [name != results.baseline for name in results.models],
        "datasets": [
            _dataset(results, name, values[values["dataset"] == name], share) for name in present
        ],
    }


def _dataset(results: Results, dataset: str, values: pd.DataFrame, share: int) -> dict[str, Any]:
    store, metric = results.store(dataset), METRICS[results.metric]
    table = values.pivot_table(index="case", columns="model", values="value", aggfunc="first")
    table = table.reindex(columns=list(results.models))
    gains = case_benefits(table, results.metric, results.baseline)
    folds = values.drop_duplicates("case").set_index("case")["fold"]
    shown: list[dict[str, Any]] = []
    used = 0
    # Files stay open for a dataset: a member is read only when its case is asked for.
    with ExitStack() as opened:
        read = _reader(results, dataset, opened)
        for case, chosen in _order(results, dataset, gains).items():
            masks = [read(name, int(folds[case]), case) for name in results.models]
            pictures = _pictures(store, case, masks)
            addresses = [pictures[key] for key in ("image", "reference", "outline")]
            # Characters, as they stand in the page: base64 takes a third more than bytes.
            used += sum(len(picture or "") for picture in [*pictures["masks"], *addresses])
            if shown and used > share and not chosen:
                break
            scores = np.asarray(table.loc[case], float)
            shown.append(
                {
                    "case": case,
                    "scores": [number(value, decimals(metric.unit)) for value in scores],
                    "gains": [_rounded(gain) for gain in np.asarray(gains.loc[case], float)],
                    **pictures,
                }
            )
    classes = [(name, class_colour(int(key))) for key, name in store.info.classes.items()]
    label = results.dataset_label(dataset)
    return {"title": label, "classes": classes, "total": len(table), "cases": shown}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _order(results: Results, dataset: str, gains: pd.DataFrame) -> dict[str, bool]:
    """Return cases, True where a rule chose them: those first, then by largest difference."""
    choices = results.chosen_cases(dataset)
    chosen = [choice.case for choice in choices if choice.case in gains.index]
    rest = gains.abs().max(axis=1).fillna(0).sort_values(ascending=False, kind="stable").index
    return {case: case in chosen for case in (*chosen, *rest)}


def _reader(results: Results, dataset: str, opened: ExitStack) -> ReadPrediction:
    """Return a reader of masks by model, fold and case; it opens a file of predictions once."""
    files: dict[tuple[str, int], Predictions | None] = {}

    def read(model: str, fold: int, case: str) -> NDArray[np.uint8] | None:
        run = Run(dataset, model, fold, results.study.seeds[0])
        if (model, fold) not in files:
            files[model, fold] = opened.enter_context(opened_predictions(results, run))
        own = files[model, fold]
        return own.mask(case) if own and case in own.cases else None

    return read


def _pictures(
    store: CaseStore, case: str, predictions: list[NDArray[np.uint8] | None]
) -> dict[str, Any]:
    """Return image, reference, outline and predictions of a plane as addresses; None: no mask."""
    i = store.index(case)
    plane = plane_of(store, i)
    # In the plane's physical proportions, which the voxels of a volume need not have.
    scale = _SIDE / max(plane.box)
    size = (max(1, round(plane.box[0] * scale)), max(1, round(plane.box[1] * scale)))
    colours = {int(key): class_colour(int(key)) for key in store.info.classes}
    reference = mask_plane(store.reference(i), store, i, plane)
    masks = [
        None if mask is None else tinted(mask_plane(mask, store, i, plane), size, colours)
        for mask in predictions
    ]
    return {
        "image": photograph(image_plane(store, i, plane), size),
        "reference": tinted(reference, size, colours),
        "outline": outlined(reference, size),
        "masks": masks,
        "width": size[0],
        "height": size[1],
        "slice": None if plane.index is None else plane.index + 1,
        "group": str(store.cases["group"].iloc[i]),
    }
