"""Own metrics of a study: named by a reference, listed under `metrics` by the function's name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, model_validator
from pydantic import ValidationInfo as Info

from attnbench.errors import nearest
from attnbench.study.base import NUMBER, Name, OwnCode, Settings, is_own_code, is_reference
from attnbench.study.names import Known

# Also a number that is none: what to say instead is said below, where the key is known.
EmptyRule = (
    Annotated[float, Field(strict=True, allow_inf_nan=True), NUMBER]
    | Literal["undefined", "diagonal", "computed"]
)
OneLine = Annotated[str, StringConstraints(pattern=r"^\S[^\r\n]*$", max_length=24)]
_EMPTY = "both_empty", "prediction_empty", "reference_empty"


class MetricDeclaration(Settings):
    """What `@metric(...)` says of an own metric; `attnbench.scoring.definitions.metric` describes
    every argument.
    """

    label: OneLine = Field(description="For tables and figures.")
    unit: Literal["1", "distance", "count"] = Field(
        "1", description="1: a plain number; distance: in the unit of the spacing; count."
    )
    higher_is_better: StrictBool = Field(description="Its direction.")
    both_empty: EmptyRule = Field(description="Its value where both masks are empty.")
    prediction_empty: EmptyRule = Field(description="Where the prediction alone is.")
    reference_empty: EmptyRule = Field(description="Where the reference alone is.")
    rule: str = Field(min_length=1, description="The metric in a sentence, for protocol, methods.")
    bounded: StrictBool = Field(False, description="It lies between 0 and 1; one is perfect.")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        wrong = {key: text for key in _EMPTY if (text := self._no(key))}
        problems = [f"{key} is {getattr(self, key)!r}: {text}" for key, text in wrong.items()]
        if self.bounded and self.unit != "1":
            problems.append(f"a bounded metric is a plain number, of unit 1, not {self.unit}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _no(self, key: str) -> str:
        value = getattr(self, key)
        if value == "diagonal" and self.unit != "distance":
            return "the image's diagonal is a length, and the metric's unit is none"
        if isinstance(value, str):
            return ""
        if not math.isfinite(value):
            return "say 'undefined', or a number"
        if self.bounded and not 0 <= value <= 1:
            return "the metric is declared to lie between 0 and 1"
        return "lengths and counts are not negative" if self.unit != "1" and value < 0 else ""


class OwnMetric(Settings):
    """A metric that is own code: where it is, and what it was when the study was planned."""

    code: OwnCode = Field(
        description="The function: `./my_metrics.py:surface_ratio` or `my_package.surface_ratio`."
    )
    source: str | None = Field(
        None, description="Fingerprint of own code; written when the study is planned."
    )
    declared: MetricDeclaration | None = Field(
        None, description="What its `@metric(...)` says; written when the study is planned."
    )

    @model_validator(mode="after")
    def _planned_or_not(self) -> Self:
        if (self.source is None) != (self.declared is None):
            raise ValueError(
                "`source` and `declared` are written together when a study is planned; remove both"
            )
        return self


def with_own_metrics(content: Any, installed: Mapping[str, str]) -> Any:
    """Return the content of a study in which `metrics` has names alone.

    References move to `own_metrics`, under their function's name; so do the names of metrics that
    packages bring. What cannot be moved stays, and is refused with the other keys.

    Args:
        content: of the study file.
        installed: references of the metrics that installed packages bring, by name.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("metrics"), list | tuple):
        return content
    given = content.get("own_metrics") or {}
    if not isinstance(given, Mapping):
        return content
    own, names = dict(given), []
    for item in content["metrics"]:
        name = item
        if isinstance(item, str) and is_reference(item):
            name = _name_of(item)
            if re.fullmatch(r"[a-z0-9][a-z0-9_]*", name) and _code_of(own.get(name), item) == item:
                own.setdefault(name, {"code": item})
            else:
                name = item
        elif isinstance(item, str) and item in installed:
            own.setdefault(item, {"code": installed[item]})
        names.append(name)
    moved = {"metrics": names, **({"own_metrics": own} if own else {})}
    return {**content, **moved}


def _name_of(reference: str) -> str:
    """Name of the function that a reference ends with."""
    return re.split(r"[.:]", reference)[-1]


def _code_of(entry: Any, default: str) -> Any:
    if entry is None:
        return default
    return entry.get("code") if isinstance(entry, Mapping) else getattr(entry, "code", None)


def _refuse_unknown(name: str, info: Info) -> str:
    known: Known | None = info.context
    # Absent from `data` where they have a problem of their own, which is said first.
    own = info.data.get("own_metrics")
    if own is None or name in own:
        return name
    if is_own_code(name):
        raise ValueError(_unmoved(name, own))
    if known and known.metrics and name not in known.metrics:
        allowed = {*known.metrics, *known.own_metrics, *own}
        raise ValueError(f"no such metric; {nearest(name, allowed)}")
    return name


def _unmoved(reference: str, own: Mapping[str, OwnMetric]) -> str:
    """Why a reference is no metric of the study."""
    if not is_reference(reference):
        return (
            "neither a metric's name nor own code, which is `./my_metrics.py:my_metric` or "
            "`my_package.my_metric`"
        )
    name = _name_of(reference)
    if name in own:
        return f"another metric of this study has the name {name!r}: {own[name].code}; rename one"
    return (
        "a metric is named after its function, in small letters, digits and underscores; rename "
        f"{name}, or name it here: `own_metrics: {{my_metric: {{code: {reference}}}}}` and "
        "`metrics: [my_metric]`"
    )


def _refuse_ours(own: dict[str, OwnMetric], info: Info) -> dict[str, OwnMetric]:
    for name in info.context.metrics if info.context else ():
        if name in own:
            raise ValueError(
                f"own_metrics: {name!r} ({own[name].code}) is the name of a metric that AttnBench "
                "has; rename the function, or give it another name here"
            )
    return own


MetricName = Annotated[str, AfterValidator(_refuse_unknown)]
OwnMetrics = Annotated[dict[Name, OwnMetric], AfterValidator(_refuse_ours)]
