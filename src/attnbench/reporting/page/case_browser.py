"""Every case side by side: image, reference and the prediction of each model, for the reader to
choose from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from attnbench.analysis.case_values import case_values
from attnbench.data.store import CaseStore
from attnbench.reporting.format import decimals, number
from attnbench.reporting.frames import shown_cases
from attnbench.reporting.page.embed import outlined, photograph, tinted
from attnbench.reporting.slices import image_plane, mask_plane, plane_of
from attnbench.reporting.style import class_colour
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import METRICS, main_metrics
from attnbench.study.paths import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnbench.study.settings import Study

_SIDE = 288
_LARGEST = 6_000_000
Prediction = Callable[[str, int, str], "NDArray[np.uint8] | None"]


def case_browser(study: Study, room: int) -> dict[str, Any]:
    """What the page's case browser shows, as plain data; `room` is how many characters its pictures
    may take.

    Datasets share the room, 6 MB at most. In each, the cases that figures show come first,
    whatever the room, then those on which a model differs most from the baseline, until the
    dataset's share is used up: `cases` of `total`. Scores are the first main metric of the first
    seed's runs, whose predictions are shown; `gain` above 0 is better than the baseline, null
    where undefined.
    """
    metric = main_metrics(study.metrics)[0]
    values = case_values(study, metric, study.seeds[0])
    present = [part.name for part in study.datasets if (values["dataset"] == part.name).any()]
    share = min(room, _LARGEST) // max(1, len(present))
    return {
        "metric": METRICS[metric].label,
        "baseline": display_name(study.baseline),
        "models": [display_name(part.name) for part in study.models],
        "compared": [part.name != study.baseline for part in study.models],
        "datasets": [
            _dataset(study, name, values[values["dataset"] == name], metric, share)
            for name in present
        ],
    }


def _dataset(
    study: Study, dataset: str, values: pd.DataFrame, metric: str, share: int
) -> dict[str, Any]:
    store = CaseStore.open(study.layout.prepared(dataset))
    names = [part.name for part in study.models]
    table = values.pivot_table(
        index="case", columns="model", values="value", aggfunc="first"
    ).reindex(columns=names)
    gains = table.sub(table[study.baseline], axis=0) * (
        1 if METRICS[metric].higher_is_better else -1
    )
    folds = values.drop_duplicates("case").set_index("case")["fold"]
    shown: list[dict[str, Any]] = []
    used = 0
    with ExitStack() as opened:
        prediction = _predictions(study, dataset, opened)
        for case, chosen in _order(study, dataset, gains).items():
            pictures = _pictures(
                store, case, [prediction(name, int(folds[case]), case) for name in names]
            )
            used += sum(
                len(picture or "") for picture in [*pictures["masks"], *list(pictures.values())[:3]]
            )
            if shown and used > share and not chosen:
                break
            scores = [
                number(value, decimals(METRICS[metric].unit))
                for value in np.asarray(table.loc[case], float)
            ]
            own = [_known(gain) for gain in np.asarray(gains.loc[case], float)]
            shown.append({"case": case, "scores": scores, "gains": own, **pictures})
    classes = [(name, class_colour(int(key))) for key, name in store.info.classes.items()]
    return {"title": display_name(dataset), "classes": classes, "total": len(table), "cases": shown}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _order(study: Study, dataset: str, gains: pd.DataFrame) -> dict[str, bool]:
    """Cases and whether a rule chose them: those first, then by the largest difference from the
    baseline.
    """
    chosen = [choice.case for choice in shown_cases(study, dataset) if choice.case in gains.index]
    rest = gains.abs().max(axis=1).fillna(0).sort_values(ascending=False, kind="stable").index
    return {case: case in chosen for case in (*chosen, *rest)}


def _predictions(study: Study, dataset: str, opened: ExitStack) -> Prediction:
    """Reads masks by model, fold and case; every file of predictions is opened once."""
    files: dict[tuple[str, int], Any] = {}

    def read(model: str, fold: int, case: str) -> NDArray[np.uint8] | None:
        path = study.layout.run(Run(dataset, model, fold, study.seeds[0])) / "predictions.npz"
        if (model, fold) not in files:
            files[model, fold] = opened.enter_context(np.load(path)) if path.exists() else {}
        return files[model, fold].get(case)

    return read


def _pictures(
    store: CaseStore, case: str, predictions: list[NDArray[np.uint8] | None]
) -> dict[str, Any]:
    """Image, outline of the reference, reference and predictions of one plane as addresses; None
    without one.
    """
    i = store.index(case)
    plane = plane_of(store, i)
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
