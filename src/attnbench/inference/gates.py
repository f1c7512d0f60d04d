"""How far the mechanisms of a trained network are open, on a handful of test windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnbench.inference.sliding import Canvas
from attnbench.inference.trained import Trained
from attnbench.models.gate_readings import mechanisms_of, read_gates

_WINDOWS = 4  # of one case each: enough for a mean, too few to take time


def gates_of_run(trained: Trained) -> list[dict[str, Any]]:
    """Read the mechanisms of a trained network: rows as of `read_gates`, none for a plain U-Net.

    The images are the fullest windows of the first four test cases by name: the same for every
    model of a fold.
    """
    if not any(True for _ in mechanisms_of(trained.network)):
        return []
    cases = sorted(trained.inputs.fold.test)[:_WINDOWS]
    windows = torch.stack(list(fullest_windows(trained, cases)))
    return read_gates(trained.network, windows.to(trained.device))


def fullest_windows(trained: Trained, cases: Iterable[str]) -> Iterator[Tensor]:
    """Yield of each case the inference window (C, *patch) with most voxels of a class.

    Of several as full the first.
    """
    store, window = trained.inputs.store, trained.inputs.patch
    for index in map(store.index, cases):
        image, mask = (
            Canvas(torch.from_numpy(np.array(array)), window)
            for array in (trained.image(store, index), store.mask(index)[None])
        )
        # `max` keeps the first of equals.
        fullest = max(
            image.boxes, key=lambda box: int(mask.image[(slice(None), *box)].count_nonzero())
        )
        yield image.image[(slice(None), *fullest)]
