"""A checkpoint and cases in, predictions out: sliding window, and the study's resampling undone."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
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


@torch.no_grad()
def predict_probabilities(
    network: nn.Module, image: Tensor, window: Sequence[int], autocast: torch.dtype | None = None
) -> Tensor:
    """Class probabilities (K, *spatial), summing to 1, of one image (C, *spatial) on the image's device.

    The image is covered by overlapping windows of the training patch's size, zero-padded where it is smaller;
    windows are averaged with `window_weight`.
    """
    before = [max(0, side - length) // 2 for side, length in zip(window, image.shape[1:], strict=True)]
    inside = [slice(start, start + length) for start, length in zip(before, image.shape[1:], strict=True)]
    image = _pad_to(image, window, before)
    places: list[tuple[Any, ...]] = [
        tuple(slice(start, start + side) for start, side in zip(corner, window, strict=True))
        for corner in itertools.product(*map(window_starts, image.shape[1:], window))
    ]
    weight = window_weight(window, image.device)
    total, weights = torch.zeros((), device=image.device), torch.zeros(image.shape[1:], device=image.device)
    for first in range(0, len(places), _WINDOWS_AT_ONCE):
        now = places[first : first + _WINDOWS_AT_ONCE]
        with torch.autocast(image.device.type, autocast, enabled=autocast is not None):
            logits = network(torch.stack([image[..., *place] for place in now]))
        if not total.dim():
            total = torch.zeros((logits.shape[1], *image.shape[1:]), device=image.device)
        for place, window_logits in zip(now, logits.float(), strict=True):
            total[(slice(None), *place)] += window_logits.softmax(dim=0) * weight
            weights[place] += weight
    mean = total / weights
    return mean[(slice(None), *inside)]


def _pad_to(image: Tensor, window: Sequence[int], before: Sequence[int]) -> Tensor:
    amounts = []
    for side, length, start in reversed(list(zip(window, image.shape[1:], before, strict=True))):
        amounts += [start, max(0, side - length) - start]
    return F.pad(image, amounts)


def predict_case(
    network: nn.Module,
    image: np.ndarray,
    original_shape: Sequence[int],
    window: Sequence[int],
    device: torch.device,
    autocast: torch.dtype | None = None,
) -> np.ndarray:
    """The predicted mask (*original_shape) uint8 of a prepared image (C, *spatial).

    Probabilities, not classes, are taken back to the case's own grid, linearly (pixel-area convention).
    """
    tensor = torch.from_numpy(np.array(image)).to(device)
    probabilities = predict_probabilities(network, tensor, window, autocast)
    own_grid = resize(probabilities.unsqueeze(0), tuple(original_shape))
    return own_grid.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()


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
        predictions: dict[str, Any] = {}
        for case in inputs.fold.test:
            index = store.index(case)
            predictions[case] = predict_case(
                network, store.image(index), store.original_shape(index), inputs.patch, device, autocast
            )
    with whole_file(folder / "predictions.npz") as temporary:
        np.savez_compressed(temporary, **predictions)
    log.info("%s  predicted %d cases", run, len(predictions))
