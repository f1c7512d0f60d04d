"""A checkpoint and cases in, predictions out: sliding window, and the study's resampling undone."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.data.store import CaseStore
from attnbench.files import whole_file, write_rows
from attnbench.layout import Run
from attnbench.models.layers import resize
from attnbench.study import Study
from attnbench.training.checkpoint import load_checkpoint
from attnbench.training.device import autocast_type, claim_device
from attnbench.training.run import RunInputs, load_inputs, network_for

_OVERLAP = 0.5
_SIGMA = 0.125
_WINDOWS_AT_ONCE = 16
_VOXELS_IN_CACHE = 2**17
_VOXELS_AT_ONCE = 2**22
BINS = 15
CALIBRATION_COLUMNS = ("case", "class", "bin", "voxels", "probability", "observed")
log = logging.getLogger("attnbench")


def window_starts(side: int, window: int) -> list[int]:
    """Starts of windows that cover `side` with an overlap of at least one half, spread evenly to both ends."""
    if side <= window:
        return [0]
    count = int(np.ceil((side - window) / (window * (1 - _OVERLAP)))) + 1
    return [round(start) for start in np.linspace(0, side - window, count)]


def window_weight(window: Sequence[int], device: torch.device) -> Tensor:
    """Gaussian importance of a window's voxels (*window), 1 at its centre, sigma an eighth of its side.

    Isensee et al., nnU-Net, Nature Methods 2021: borders of a window know less of their surroundings.
    """
    weight = torch.ones((), device=device)
    for side in window:
        distance = torch.arange(side, device=device) - (side - 1) / 2
        weight = weight.unsqueeze(-1) * torch.exp(-0.5 * (distance / (side * _SIGMA)) ** 2)
    return weight.clamp(min=1e-3)


def windows_at_once(window: Sequence[int], device: torch.device) -> int:
    """How many windows a batch has: enough to fill an accelerator; on a CPU what its caches hold, which is faster."""
    if device.type != "cpu":
        return _WINDOWS_AT_ONCE
    return min(_WINDOWS_AT_ONCE, max(1, _VOXELS_IN_CACHE // math.prod(window)))


class Canvas:
    """One image (C, *spatial), zero-padded to at least a window, and the weighted sum of its windows' values."""

    def __init__(self, image: Tensor, window: Sequence[int]) -> None:
        before = [max(0, side - length) // 2 for side, length in zip(window, image.shape[1:], strict=True)]
        self.inside = [slice(start, start + length) for start, length in zip(before, image.shape[1:], strict=True)]
        self.image = _pad_to(image, window, before)
        self.places: list[tuple[Any, ...]] = [
            tuple(slice(start, start + side) for start, side in zip(corner, window, strict=True))
            for corner in itertools.product(*map(window_starts, self.image.shape[1:], window))
        ]
        self.weight = window_weight(window, image.device)
        self.weights = torch.zeros(self.image.shape[1:], device=image.device)
        self.total: Tensor | None = None
        self.missing = len(self.places)

    def add(self, place: tuple[Any, ...], values: Tensor) -> None:
        """Add the values (K, *window) of the window at `place`."""
        if self.total is None:
            self.total = self.weights.new_zeros((len(values), *self.weights.shape))
        self.total[(slice(None), *place)] += values * self.weight
        self.weights[place] += self.weight
        self.missing -= 1

    def mean(self) -> Tensor:
        """The averaged values (K, *spatial) on the image's grid, once every window is there."""
        assert self.total is not None
        return (self.total / self.weights)[(slice(None), *self.inside)]


def _pad_to(image: Tensor, window: Sequence[int], before: Sequence[int]) -> Tensor:
    amounts = []
    for side, length, start in reversed(list(zip(window, image.shape[1:], before, strict=True))):
        amounts += [start, max(0, side - length) - start]
    return F.pad(image, amounts)


def predict_probabilities(
    network: nn.Module, images: Iterable[Tensor], window: Sequence[int], autocast: torch.dtype | None = None
) -> Iterator[Tensor]:
    """Class probabilities (K, *spatial), summing to 1, of each image (C, *spatial), in order, on its device."""

    def probabilities(batch: Tensor) -> Tensor:
        with torch.autocast(batch.device.type, autocast, enabled=autocast is not None):
            logits = network(batch)
        return logits.float().softmax(dim=1)

    return slide(probabilities, images, window)


@torch.no_grad()
def slide(evaluate: Callable[[Tensor], Tensor], images: Iterable[Tensor], window: Sequence[int]) -> Iterator[Tensor]:
    """What `evaluate` maps windows (B, C, *window) to, (B, K, *window), put together for each image: (K, *spatial).

    An image (C, *spatial) is covered by overlapping windows of the training patch's size, zero-padded where it is
    smaller, and averaged with `window_weight`. Windows of several small images are evaluated together.
    """
    canvases = (Canvas(image, window) for image in images)
    waiting = ((canvas, place) for canvas in canvases for place in canvas.places)
    for first in waiting:
        more = windows_at_once(window, first[0].image.device) - 1
        chunk = [first, *itertools.islice(waiting, more)]
        batch = torch.stack([canvas.image[(slice(None), *place)] for canvas, place in chunk])
        for (canvas, place), values in zip(chunk, evaluate(batch), strict=True):
            canvas.add(place, values)
            if not canvas.missing:
                yield canvas.mean()


def on_own_grid(probabilities: Tensor, original_shape: Sequence[int]) -> Tensor:
    """Probabilities (K, *spatial) taken to the case's own grid (K, *original_shape), linearly (pixel-area convention).

    The mask comes after: resampled classes would be ragged, resampled probabilities are not.
    """
    return resize(probabilities.unsqueeze(0), tuple(original_shape))[0]


def reliability(
    probabilities: Tensor, reference: Tensor, region: Tensor | None, classes: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """How often a class is there where the network gives it a probability: one row per class and bin that has voxels.

    `probabilities` (K, *spatial) and `reference` (*spatial) lie on one grid; voxels outside `region` (bool) are left
    out. Bin b of 15 holds probabilities in (b / 15, (b + 1) / 15], the first one 0 too; a row has the number of
    `voxels`, their mean `probability` and the share `observed` whose reference is the class (Guo et al., On calibration
    of modern neural networks, ICML 2017, for each class instead of the most probable one).
    """
    if probabilities.device.type == "mps":
        probabilities, reference = probabilities.cpu(), reference.cpu()  # MPS has no float64
        region = None if region is None else region.cpu()
    inside = reference.flatten() if region is None else reference[region]
    for number in classes:
        values = probabilities[number].flatten() if region is None else probabilities[number][region]
        voxels, sums, hits = _binned(values, inside == number)
        for place in voxels.nonzero()[0].tolist():
            means = {"probability": sums[place] / voxels[place], "observed": hits[place] / voxels[place]}
            yield {"class": number, "bin": place, "voxels": int(voxels[place]), **means}


def _binned(values: Tensor, hit: Tensor) -> np.ndarray:
    """Number, sum and hits of `values` (n,) in every bin, (3, BINS)."""
    totals = np.zeros((3, BINS))
    for part, there in zip(values.split(_VOXELS_AT_ONCE), hit.split(_VOXELS_AT_ONCE), strict=True):
        place = (part.nan_to_num() * BINS).ceil().sub(1).clamp(0, BINS - 1).long()
        missed, found = torch.bincount(place + BINS * there, minlength=2 * BINS).view(2, BINS).cpu().numpy()
        sums = torch.bincount(place, part.double(), minlength=BINS).cpu().numpy()
        totals += [missed + found, sums, found]
    return totals


@dataclass(frozen=True)
class Trained:
    """The network of a finished run on its device, with what it was made from."""

    inputs: RunInputs
    network: nn.Module
    device: torch.device
    autocast: torch.dtype | None

    def predict(self, store: CaseStore, indices: Iterable[int], images: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Class probabilities (K, *original_shape) for each of `images` (C, *shape), which are cases of `store`."""
        tensors = (torch.from_numpy(np.array(image)).to(self.device) for image in images)
        predicted = predict_probabilities(self.network, tensors, self.inputs.patch, self.autocast)
        for index, probabilities in zip(indices, predicted, strict=True):
            yield on_own_grid(probabilities, store.original_shape(index))


@contextmanager
def trained_network(study: Study, run: Run) -> Iterator[Trained]:
    """Yield the network of a trained run on a device claimed for it; refuses weights of another recipe or data."""
    inputs = load_inputs(study, run)
    with claim_device(study.compute) as device:
        network = network_for(study, run, inputs.store)
        load_checkpoint(study.layout.run(run) / "model.pt", network, inputs.hashes)
        yield Trained(inputs, network.to(device).eval(), device, autocast_type(study.compute.precision, device))


def as_mask(probabilities: Tensor) -> np.ndarray:
    """The most probable class (*spatial), uint8, of probabilities (K, *spatial)."""
    return probabilities.argmax(dim=0).to(torch.uint8).cpu().numpy()


def case_reliability(
    probabilities: Tensor, store: CaseStore, index: int, classes: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """The `reliability` of probabilities (K, *original_shape) of a case of `store`, inside its field of view."""
    fov = store.fov(index)
    region = None if fov is None else torch.from_numpy(np.array(fov)).to(probabilities.device)
    reference = torch.from_numpy(np.array(store.reference(index))).to(probabilities.device)
    return reliability(probabilities, reference, region, classes)


def predict_run(study: Study, run: Run) -> None:
    """Predict the test cases of one trained run and write `predictions.npz`, one mask per case in its own grid.

    `calibration.csv` beside it has the `reliability` of every case, inside its field of view.
    """
    folder = study.layout.run(run)
    predictions: dict[str, Any] = {}
    calibration: list[dict[str, Any]] = []
    with trained_network(study, run) as trained:
        store = trained.inputs.store
        indices = {case: store.index(case) for case in trained.inputs.fold.test}
        predicted = trained.predict(store, indices.values(), map(store.image, indices.values()))
        for (case, index), own in zip(indices.items(), predicted, strict=True):
            predictions[case] = as_mask(own)
            calibration += ({"case": case, **row} for row in case_reliability(own, store, index, store.info.classes))
    write_rows(folder / "calibration.csv", CALIBRATION_COLUMNS, calibration)
    with whole_file(folder / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **predictions)
    log.info("%s  predicted %d cases", run, len(predictions))
