"""Train nnU-Net v2 on one fold of an exported dataset and predict its test cases.

    python -m benchmarks.peers.nnunet_trained WORK.json

Its own planner, preprocessing, trainer, augmentation, deep supervision, optimiser, schedule and
sliding window; only patch, batch, widths, steps and the axes of mirroring are the caller's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("raw", "preprocessed", "results")
MIRRORED, PLAIN = "mirrored", "plain"
"""Folders of predictions: averaged over mirror images, as nnU-Net does, and without."""
ITERATIONS = 50  # of an epoch: the learning rate falls by epochs, and 1,000 steps have 20 of them


@dataclass(frozen=True)
class Training:
    """What is given to nnU-Net; axes of `patch` and `mirror_axes` are those of the exported files.

    raw: the exported dataset, in `nnUNet_raw`. out: predictions and `facts.json` come here.
    """

    raw: str
    out: str
    fold: int
    steps: int
    seed: int
    batch: int
    patch: tuple[int, ...]
    widths: tuple[int, ...]
    mirror_axes: tuple[int, ...]


def main() -> None:
    work = Training(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    # One thread for all: its planner sets torch's threads to this number and refuses 0, its
    # trainer augments in the training's own process with 0.
    threads = "nnUNet_n_proc_DA"
    os.environ.update({f"nnUNet_{kind}": str(folder_of(kind, work)) for kind in KINDS})
    os.environ[threads] = "1"
    preprocess(work)
    os.environ[threads] = "0"
    train_and_predict(work)


def folder_of(kind: str, work: Training) -> Path:
    """nnU-Net's folder `raw`, which the dataset lies in, `preprocessed` or `results`, beside it."""
    raw = Path(work.raw).parent
    return raw if kind == "raw" else raw.with_name(f"nnunet_{kind}")


def configuration_of(ndim: int) -> str:
    return "2d" if ndim == 2 else "3d_fullres"


def preprocess(work: Training) -> None:
    """nnU-Net's own fingerprint, plan and preprocessing, once per dataset."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess_dataset,
    )

    raw = Path(work.raw)
    prepared = folder_of("preprocessed", work) / raw.name
    if (prepared / "gt_segmentations").exists():  # what nnU-Net writes last
        return
    number = int(raw.name[7:10])
    extract_fingerprints(
        [number], num_processes=1, check_dataset_integrity=True, show_progress_bar=False
    )
    plan_experiments([number])
    preprocess_dataset(
        number,
        configurations=[configuration_of(len(work.patch))],
        num_processes=[1],
        show_progress_bar=False,
    )
    (prepared / "splits_final.json").write_bytes((raw / "splits_final.json").read_bytes())


def matched(plans: dict[str, Any], work: Training) -> dict[str, Any]:
    """The plans with this patch, batch and widths, all else as nnU-Net planned it."""
    ndim, levels = len(work.patch), len(work.widths)
    if plans["transpose_forward"] != [0, 1, 2]:
        raise SystemExit(f"{plans['dataset_name']}: transposed axes are not handled here")
    planned = plans["configurations"][configuration_of(ndim)]
    arguments = planned["architecture"]["arch_kwargs"]
    arguments |= {
        "n_stages": levels,
        "features_per_stage": list(work.widths),
        "kernel_sizes": [[3] * ndim] * levels,
        "strides": [[1] * ndim] + [[2] * ndim] * (levels - 1),
        "n_conv_per_stage": [2] * levels,
        "n_conv_per_stage_decoder": [2] * (levels - 1),
    }
    # SimpleITK, and so nnU-Net, counts a file's axes from the last to the first.
    planned |= {"patch_size": list(reversed(work.patch)), "batch_size": work.batch}
    return plans


def train_and_predict(work: Training) -> None:
    import numpy as np
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Matched(nnUNetTrainer):  # type: ignore[misc]
        """nnU-Net's trainer with this many steps, one batch of validation and these mirrors."""

        def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:
            rotation, dummy, initial, _ = (
                super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
            )
            last = len(work.patch) - 1
            axes = tuple(sorted(last - axis for axis in work.mirror_axes)) or None
            self.inference_allowed_mirroring_axes = axes
            return rotation, dummy, initial, axes

    torch.manual_seed(work.seed)
    # nnU-Net draws from the global generators.
    np.random.seed(work.seed)  # noqa: NPY002
    raw = Path(work.raw)
    prepared = folder_of("preprocessed", work) / raw.name
    plans = matched(json.loads((prepared / "nnUNetPlans.json").read_text()), work)
    # One folder of results for every number of steps and seed.
    plans |= {"plans_name": f"steps{work.steps}-seed{work.seed}", "continue_training": False}
    description = json.loads((raw / "dataset.json").read_text())
    configuration = configuration_of(len(work.patch))
    trainer = Matched(plans, configuration, work.fold, description, torch.device("cpu"))
    trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = ITERATIONS, 1
    trainer.num_epochs = work.steps // ITERATIONS
    trainer.save_every = trainer.num_epochs + 1
    started, cpu = time.perf_counter(), time.process_time()
    trainer.run_training()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    trainer.set_deep_supervision_enabled(False)
    out, predicted = Path(work.out), {}
    # Without an axis to mirror along both would be the same.
    for folder in (MIRRORED, PLAIN) if work.mirror_axes else (PLAIN,):
        predictor = nnUNetPredictor(
            use_mirroring=folder == MIRRORED,
            perform_everything_on_device=False,
            device=trainer.device,
            allow_tqdm=False,
        )
        predictor.manual_initialization(
            trainer.network,
            trainer.plans_manager,
            trainer.configuration_manager,
            [trainer.network.state_dict()],
            description,
            "nnUNetTrainer",
            trainer.inference_allowed_mirroring_axes,
        )
        (out / folder).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        test = str(raw / f"imagesTs_fold{work.fold}")
        predictor.predict_from_files_sequential(test, str(out / folder))
        predicted[folder] = time.perf_counter() - started
    facts = {
        "steps": trainer.num_epochs * ITERATIONS,
        "train_seconds": seconds,
        "train_cpu_seconds": cpu,
        "predict_seconds": predicted,
        "parameters": sum(values.numel() for values in trainer.network.parameters()),
        "cases": {
            part: len(keys)
            for part, keys in zip(("train", "validation"), trainer.do_split(), strict=True)
        },
        "normalisation": trainer.configuration_manager.normalization_schemes,
    }
    (out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
