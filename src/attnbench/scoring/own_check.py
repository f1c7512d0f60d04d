"""An own metric tried on made masks: does it do what it declares, and what is to be known?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from attnbench.errors import OwnCodeError
from attnbench.own import load
from attnbench.scoring.definitions import Metric, own_metric
from attnbench.scoring.metrics import COMPUTE, Pair
from attnbench.scoring.own import planned
from attnbench.scoring.own_values import function_of, own_value
from attnbench.scoring.surface import Mask
from attnbench.study.groups import ScoringSettings
from attnbench.study.metrics import OwnMetric

_SIDE = {2: 48, 3: 24}
_TIMED = {2: 256, 3: 64}
_DIMENSIONS = (2, 3)


class Finding(NamedTuple):
    """What a check found: `ok`, `FAIL`, or a `note` that is no fault."""

    kind: Literal["ok", "note", "FAIL"]
    text: str


def check_metric(reference: str) -> Iterator[Finding]:
    """Try an own metric on made masks in 2-D and 3-D; yield what every check found.

    Raises:
        OwnCodeError: it is not there, is not declared, or cannot be imported.
    """
    name = reference.rpartition(":" if ":" in reference else ".")[2]
    own = planned(name, OwnMetric(code=reference))
    assert own.declared is not None
    metric = own_metric(name, own.code, own.source, own.declared)
    load(reference, own.source)
    yield Finding("ok", f"declared: {metric.label}, unit {metric.unit}, {_direction(metric)}")
    for check in _CHECKS:
        try:
            yield from check(metric)
        except OwnCodeError as error:
            yield Finding("FAIL", f"{_words(check)}: {error}")
            if check is _takes_both:
                return  # every other one would say the same


def _takes_both(metric: Metric) -> Iterator[Finding]:
    """masks in 2-D and 3-D"""
    for ndim in _DIMENSIONS:
        value = _value(metric, _moved(ndim, 2), _moved(ndim, 0))
        yield Finding("ok", f"{ndim}-D: {value:.4g} where the prediction lies two voxels off")
        for text, mask in (("one voxel", _voxel(ndim)), ("every voxel", ~_nothing(ndim))):
            if math.isnan(_value(metric, mask, _moved(ndim, 0))):
                yield Finding("note", f"{ndim}-D: undefined (NaN) for a prediction of {text}")


def _perfect_is_best(metric: Metric) -> Iterator[Finding]:
    """a perfect prediction"""
    sign = 1 if metric.higher_is_better else -1
    for ndim in _DIMENSIONS:
        reference = _moved(ndim, 0)
        perfect, *others = (
            _value(metric, prediction, reference)
            for prediction in (reference, _moved(ndim, 2), _moved(ndim, 6), _half(ndim))
        )
        best = _best(metric)
        if math.isnan(perfect) or any(sign * other > sign * perfect for other in others):
            worse = ", ".join(f"{other:.4g}" for other in others)
            yield Finding(
                "FAIL",
                f"{ndim}-D: a perfect prediction is {perfect:.4g}; moved by 2 voxels, by 6, and "
                f"cut in half it is {worse}; declared: {_direction(metric)}",
            )
        elif best is not None and not math.isclose(perfect, best, abs_tol=1e-9):
            yield Finding("FAIL", f"{ndim}-D: a perfect prediction is {perfect:.4g}, not {best:g}")
        else:
            yield Finding("ok", f"{ndim}-D: a perfect prediction has the best value, {perfect:.4g}")
        if set(others) == {perfect}:
            yield Finding("note", f"{ndim}-D: it is the same for worse predictions")


def _same_again(metric: Metric) -> Iterator[Finding]:
    """the same masks again"""
    pair = _moved(2, 2), _moved(2, 0)
    values = {_value(metric, *pair) for _ in range(5)}
    if len(values) > 1 and not all(map(math.isnan, values)):
        found = f"five calls with the same masks gave {len(values)} values"
        yield Finding("FAIL", f"{found}; a study is to give the same numbers again")
    else:
        yield Finding("ok", "the same masks have the same value again")


def _empties(metric: Metric) -> Iterator[Finding]:
    """empty masks"""
    there, nothing = _moved(2, 0), _nothing(2)
    cases = {
        "both_empty": (nothing, nothing),
        "prediction_empty": (nothing, there),
        "reference_empty": (there, nothing),
    }
    for case, pair in cases.items():
        declared = getattr(metric, case)
        words = case.replace("_", " ")
        if declared == "computed":
            yield Finding("ok", f"{words}: computed, {_value(metric, *pair):.4g}")
        else:
            shown = "undefined" if declared != declared else declared
            yield Finding("ok", f"{words}: {shown}, as declared; the function is not called")
    best = _best(metric)
    if best is not None and metric.both_empty not in (best, "computed"):
        yield Finding("note", f"both empty is not {best:g}, the best value: right to find nothing")
    if best is not None and metric.prediction_empty == best:
        yield Finding("note", "a prediction that finds nothing is best: read it beside Dice")


def _spacing(metric: Metric) -> Iterator[Finding]:
    """spacing"""
    pair = _moved(3, 2), _moved(3, 0)
    plain, double, thick = (
        _value(metric, *pair, spacing) for spacing in ((1.0,) * 3, (2.0,) * 3, (3.0, 1.0, 1.0))
    )
    if metric.unit == "distance":
        if math.isclose(double, 2 * plain, rel_tol=1e-6) and plain != 0:
            yield Finding("ok", "twice the spacing is twice the distance")
        else:
            yield Finding(
                "FAIL",
                f"it is {plain:.4g} with a spacing of 1 and {double:.4g} with one of 2: a distance "
                "is in the unit of the spacing",
            )
    elif len({plain, double, thick}) > 1:
        yield Finding("note", "the spacing changes it")
    else:
        yield Finding("ok", "the spacing does not change it")


def _leaves_alone(metric: Metric) -> Iterator[Finding]:
    """its arguments"""
    pair = _moved(2, 2), _moved(2, 0)
    expected = _value(metric, *pair)
    assert metric.code is not None
    function, takes_region = function_of(metric.code, metric.source)
    more = {"region": ~_nothing(2)} if takes_region else {}
    given: dict[str, list[np.ndarray]] = {
        "": [mask.copy() for mask in pair],
        " that are uint8": [mask.astype(np.uint8) for mask in pair],
        " that are not contiguous": [np.repeat(mask, 2, axis=1)[:, ::2] for mask in pair],
    }
    for words, masks in given.items():
        try:
            value = function(*masks, (1.0, 1.0), **more)
            same = math.isclose(value, expected) or math.isnan(expected)
        except Exception as error:  # own code may raise anything
            yield Finding("note", f"masks{words}: {type(error).__name__}: {error}")
            continue
        if not same:
            yield Finding(
                "note", f"masks{words} have another value; AttnBench gives it bool, whole"
            )
        if not all(map(np.array_equal, masks, pair)):
            yield Finding("note", f"it changes masks{words}; it gets copies, so no score suffers")


def _symmetry(metric: Metric) -> Iterator[Finding]:
    """prediction and reference exchanged"""
    pair = _moved(2, 3) & ~_moved(2, -6), _moved(2, 0)
    first, second = _value(metric, *pair), _value(metric, *pair[::-1])
    same = math.isclose(first, second, rel_tol=1e-9) or first != first
    yield Finding(
        "note",
        "prediction and reference may be exchanged"
        if same
        else f"prediction and reference are not alike: {first:.4g}, exchanged {second:.4g}",
    )


def _surroundings(metric: Metric) -> Iterator[Finding]:
    """background around the masks"""
    pair = _moved(2, 2), _moved(2, 0)
    wide = np.pad(pair[0], 20), np.pad(pair[1], 20)
    if _value(metric, *pair) != _value(metric, *wide):
        yield Finding("note", "the size of the image, or where the masks lie in it, changes it")


def _time(metric: Metric) -> Iterator[Finding]:
    """time"""
    for ndim in _DIMENSIONS:
        side = _TIMED[ndim]
        pair = Pair(
            _moved(ndim, 4, side), _moved(ndim, 0, side), (1.0,) * ndim, "px", ScoringSettings()
        )
        own = _seconds(partial(own_value, metric, pair.prediction, pair.reference, pair.spacing))
        dice = _seconds(partial(_dice, pair))
        shape = " x ".join([str(side)] * ndim)
        yield Finding(
            "note", f"{shape}: {1000 * own:.2f} ms a class of a case; Dice takes {1000 * dice:.2f}"
        )


_CHECKS: tuple[Callable[[Metric], Iterator[Finding]], ...] = (
    _takes_both,
    _perfect_is_best,
    _same_again,
    _empties,
    _spacing,
    _leaves_alone,
    _symmetry,
    _surroundings,
    _time,
)


def _words(check: Callable[..., object]) -> str:
    return check.__doc__ or ""


def _direction(metric: Metric) -> str:
    return "higher is better" if metric.higher_is_better else "lower is better"


def _best(metric: Metric) -> float | None:
    """The value that a perfect prediction must have; None where that is not known."""
    if metric.bounded and metric.higher_is_better:
        return 1.0
    known = metric.bounded or metric.unit != "1"
    return 0.0 if known and not metric.higher_is_better else None


def _value(
    metric: Metric, prediction: Mask, reference: Mask, spacing: tuple[float, ...] | None = None
) -> float:
    return own_value(metric, prediction, reference, spacing or (1.0,) * reference.ndim)


def _moved(ndim: int, voxels: int, side: int | None = None) -> Mask:
    """A ball of radius a quarter of the image, moved by some voxels along the first axis."""
    side = side or _SIDE[ndim]
    centre = np.reshape((side / 2 + voxels, *(side / 2,) * (ndim - 1)), (ndim, *(1,) * ndim))
    inside: Mask = ((np.indices((side,) * ndim) - centre) ** 2).sum(axis=0) < (side / 4) ** 2
    return inside


def _half(ndim: int) -> Mask:
    mask = _moved(ndim, 0)
    mask[: _SIDE[ndim] // 2] = False
    return mask


def _nothing(ndim: int) -> Mask:
    return np.zeros((_SIDE[ndim],) * ndim, dtype=bool)


def _voxel(ndim: int) -> Mask:
    mask = _nothing(ndim)
    mask[(_SIDE[ndim] // 2,) * ndim] = True
    return mask


def _dice(pair: Pair) -> float:
    # A new pair: what one has computed it keeps.
    return COMPUTE["dice"](replace(pair))


def _seconds(call: Callable[[], object], times: int = 5) -> float:
    """The fastest of some calls, in seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)
