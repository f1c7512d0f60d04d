"""Every metric in words and numbers: unit, direction, value when a mask is empty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import ValidationError

from attnbench.errors import OwnCodeError
from attnbench.study.messages import problems_of
from attnbench.study.metrics import EmptyRule, MetricDeclaration

if TYPE_CHECKING:
    from attnbench.study.groups import ScoringSettings

Function = TypeVar("Function", bound=Callable[..., Any])

Status = Literal[
    "ok", "both_empty", "prediction_empty", "reference_empty", "not_a_number", "diverged"
]
Unit = Literal["1", "distance", "count"]
EmptyValue = float | Literal["diagonal", "computed"]

SCORE_COLUMNS = (
    "dataset",
    "model",
    "fold",
    "seed",
    "case",
    "group",
    "class",
    "metric",
    "value",
    "unit",
    "status",
)


@dataclass(frozen=True)
class Metric:
    """One metric of a prediction against a reference, for one class of one case.

    `unit` is `1` for plain numbers, `count` for numbers of things and `distance` for lengths in
    the case's own unit (mm, um or px). `bounded`: it lies between 0 and 1, one of which is
    perfect. The values after `higher_is_better` hold when the class has no voxel in both masks, in
    the prediction only, or in the reference only. NaN means undefined; `diagonal` is the length
    of the image's diagonal, more than any distance within it; `computed`: the metric is defined
    all the same. The row's status says which mask was empty: failures are counted by it, not by
    NaN. `of` says what a metric needs of a prediction. `rule` names in braces what the study's
    `scoring` decides; `stated_rule` fills it in. `code` is the reference of own code, `source` its
    fingerprint.
    """

    name: str
    label: str
    unit: Unit
    higher_is_better: bool
    both_empty: EmptyValue
    prediction_empty: EmptyValue
    reference_empty: EmptyValue
    rule: str
    of: Literal["masks", "probabilities"] = "masks"
    bounded: bool = False
    code: str | None = None
    source: str | None = None

    @property
    def has_margin(self) -> bool:
        """Whether the study's margin speaks of it: of no length, and of own code where it lies
        between 0 and 1, since the scale of any other is not known.
        """
        return self.unit == "1" and (self.bounded or self.code is None)


def _overlap(name: str, label: str, rule: str) -> Metric:
    return Metric(name, label, "1", True, 1.0, 0.0, 0.0, rule, bounded=True)


def _distance(name: str, label: str, rule: str) -> Metric:
    return Metric(name, label, "distance", False, 0.0, nan, nan, rule)


def _penalised(distance: Metric) -> Metric:
    return replace(
        distance,
        name=f"{distance.name}_penalised",
        label=f"{distance.label}p",
        prediction_empty="diagonal",
        reference_empty="diagonal",
    )


_HD = _distance("hd", "HD", "Largest distance from the surface of one mask to that of the other.")
_HD95 = _distance("hd95", "HD95", "{hd_percentile}.")
_ASSD = _distance("assd", "ASSD", "Mean of both directions' surface distances pooled, as medpy.")

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _overlap(
            "dice",
            "Dice",
            "Twice the voxels in both masks, divided by the sum of the voxels of each.",
        ),
        _overlap("iou", "IoU", "Voxels in both masks, divided by voxels in either (Jaccard)."),
        _overlap("precision", "Precision", "Share of the predicted voxels that the reference has."),
        _overlap("recall", "Recall", "Share of the reference's voxels that were predicted."),
        *(_HD, _HD95, _ASSD),
        *map(_penalised, (_HD, _HD95, _ASSD)),
        _overlap(
            "nsd",
            "NSD",
            "Share of both surfaces within {nsd_tolerance} of the other (surface Dice).",
        ),
        _overlap(
            "cldice",
            "clDice",
            "Harmonic mean of the share of each mask's centreline within the other mask; for thin "
            "structures.",
        ),
        _overlap(
            "lesion_f1",
            "Lesion F1",
            "Harmonic mean of the shares of reference and of predicted components that touch the "
            "other mask; {lesion_connectivity} connect.",
        ),
        _overlap(
            "lesion_sensitivity",
            "Lesion sensitivity",
            "Share of the reference's components that the prediction touches; "
            "{lesion_connectivity} connect.",
        ),
        _overlap(
            "lesion_precision",
            "Lesion precision",
            "Share of the predicted components that touch the reference; "
            "{lesion_connectivity} connect.",
        ),
        Metric(
            "lesion_fp",
            "Lesion FP",
            "count",
            False,
            0.0,
            0.0,
            "computed",
            "False positives: predicted components of a case that do not touch the reference; "
            "{lesion_connectivity} connect.",
        ),
        Metric(
            "volume_error",
            "Volume error",
            "1",
            False,
            0.0,
            1.0,
            nan,
            "Difference of the two volumes without sign, divided by the reference's.",
        ),
        Metric(
            "ece",
            "ECE",
            "1",
            False,
            "computed",
            "computed",
            "computed",
            "Mean over voxels of the distance of the class's probability from how often the class "
            "is there, in 15 bins "
            "(expected calibration error).",
            of="probabilities",
            bounded=True,
        ),
    )
}
MASK_METRICS = tuple(name for name, metric in METRICS.items() if metric.of == "masks")
"""The metrics of ours that need no more of a prediction than its mask."""


def of_masks(metrics: Sequence[str]) -> list[str]:
    """Those of `metrics` that need no more of a prediction than its mask."""
    return [name for name in metrics if METRICS[name].of == "masks"]


def metric(
    *,
    higher_is_better: bool,
    both_empty: float | str,
    prediction_empty: float | str,
    reference_empty: float | str,
    rule: str,
    label: str = "",
    unit: str = "1",
    bounded: bool = False,
) -> Callable[[Function], Function]:
    """Declare the decorated function as a metric of a user's own; it stays as it is.

    The function takes the masks of one class of one case, `prediction` and `reference`, bool
    (*spatial) on the case's own grid, and `spacing`, the voxel's size per axis in mm, um or px. It
    returns a number, NaN where it is undefined. Masks are whole, not cropped; outside a field of
    view both are False. A function with a fourth argument `region` also receives the field of
    view, bool (*spatial), all True without one: for metrics that count the background.

    Studies are checked without running code: every argument is a literal.

    Args:
        higher_is_better: its direction.
        both_empty: its value where no mask has a voxel of the class: a number, `undefined`,
            `diagonal` (length of the image's diagonal), or `computed`: the function is called all
            the same. It is called for two masks with voxels in any case.
        prediction_empty: its value where the prediction alone has none.
        reference_empty: its value where the reference alone has none.
        rule: the metric in a sentence, for protocol and methods.
        label: for tables and figures, at most 24 characters; by default the function's name.
        unit: `1` for plain numbers, `distance` for lengths in the unit of `spacing`, `count`.
        bounded: it lies between 0 and 1, one of which is perfect.

    Raises:
        OwnCodeError: an argument is not allowed, or contradicts another.
    """
    declared = {
        "label": label,
        "unit": unit,
        "higher_is_better": higher_is_better,
        "both_empty": both_empty,
        "prediction_empty": prediction_empty,
        "reference_empty": reference_empty,
        "rule": rule,
        "bounded": bounded,
    }

    def declare(function: Function) -> Function:
        declaration(declared, function.__name__, function.__name__)
        return function

    return declare


def declaration(declared: Mapping[str, Any], name: str, reference: str) -> MetricDeclaration:
    """What `@metric(...)` says, checked; the label of a metric without one is its name in words.

    Raises:
        OwnCodeError: every argument that is missing, unknown or not allowed; `reference` names the
            code.
    """
    label = declared.get("label") or name.replace("_", " ").strip().capitalize()
    try:
        return MetricDeclaration.model_validate({**declared, "label": label})
    except ValidationError as error:
        lines = "\n".join(f"  {line}" for line in problems_of(error, MetricDeclaration))
        raise OwnCodeError(f"{reference}: what @metric(...) says of it:\n{lines}") from None


def own_metric(name: str, code: str, source: str | None, declared: MetricDeclaration) -> Metric:
    """The metric that own code declares itself to be."""
    return Metric(
        name=name,
        label=declared.label,
        unit=declared.unit,
        higher_is_better=declared.higher_is_better,
        both_empty=_worth(declared.both_empty),
        prediction_empty=_worth(declared.prediction_empty),
        reference_empty=_worth(declared.reference_empty),
        # Braces in its rule are the author's own.
        rule=declared.rule.replace("{", "{{").replace("}", "}}"),
        bounded=declared.bounded,
        code=code,
        source=source,
    )


def _worth(value: EmptyRule) -> EmptyValue:
    return nan if value == "undefined" else value


_PERCENTILE = {
    "pooled": "95th percentile of both directions' surface distances pooled, as medpy",
    "larger": "Larger of the two directions' 95th percentiles, as MONAI and surface-distance",
}
_CONNECTIVITY = {
    "full": "neighbours, diagonal ones too,",
    "faces": "only neighbours that share a face (in 2-D an edge)",
}


def stated_rule(metric: str, scoring: ScoringSettings, units: Mapping[str, str]) -> str:
    """Return the rule of a metric in a study.

    Args:
        metric: name of the metric.
        scoring: the study's rules of metrics.
        units: of the study's spacings (mm, um or px), each as it is printed.
    """
    tolerances = (
        f"{getattr(scoring.nsd_tolerance, unit):.12g} {shown}" for unit, shown in units.items()
    )
    return METRICS[metric].rule.format(
        nsd_tolerance=" or ".join(tolerances),
        lesion_connectivity=_CONNECTIVITY[scoring.lesion_connectivity],
        hd_percentile=_PERCENTILE[scoring.hd_percentile],
    )


def main_metrics(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics shown first: Dice and HD95, penalised if the study has it; else its first."""
    distance = "hd95_penalised" if "hd95_penalised" in metrics else "hd95"
    return tuple(name for name in ("dice", distance) if name in metrics) or metrics[:1]
