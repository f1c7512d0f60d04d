"""Scores of one case: every class and metric, with a status where a mask is empty."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attnbench.errors import DataError, OwnCodeError, nearest
from attnbench.scoring.definitions import MASK_METRICS, METRICS, Status, of_masks
from attnbench.scoring.metrics import Pair, compute
from attnbench.scoring.surface import Mask
from attnbench.study.groups import ScoringSettings, ToleranceSettings

_DEFAULTS = ScoringSettings()
ScoreRow = TypedDict(
    "ScoreRow", {"class": int, "metric": str, "value": float, "unit": str, "status": Status}
)


def score_case(
    prediction: ArrayLike,
    reference: ArrayLike,
    spacing_mm: Sequence[float] | None = None,
    classes: Sequence[int] = (1, 2),
) -> list[ScoreRow]:
    """Score one case's masks: one row per class and metric, ready for `pandas.DataFrame(rows)`.

    The row's `unit` says what distances are in. An empty mask never raises:
    `docs/decisions/empty-masks.md` states each metric's value, `status` what was empty. The rules
    are those of a study without `scoring` (`docs/decisions/metric-rules.md`).

    Args:
        prediction: integer mask (*spatial), 0 is background.
        reference: integer mask of the same shape.
        spacing_mm: the voxel's size per axis in mm; without it distances are in pixels.
        classes: numbers of the classes to score.

    Raises:
        DataError: the shapes differ, a mask is no integer array or the spacing does not fit.

    >>> score_case([[0, 1, 1]], [[0, 0, 1]], classes=[1])[0]
    {'class': 1, 'metric': 'dice', 'value': 0.6666666666666666, 'unit': '1', 'status': 'ok'}
    """
    unit = "px" if spacing_mm is None else "mm"
    masks = np.asarray(prediction), np.asarray(reference)
    spacing = (1.0,) * masks[1].ndim if spacing_mm is None else spacing_mm
    return score_masks(*masks, spacing, unit, classes, MASK_METRICS)


def score_masks(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    spacing: Sequence[float],
    unit: str,
    classes: Sequence[int],
    metrics: Sequence[str],
    region: NDArray[Any] | None = None,
    scoring: ScoringSettings = _DEFAULTS,
) -> list[ScoreRow]:
    """Score one case as `score_case` does, by the named metrics and in any unit of `spacing`.

    Args:
        prediction: integer mask (*spatial), 0 is background.
        reference: integer mask of the same shape.
        spacing: the voxel's size per axis, positive.
        unit: that of `spacing`: mm, um or px.
        classes: numbers of the classes to score.
        metrics: names of metrics of masks.
        region: mask (*spatial), such as a field of view; outside it all is background.
        scoring: the study's rules of metrics.

    Raises:
        DataError: the shapes differ, or a mask, metric, unit or the spacing does not fit.
        OwnCodeError: an own metric fails, or returns what it must not; with the class.
    """
    _refuse_misfits(prediction, reference, spacing, region)
    _refuse_unknown(metrics, of_masks(tuple(METRICS)), "metric of masks")
    _refuse_unknown([unit], ToleranceSettings.model_fields, "unit of spacing")
    inside = None if region is None else region.astype(bool)
    rows: list[ScoreRow] = []
    for number in classes:
        masks = _class(prediction, number, inside), _class(reference, number, inside)
        try:
            pair = Pair(*masks, tuple(spacing), unit, scoring, inside)
            rows += _rows(pair, number, metrics)
        except OwnCodeError as error:
            raise OwnCodeError(f"class {number}: {error}") from error
    return rows


def status_of(prediction: Mask, reference: Mask) -> Status:
    """Status of two masks (*spatial): says which of them has no voxel."""
    if prediction.any():
        return "ok" if reference.any() else "reference_empty"
    return "prediction_empty" if reference.any() else "both_empty"


def _rows(pair: Pair, number: int, metrics: Sequence[str]) -> Iterator[ScoreRow]:
    status = status_of(pair.prediction, pair.reference)
    for name in metrics:
        metric = METRICS[name]
        value = "computed" if status == "ok" else getattr(metric, status)
        computed = value == "computed"
        if computed:
            value = compute(name, pair)
        # Ours are numbers wherever they are computed.
        undefined = computed and metric.code is not None and np.isnan(value)
        yield {
            "class": int(number),
            "metric": name,
            "value": pair.diagonal if value == "diagonal" else float(value),
            "unit": pair.unit if metric.unit == "distance" else metric.unit,
            "status": "not_a_number" if undefined else status,
        }


def _class(mask: NDArray[Any], number: int, inside: Mask | None) -> Mask:
    voxels: Mask = mask == number
    return voxels if inside is None else voxels & inside


def _refuse_unknown(names: Sequence[str], known: Collection[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise DataError(f"no such {kind}: {name!r}; {nearest(name, known)}")


def _refuse_misfits(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    spacing: Sequence[float],
    region: NDArray[Any] | None,
) -> None:
    if prediction.shape != reference.shape:
        raise DataError(
            f"the prediction has shape {prediction.shape}, the reference {reference.shape}; "
            "both must lie on one grid: resample the prediction to the reference"
        )
    if region is not None and region.shape != reference.shape:
        raise DataError(
            f"the region has shape {region.shape}, the masks have {reference.shape}; all must be "
            "equal"
        )
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.dtype.kind not in "iub":
            raise DataError(
                f"the {name} holds {mask.dtype} values; a mask holds integers, one per class: "
                "threshold probabilities first, or convert with .astype('uint8')"
            )
    if len(spacing) != reference.ndim or not all(0 < side < np.inf for side in spacing):
        raise DataError(
            f"spacing is {tuple(spacing)} for masks of shape {reference.shape}; "
            "it must have one positive number per axis"
        )
