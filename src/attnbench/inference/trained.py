"""The network of a finished run, ready to predict: weights are loaded, and checked, here only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnbench.data.store import CaseStore
from attnbench.errors import CheckpointError
from attnbench.inference.sliding import on_own_grid, predict_probabilities, windows_at_once
from attnbench.models.cost import count_parameters
from attnbench.scoring.calibration import reliability
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.checkpoint import load_checkpoint
from attnbench.training.device import autocast_type, claim_device
from attnbench.training.diverged import divergence_of
from attnbench.training.memory import naming_memory
from attnbench.training.provenance import machine_of
from attnbench.training.run import RunInputs, load_inputs, network_for
from attnbench.training.sealed import remedy_of, sealed_files
from attnbench.training.stamp import MACHINE, Stamp, read_facts, stamp_of


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
        with self.naming_memory("prediction"):
            for shape, probabilities in zip(shapes, predicted, strict=True):
                yield on_own_grid(probabilities, shape)

    def naming_memory(self, doing: str) -> AbstractContextManager[None]:
        """Turn an error that memory ran out into one that says what the network took it for."""
        named = {"model": "the network", **self.stamp}
        run = " by {dataset}/{model}/fold{fold}-seed{seed}".format(**named) if self.stamp else ""
        patch, channels = self.inputs.patch, self.inputs.store.info.channels
        at_once = windows_at_once(patch, self.device)
        facts = [
            f"{named['model']} has {count_parameters(self.network):,} parameters and takes "
            f"{at_once} window(s) at a time of {' x '.join(map(str, (channels, *patch)))} "
            "(channels, voxels); probabilities of every class are kept for a whole image",
            "windows are training patches: smaller ones (`patch`) take less for all models; or "
            "give the job more (`compute.memory_mb`, a scheduler's limit), let fewer runs share "
            "the machine (`compute.runs_per_gpu`, `--cores`), or predict on the CPU "
            "(`compute.device: cpu`, which trains there too)",
        ]
        return naming_memory(f"{doing}{run}", self.device, lambda: facts)


@dataclass(frozen=True)
class Lost:
    """A run whose training diverged, in the place of its network: it predicts nothing."""

    inputs: RunInputs
    stamp: Stamp

    def predict(self, store: CaseStore, indices: Sequence[int]) -> Iterator[None]:
        """Yield None for every case of `store`."""
        return (None for _ in indices)


def lost_run(study: Study, run: Run) -> Lost | None:
    """The run where its training diverged; None of any other.

    Raises:
        SealError: as `load_trained`.
    """
    if not divergence_of(study.layout, run):
        return None
    inputs = load_inputs(study, run)
    expected = stamp_of(run, inputs.hashes, {})
    stamp = sealed_files(study, run, "model.pt", "run.json", expected=expected).stamp
    return Lost(inputs, {**stamp, **{f"predict_{name}": stamp[name] for name in MACHINE}})


@contextmanager
def network_to_score(study: Study, run: Run) -> Iterator[Trained | Lost]:
    """Yield what `trained_network` does, or `Lost` for a run that diverged.

    Raises:
        CheckpointError: as `load_trained`.
        SealError: as `load_trained`.
    """
    if lost := lost_run(study, run):
        yield lost
        return
    with trained_network(study, run) as trained:
        yield trained


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
