"""The network of a finished run, ready to predict: weights are loaded, and checked, here only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnbench.data.store import CaseStore
from attnbench.errors import CheckpointError
from attnbench.inference.sliding import on_own_grid, predict_probabilities
from attnbench.scoring.calibration import reliability
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.checkpoint import load_checkpoint
from attnbench.training.device import autocast_type, claim_device
from attnbench.training.provenance import machine_of
from attnbench.training.run import RunInputs, load_inputs, network_for
from attnbench.training.sealed import remedy_of, sealed_files
from attnbench.training.stamp import Stamp, read_facts, stamp_of


@dataclass(frozen=True)
class Trained:
    """The network of a finished run on its device, with what it was made from.

    Probabilities are means over mirror images along the axes in `mirror`. `stamp` is that of the
    run, with the hash of its weights and, as `predict_device` and the like, the machine now.
    """

    inputs: RunInputs
    network: nn.Module
    device: torch.device
    autocast: torch.dtype | None
    mirror: tuple[int, ...] = ()
    stamp: Stamp = field(default_factory=dict)

    def image(self, store: CaseStore, index: int) -> NDArray[np.float32]:
        """A case of any store (C, *shape) as the network takes it, normalised as in training."""
        return self.inputs.normalisation.image(store, index)

    def predict(
        self,
        store: CaseStore,
        indices: Sequence[int],
        images: Iterable[NDArray[np.float32]] | None = None,
    ) -> Iterator[Tensor]:
        """Yield probabilities (K, *original_shape) of cases of `store`.

        With `images`, normalised (C, *shape), these in the place of the cases' own.
        """
        if images is None:
            images = (self.image(store, index) for index in indices)
        yield from self.predict_images(images, map(store.original_shape, indices))

    def predict_images(
        self, images: Iterable[NDArray[np.float32]], shapes: Iterable[Sequence[int]]
    ) -> Iterator[Tensor]:
        """Yield probabilities (K, *shape) of normalised images (C, *working grid) of any origin.

        Args:
            images: as `RunInputs.normalisation` makes them.
            shapes: the own grid of each.
        """
        tensors = (torch.from_numpy(image).to(self.device) for image in images)
        predicted = predict_probabilities(
            self.network, tensors, self.inputs.patch, self.autocast, self.mirror
        )
        for shape, probabilities in zip(shapes, predicted, strict=True):
            yield on_own_grid(probabilities, shape)


@contextmanager
def trained_network(study: Study, run: Run) -> Iterator[Trained]:
    """Yield the network of a trained run on a device claimed for it.

    Raises:
        CheckpointError: as `load_trained`.
        SealError: as `load_trained`.
    """
    with claim_device(study.compute) as device:
        yield load_trained(study, run, device)


def load_trained(study: Study, run: Run, device: torch.device) -> Trained:
    """The network of a trained run on `device`, which the caller has claimed.

    Raises:
        CheckpointError: the run is not trained, or its weights are damaged.
        SealError: the weights are not those that its training left, or belong to another recipe,
            other data, other folds, or another run.
    """
    path = study.layout.run(run) / "model.pt"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; the run is not trained yet: train it")
    inputs = load_inputs(study, run)
    expected = stamp_of(run, inputs.hashes, {})
    sealed_files(study, run, "model.pt", "run.json", expected=expected)
    weights = read_facts(study.layout.run(run) / "run.json").get("weights_sha256", "none")
    network = network_for(study, run, inputs.store)
    remedy = remedy_of(run, "train")
    stamp = load_checkpoint(path, network, expected, weights, remedy)
    machine = machine_of(study.compute, device)
    return Trained(
        inputs,
        network.to(device).eval(),
        device,
        autocast_type(study.compute.precision, device),
        inputs.mirror if study.inference.mirroring else (),
        {
            **stamp,
            "weights_sha256": weights,
            **{f"predict_{name}": value for name, value in machine.items()},
        },
    )


def as_mask(probabilities: Tensor) -> np.ndarray:
    """The most probable class (*spatial), uint8, of probabilities (K, *spatial)."""
    return probabilities.argmax(dim=0).to(torch.uint8).cpu().numpy()


def case_reliability(
    probabilities: Tensor, store: CaseStore, index: int, classes: Iterable[int]
) -> Iterator[dict[str, Any]]:
    """Rows of `reliability` of one case, inside its field of view.

    Args:
        probabilities: (K, *original_shape), on any device.
        store: the case's dataset.
        index: of the case in `store`.
        classes: those to report.
    """
    fov = store.fov(index)
    region = None if fov is None else torch.from_numpy(np.array(fov)).to(probabilities.device)
    reference = torch.from_numpy(np.array(store.reference(index))).to(probabilities.device)
    return reliability(probabilities, reference, region, classes)
