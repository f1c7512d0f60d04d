"""Calibration of one case: a class should be there as often as its probability says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attnbench.errors import DataError
from attnbench.scoring.case import ScoreRow, status_of

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15
CALIBRATION_COLUMNS = ("case", "class", "bin", "voxels", "probability", "observed")
_VOXELS_AT_ONCE = 2**22


def read_calibration(path: Path) -> pd.DataFrame:
    """Read the bins that `attnbench predict` wrote: one row per test case, class and bin.

    Raises:
        DataError: the file is missing, or no such table.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; `ece` is scored from it: predict the run again")
    try:
        # A case may be named "NA"; only an empty probability means a missing value.
        return pd.read_csv(
            path,
            usecols=list(CALIBRATION_COLUMNS),
            dtype={"case": "str", "class": "int64", "bin": "int64", "voxels": "int64"},
            keep_default_na=False,
            na_values={"probability": [""]},
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no table of bins ({error}); predict the run again") from error


def expected_calibration_error(
    voxels: ArrayLike, probability: ArrayLike, observed: ArrayLike
) -> float:
    """Mean distance, over voxels, of their bin's probability from the share observed: 0 to 1.

    All three are (bins,); NaN without any voxel. Guo et al., On calibration of modern neural
    networks, ICML 2017.
    """
    weights = np.asarray(voxels, dtype=np.float64)
    distance = np.abs(
        np.asarray(probability, dtype=np.float64) - np.asarray(observed, dtype=np.float64)
    )
    return float(weights @ distance / weights.sum()) if weights.sum() else float("nan")


def calibration_rows(
    bins: pd.DataFrame,
    prediction: NDArray[Any],
    reference: NDArray[Any],
    classes: Sequence[int],
    region: NDArray[Any] | None = None,
) -> Iterator[ScoreRow]:
    """Rows `ece` of one case, one per class, from its bins; the masks give the status alone.

    Where the network's probabilities are no numbers, neither is the value, and the status is
    `not_a_number`.

    Args:
        bins: the case's rows of `calibration.csv`.
        prediction: integer mask (*spatial).
        reference: integer mask (*spatial).
        classes: numbers of the classes to score.
        region: mask (*spatial) of the voxels that count; all do without one.

    Raises:
        DataError: the bins do not count every voxel inside `region` once.
    """
    inside = np.ones(reference.shape, bool) if region is None else region.astype(bool)
    for number in classes:
        rows = bins[bins["class"] == number]
        counted, expected = int(rows["voxels"].sum()), int(inside.sum())
        if counted != expected:
            raise DataError(
                f"class {number}: the calibration counts {counted} voxels, the case has "
                f"{expected}; "
                "predict the run again"
            )
        value = expected_calibration_error(rows["voxels"], rows["probability"], rows["observed"])
        masks = status_of((prediction == number) & inside, (reference == number) & inside)
        yield {
            "class": int(number),
            "metric": "ece",
            "value": value,
            "unit": "1",
            "status": "not_a_number" if np.isnan(value) else masks,
        }


def reliability(
    probabilities: Tensor, reference: Tensor, region: Tensor | None, classes: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Bins of one case: a row per class and bin that has voxels.

    Bin b of 15 holds probabilities in (b / 15, (b + 1) / 15], the first one 0 too. A row has the
    number of `voxels`, their mean `probability` and the share `observed` whose reference is the
    class (Guo et al., On calibration of modern neural networks, ICML 2017, for each class instead
    of the most probable one).

    Args:
        probabilities: (K, *spatial), 0 to 1; class 0 is the background.
        reference: integer mask (*spatial) on the same grid.
        region: bool (*spatial); voxels outside it are left out.
        classes: numbers of the classes to bin.
    """
    if probabilities.device.type == "mps":
        probabilities, reference = probabilities.cpu(), reference.cpu()  # MPS has no float64
        region = None if region is None else region.cpu()
    inside = reference.flatten() if region is None else reference[region]
    for number in classes:
        values = (
            probabilities[number].flatten() if region is None else probabilities[number][region]
        )
        voxels, sums, hits = _binned(values, inside == number)
        for index in voxels.nonzero()[0].tolist():
            means = {
                "probability": sums[index] / voxels[index],
                "observed": hits[index] / voxels[index],
            }
            yield {"class": number, "bin": index, "voxels": int(voxels[index]), **means}


def _binned(values: Tensor, hit: Tensor) -> np.ndarray:
    """Number, sum and hits of `values` (n,) in every bin, (3, BINS)."""
    import torch

    totals = np.zeros((3, BINS))
    # In chunks, which bound the memory of the integer and double copies.
    for chunk, there in zip(values.split(_VOXELS_AT_ONCE), hit.split(_VOXELS_AT_ONCE), strict=True):
        # `ceil` puts a bound into the bin below it. NaN counts in the first bin, and in its sum.
        bins = (chunk.nan_to_num() * BINS).ceil().sub(1).clamp(0, BINS - 1).long()
        # One count for both: the bins of the hits follow those of the misses.
        misses, hits = (
            torch.bincount(bins + BINS * there, minlength=2 * BINS).view(2, BINS).cpu().numpy()
        )
        sums = torch.bincount(bins, chunk.double(), minlength=BINS).cpu().numpy()
        totals += [misses + hits, sums, hits]
    return totals
