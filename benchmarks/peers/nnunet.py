"""nnU-Net v2: its trainer without deep supervision, its data loader, on a matched plan."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.variants.network_architecture.nnUNetTrainerNoDeepSupervision import (  # noqa: E501
    nnUNetTrainerNoDeepSupervision,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from attnbench.data.normalise import Normalisation
from attnbench.data.store import CaseStore
from benchmarks.works import Work

NAME = "Dataset001_Bench"
_LARGEST_TABLE = 10_000


class NnUNet:
    """A contestant (`benchmarks.works.Contestant`)."""

    def __init__(self, work: Work, store: CaseStore, device: torch.device) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nnunet"))
        for folder in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{folder}"] = str(self.folder / folder)
        cases = self.folder / "preprocessed" / NAME / "cases"
        cases.mkdir(parents=True)
        for index in range(len(store)):
            save_case(store, index, work, cases)
        with quiet():
            plans = {**plan(work, store), "continue_training": False}
            self.trainer = nnUNetTrainerNoDeepSupervision(
                plans, "matched", "all", description(store), device
            )
            self.trainer.initialize()
            self.trainer.set_deep_supervision_enabled(False)
            self.loaders = self.trainer.get_dataloaders()
        self.trainer.network.train()
        self.fixed = next(self.loaders[0])

    def step(self) -> object:
        return self.trainer.train_step(next(self.loaders[0]))

    def fixed_step(self) -> object:
        return self.trainer.train_step(self.fixed)

    def workers(self) -> Sequence[int]:
        return [process.pid for loader in self.loaders for process in loader._processes]

    def close(self) -> None:
        with quiet():
            for loader in self.loaders:
                loader._finish()
        shutil.rmtree(self.folder)


def save_case(store: CaseStore, index: int, work: Work, folder: Path) -> None:
    """Write one preprocessed case as nnU-Net keeps it; a 2-D image is a volume of one slice.

    Args:
        store: the prepared dataset.
        index: the case's position in the store.
        work: its patch gives the size of blocks.
        folder: where nnU-Net looks for the cases.
    """
    image = Normalisation("z_score").image(store, index)
    mask = np.array(store.mask(index), dtype=np.int16)[None]
    if store.info.ndim == 2:
        image, mask = image[:, None], mask[:, None]
    rng, locations = np.random.default_rng(index), {}
    for number in store.info.classes:
        voxels = np.argwhere(mask == number)
        locations[number] = rng.permutation(voxels)[:_LARGEST_TABLE]
    blocks, chunks = comp_blosc2_params(image.shape, work.patch, 4)
    blocks_seg, chunks_seg = comp_blosc2_params(mask.shape, work.patch, 2)
    layout = {
        "blocks": blocks,
        "chunks": chunks,
        "blocks_seg": blocks_seg,
        "chunks_seg": chunks_seg,
    }
    name = str(folder / f"case{index:04d}")
    nnUNetDatasetBlosc2.save_case(image, mask, {"class_locations": locations}, name, **layout)


def description(store: CaseStore) -> dict[str, Any]:
    return {
        "channel_names": {str(channel): "other" for channel in range(store.info.channels)},
        "labels": {
            "background": 0,
            **{name: number for number, name in store.info.classes.items()},
        },
        "numTraining": len(store),
        "file_ending": ".nii.gz",
    }


def plan(work: Work, store: CaseStore) -> dict[str, Any]:
    """Plan of nnU-Net with this work's patch, batch and widths, else as its planner writes it."""
    ndim, levels, channels = len(work.patch), len(work.widths), store.info.channels
    network = {
        "n_stages": levels,
        "features_per_stage": list(work.widths),
        "conv_op": f"torch.nn.modules.conv.Conv{ndim}d",
        "kernel_sizes": [[3] * ndim] * levels,
        "strides": [[1] * ndim] + [[2] * ndim] * (levels - 1),
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{ndim}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "data_identifier": "cases",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": work.batch,
        "patch_size": list(work.patch),
        "median_image_size_in_voxels": list(work.patch),
        "spacing": [1.0] * ndim,
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "batch_dice": True,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": network,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    return {
        "dataset_name": NAME,
        "plans_name": "matched",
        "original_median_spacing_after_transp": [1.0] * 3,
        "original_median_shape_after_transp": [1] * (3 - ndim) + list(work.patch),
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"matched": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
    }


def predictor(
    network: nn.Module, work: Work, store: CaseStore, device: torch.device
) -> nnUNetPredictor:
    """nnU-Net's sliding window around any network: half a window's steps, no mirroring.

    Args:
        network: from images to logits.
        work: its patch is the window.
        store: gives channels and classes.
        device: that of network and images.
    """
    with quiet():
        made = nnUNetPredictor(
            0.5, use_gaussian=True, use_mirroring=False, device=device, allow_tqdm=False
        )
        plans, facts = PlansManager(plan(work, store)), description(store)
        configuration = plans.get_configuration("matched")
        made.manual_initialization(
            network, plans, configuration, None, facts, "nnUNetTrainer", None
        )
    return made


@contextmanager
def quiet() -> Iterator[None]:
    """Without what nnU-Net prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
