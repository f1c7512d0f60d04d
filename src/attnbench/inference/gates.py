"""How far the mechanisms of a trained network are open, on a handful of test windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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
    store = trained.inputs.store
    shown = ((trained.image(store, index), store.mask(index)) for index in map(store.index, cases))
    windows = torch.stack(list(fullest_windows(shown, trained.inputs.patch)))
    return read_gates(trained.network, windows.to(trained.device))


def fullest_windows(
    cases: Iterable[tuple[NDArray[np.float32], NDArray[np.uint8]]], window: Sequence[int]
) -> Iterator[Tensor]:
    """Yield of each image (C, *spatial) the inference window with most voxels of its mask.

    Of several as full the first.
    """
    for case in cases:
        image, mask = (
            Canvas(torch.from_numpy(np.array(array)), window) for array in (case[0], case[1][None])
        )
        # `max` keeps the first of equals.
        fullest = max(
            image.boxes, key=lambda box: int(mask.image[(slice(None), *box)].count_nonzero())
        )
        yield image.image[(slice(None), *fullest)]
