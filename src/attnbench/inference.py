"""A checkpoint and cases in, predictions out: sliding window, and the study's resampling undone."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.data.store import CaseStore
from attnbench.files import whole_file
from attnbench.layout import Run
from attnbench.models.layers import resize
from attnbench.study import Study
from attnbench.training.checkpoint import load_checkpoint
from attnbench.training.device import autocast_type, claim_device
from attnbench.training.run import load_inputs, network_for

_OVERLAP = 0.5
_SIGMA = 0.125
_WINDOWS_AT_ONCE = 16
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


class Canvas:
    """One image (C, *spatial), zero-padded to at least a window, and the weighted sum of its windows' probabilities."""

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

    def add(self, place: tuple[Any, ...], probabilities: Tensor) -> None:
        """Add the probabilities (K, *window) of the window at `place`."""
        if self.total is None:
            self.total = self.weights.new_zeros((len(probabilities), *self.weights.shape))
        self.total[(slice(None), *place)] += probabilities * self.weight
        self.weights[place] += self.weight
        self.missing -= 1

    def mean(self) -> Tensor:
        """Probabilities (K, *spatial) on the image's grid, once every window is there."""
        assert self.total is not None
        return (self.total / self.weights)[(slice(None), *self.inside)]


def _pad_to(image: Tensor, window: Sequence[int], before: Sequence[int]) -> Tensor:
    amounts = []
    for side, length, start in reversed(list(zip(window, image.shape[1:], before, strict=True))):
        amounts += [start, max(0, side - length) - start]
    return F.pad(image, amounts)


@torch.no_grad()
def predict_probabilities(
    network: nn.Module, images: Iterable[Tensor], window: Sequence[int], autocast: torch.dtype | None = None
) -> Iterator[Tensor]:
    """Class probabilities (K, *spatial), summing to 1, of each image (C, *spatial), in order, on its device.

    An image is covered by overlapping windows of the training patch's size, zero-padded where it is smaller, and
    averaged with `window_weight`. Windows of several small images go through the network together.
    """
    canvases = (Canvas(image, window) for image in images)
    waiting = ((canvas, place) for canvas in canvases for place in canvas.places)
    while chunk := list(itertools.islice(waiting, _WINDOWS_AT_ONCE)):
        batch = torch.stack([canvas.image[(slice(None), *place)] for canvas, place in chunk])
        with torch.autocast(batch.device.type, autocast, enabled=autocast is not None):
            logits = network(batch)
        for (canvas, place), probabilities in zip(chunk, logits.float().softmax(dim=1), strict=True):
            canvas.add(place, probabilities)
            if not canvas.missing:
                yield canvas.mean()


def on_own_grid(probabilities: Tensor, original_shape: Sequence[int]) -> np.ndarray:
    """The mask (*original_shape) uint8 of the most probable class.

    Probabilities (K, *spatial), not classes, are taken back to the case's own grid, linearly (pixel-area convention).
    """
    resized = resize(probabilities.unsqueeze(0), tuple(original_shape))
    return resized.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()


def predict_run(study: Study, run: Run) -> None:
    """Predict the test cases of one trained run and write `predictions.npz`, one mask per case in its own grid."""
    inputs = load_inputs(study, run)
    store: CaseStore = inputs.store
    folder = study.layout.run(run)
    with claim_device(study.compute) as device:
        network = network_for(study, run, store)
        load_checkpoint(folder / "model.pt", network, inputs.hashes)
        network.to(device).eval()
        autocast = autocast_type(study.compute.precision, device)
        indices = {case: store.index(case) for case in inputs.fold.test}
        images = (torch.from_numpy(np.array(store.image(index))).to(device) for index in indices.values())
        predicted = predict_probabilities(network, images, inputs.patch, autocast)
        predictions: dict[str, Any] = {
            case: on_own_grid(probabilities, store.original_shape(index))
            for (case, index), probabilities in zip(indices.items(), predicted, strict=True)
        }
    with whole_file(folder / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **predictions)
    log.info("%s  predicted %d cases", run, len(predictions))
