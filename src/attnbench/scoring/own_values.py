"""Values of own metrics: own code is called, and what it returns is checked."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.errors import OwnCodeError
from attnbench.own import load
from attnbench.scoring.definitions import Metric
from attnbench.scoring.surface import Mask

_ROUNDING = 1e-9


def own_value(
    metric: Metric,
    prediction: Mask,
    reference: Mask,
    spacing: tuple[float, ...],
    region: Mask | None = None,
) -> float:
    """Value of an own metric for one class of one case; NaN where it says that it is undefined.

    It receives copies, so that nothing that it does to them reaches another metric.

    Args:
        metric: with `code` and `source`.
        prediction: bool (*spatial).
        reference: bool (*spatial).
        spacing: the voxel's size per axis.
        region: field of view, bool (*spatial); None: all.

    Raises:
        OwnCodeError: it has changed since the study was planned, raises, or returns what is no
            finite number, or none that its declaration allows.
    """
    assert metric.code is not None
    function, takes_region = function_of(metric.code, metric.source)
    more = {}
    if takes_region:
        more["region"] = np.ones(reference.shape, bool) if region is None else region.copy()
    try:
        value = function(prediction.copy(), reference.copy(), spacing, **more)
    # Own code may raise anything; `sys.exit(0)` would end the job as if it had succeeded.
    except (Exception, SystemExit) as error:
        raise OwnCodeError(
            f"{metric.code} raises {type(error).__name__}: {error} ({_where(error)})"
        ) from error
    return _checked(metric, value)


@cache
def function_of(code: str, source: str | None) -> tuple[Callable[..., Any], bool]:
    """The function that own code is, and whether it takes a `region`.

    Raises:
        OwnCodeError: it cannot be imported, or has changed since `source`.
    """
    function = load(code, source)
    if not callable(function):
        raise OwnCodeError(f"{code}: found a {type(function).__name__}; a metric is a function")
    return function, "region" in inspect.signature(function).parameters


def _checked(metric: Metric, value: Any) -> float:
    number = _as_number(metric, value)
    if math.isnan(number):
        return number
    if math.isinf(number):
        problem = "a metric returns a finite number, or NaN where it is undefined"
    elif metric.bounded and not -_ROUNDING <= number <= 1 + _ROUNDING:
        problem = "it is declared as bounded, to lie between 0 and 1"
    elif metric.unit != "1" and number < 0:
        problem = f"it is declared as a {metric.unit}, which is not negative"
    else:
        return min(max(number, 0.0), 1.0) if metric.bounded else number
    raise OwnCodeError(f"{metric.code} returned {number:g}; {problem}")


def _as_number(metric: Metric, value: Any) -> float:
    """The number that was returned, from an array or tensor of one element as well."""
    try:
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "fiu":
            return float(array.reshape(()))
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass  # no array at all: said below
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    shown = f", {value!r}" if isinstance(value, str | bool | np.bool_) else ""
    raise OwnCodeError(
        f"{metric.code} returned a {type(value).__name__}{shape}{shown}; a metric returns one "
        "number"
    )


def _where(error: BaseException) -> str:
    """Line of the traceback's end, where own code, or what it calls, went wrong."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}, line {last.lineno}"
