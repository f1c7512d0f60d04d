"""MONAI: CacheDataset, a loader with a process per core, DynUNet and DiceCELoss.

As in MONAI's tutorials of 3-D segmentation and of fast training: deterministic transforms and
the positions of the foreground are cached, metadata are not tracked. The random changes are
those of this project, in kind and size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, set_track_meta
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet
from monai.transforms import (
    Compose,
    EnsureTyped,
    FgBgToIndicesd,
    RandAdjustContrastd,
    RandAffined,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandShiftIntensityd,
    SpatialPadd,
)

from attnbench.data.normalise import Normalisation
from attnbench.data.store import CaseStore
from attnbench.models.spec import NetworkSpec
from attnbench.study.groups import AugmentationSettings
from attnbench.training.device import autocast_type
from benchmarks.works import Work

KEYS = ("image", "label")


class Monai:
    """A contestant (`benchmarks.works.Contestant`)."""

    def __init__(self, work: Work, store: CaseStore, device: torch.device) -> None:
        set_track_meta(False)
        z_score = Normalisation("z_score")
        cases = [
            {"image": z_score.image(store, i), "label": np.array(store.mask(i))[None]}
            for i in range(len(store))
        ]
        dataset = CacheDataset(
            cases, changes(work.patch), num_workers=os.cpu_count(), progress=False
        )
        self.loader = DataLoader(
            dataset,
            num_workers=os.cpu_count() or 1,
            batch_size=work.batch,
            shuffle=True,
            drop_last=True,
            persistent_workers=True,
        )
        self.device, self.autocast = device, autocast_type("auto", device)
        self.network = network(work, store).to(device).train()
        self.loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=1e-2)
        self.batches = self._endless()
        self.fixed = next(self.batches)

    def _endless(self) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield from self.loader

    def step(self) -> object:
        return self._train(next(self.batches))

    def fixed_step(self) -> object:
        return self._train(self.fixed)

    def _train(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        images, masks = batch["image"].to(self.device), batch["label"].to(self.device)
        self.optimiser.zero_grad()
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            loss = self.loss(self.network(images), masks)
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def workers(self) -> Sequence[int]:
        return [worker.pid for worker in self.loader._iterator._workers]

    def close(self) -> None:
        self.loader._iterator._shutdown_workers()


def network(work: Work, store: CaseStore) -> DynUNet:
    """nnU-Net's U-Net: two convolutions per block, instance norm, leaky ReLU, strides."""
    ndim, levels = len(work.patch), len(work.widths)
    strides = [[1] * ndim] + [[2] * ndim] * (levels - 1)
    kernels, spec = [[3] * ndim] * levels, NetworkSpec.of(store.info, work.patch)
    return DynUNet(
        ndim,
        spec.in_channels,
        spec.classes,
        kernels,
        strides,
        strides[1:],
        filters=work.widths,
    )


def changes(patch: Sequence[int]) -> Compose:
    settings, ndim = AugmentationSettings(), len(patch)
    turn = [np.deg2rad(settings.rotation)] * (1 if ndim == 2 else 3)
    positions = {"fg_indices_key": "label_fg_indices", "bg_indices_key": "label_bg_indices"}
    return Compose(
        [
            EnsureTyped(KEYS),
            SpatialPadd(KEYS, patch),
            FgBgToIndicesd("label"),
            RandCropByPosNegLabeld(KEYS, "label", patch, pos=1, neg=1, num_samples=1, **positions),
            RandAffined(
                KEYS,
                prob=1,
                rotate_range=turn,
                scale_range=[settings.scaling] * ndim,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            *(RandFlipd(KEYS, prob=0.5, spatial_axis=axis) for axis in range(ndim)),
            RandScaleIntensityd("image", settings.contrast, prob=1),
            RandShiftIntensityd("image", settings.brightness, prob=1),
            RandAdjustContrastd(
                "image", prob=1, gamma=(np.exp(-settings.gamma), np.exp(settings.gamma))
            ),
            RandGaussianNoised("image", prob=1, std=settings.noise),
            _Only(KEYS),
        ]
    )


class _Only:
    """Drops what the loader need not pass on."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys

    def __call__(self, case: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {key: case[key] for key in self.keys}
