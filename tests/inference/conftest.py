"""A finished study of own files: volumes of two channels in odd axes, and colour pictures."""

import csv
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from PIL import Image

from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.data.folds import write_folds
from attnbench.data.intensities import write_statistics
from attnbench.data.prepare import prepare_dataset
from attnbench.inference.predict import predict_run
from attnbench.scoring.run import score_run
from attnbench.study.settings import Study
from attnbench.training.run import train_run

# Right-posterior-inferior in another order of axes, left-handed, oblique, anisotropic.
AFFINES = [
    np.diag([1.0, 1.0, 2.0, 1.0]),
    np.array([[0, 0, -1.0, 30], [1.0, 0, 0, -20], [0, -2.0, 0, 9], [0, 0, 0, 1]]),
    np.array([[-1.0, 0, 0, 5], [0, 1.0, 0, -7], [0, 0, 2.0, 0], [0, 0, 0, 1]]),
    np.array([[0.96, -0.28, 0, 3], [0.28, 0.96, 0, 1], [0, 0, -1.5, 90], [0, 0, 0, 1]]),
]
CASES = 8


@dataclass(frozen=True)
class Own:
    """A study and the folder of the originals of its datasets `scans` and `cells`."""

    study: Study
    files: Path

    def image(self, case: str) -> list[Path]:
        """The files of a case's image."""
        return sorted((self.files / "raw" / case[:5]).glob(f"{case}_0*.nii.gz")) or [
            self.files / "raw/cells" / f"{case}.png"
        ]

    def mask(self, case: str) -> Path:
        (path,) = (self.files / "raw" / case[:5]).glob(f"{case}_mask*")
        return path


def boxes(rng, shape):
    mask = np.zeros(shape, np.uint8)
    for number in (1, 2):
        corner = rng.integers(1, np.array(shape) // 2)
        mask[tuple(slice(start, start + side // 3) for start, side in
                   zip(corner, shape, strict=True))] = number  # fmt: skip
    return mask


def write_scan(folder, case, number):
    rng = np.random.default_rng(number)
    mask = boxes(rng, (18, 20 + number, 16))
    for channel in range(2):
        image = (mask == channel + 1) * 300 + rng.normal(50, 20, mask.shape)
        path = folder / f"{case}_{channel:04d}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(image.astype(np.int16), AFFINES[number % 4]), path)
    path = folder / f"{case}_mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(mask, AFFINES[number % 4]), path)


def write_cell(folder, case, number):
    rng = np.random.default_rng(100 + number)
    mask = boxes(rng, (40, 33 + number))
    image = 60 + 70 * mask[..., None] + rng.normal(0, 12, (*mask.shape, 3)) + [0, 10, 40]
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{case}.png")
    Image.fromarray(mask).save(folder / f"{case}_mask.png")


def write_dataset(folder, name, write, **facts):
    raw, rows = folder / "raw" / name, []
    raw.mkdir(parents=True)
    for number in range(CASES):
        case = f"{name}{number}"
        write(raw, case, number)
        for path in sorted(raw.glob(f"{case}*")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            role = "mask" if "mask" in path.name else "image"
            rows.append((path.name, path.stat().st_size, digest, role, case, case))
    content = {
        **dict.fromkeys(("title", "short", "task", "modality", "licence", "citation"), "w"),
        "name": name, "classes": {1: "a", 2: "b"}, "cases": CASES, "groups": CASES,
        "groups_inferred": False, "mirror": {"axes": [], "reason": "e"},
        "origin": {"kind": "local", "folder": f"../raw/{name}"}, **facts,
    }  # fmt: skip
    (folder / "sets").mkdir(exist_ok=True)
    (folder / f"sets/{name}.yaml").write_text(yaml.safe_dump(content))
    with (folder / f"sets/{name}.files.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerows([("path", "bytes", "sha256", "role", "case", "group"), *rows])


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Prepared on other grids, normalised by each fold, trained, predicted, scored; not to be
    changed.
    """
    folder = tmp_path_factory.mktemp("own")
    volume = {"ndim": 3, "channels": 2, "spacing_unit": "mm", "axes": ["x", "y", "z"]}
    write_dataset(folder, "scans", write_scan, **volume, reader="volume")
    reader = {"name": "pictures", "settings": {"values": {1: 1, 2: 2}}}
    picture = {"ndim": 2, "channels": 3, "spacing_unit": "px", "axes": ["y", "x"]}
    write_dataset(folder, "cells", write_cell, **picture, reader=reader)
    study = check_study(
        {
            "name": "own",
            "output": str(folder / "out"),
            "catalog": [str(folder / "sets")],
            "datasets": [
                {"name": "scans", "spacing": [1.5, 1.25, 1.5], "normalisation": "ct",
                 "patch": [8, 8, 8]},
                {"name": "cells", "size": [24, 24], "channels": "grey", "patch": [16, 16],
                 "normalisation": "percentile"},
            ],
            "models": ["unet"],
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "folds": {"outer": 2, "inner": 2},
            "training": {"steps": 60, "batch": 4, "validate_every": 60, "learning_rate": 0.03,
                         "warm_up": 0},
            "metrics": ["dice"],
            "compute": {"device": "cpu"},
        }
    )  # fmt: skip
    for settings in study.datasets:
        prepared, folds = study.layout.prepared(settings.name), study.layout.folds(settings.name)
        entry = load_entry(settings.name, study.catalog)
        prepare_dataset(entry, settings, study.layout.raw(settings.name), prepared)
        write_folds(prepared, study.folds, folds, settings)
        statistics = study.layout.statistics(settings.name)
        write_statistics(prepared, folds, study.normalisation(settings.name), statistics)
    for run in study.runs():
        for step in (train_run, predict_run, score_run):
            step(study, run)
    return Own(study, folder)


@pytest.fixture
def own(trained, tmp_path):
    """A copy of it, whose runs may be changed."""
    shutil.copytree(trained.study.output, tmp_path / "out")
    study = trained.study.model_copy(update={"output": tmp_path / "out"})
    return Own(study, trained.files)
