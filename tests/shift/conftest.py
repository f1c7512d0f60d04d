"""A study of two small datasets of the same objects, numbered differently, with a trained run on
the first.
"""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from attnbench.data.case import PreparedCase
from attnbench.data.folds import write_folds
from attnbench.data.info import DatasetInfo
from attnbench.data.resample import resample_image, resample_mask
from attnbench.data.write import write_store
from attnbench.inference.predict import predict_run
from attnbench.models.names import known_models
from attnbench.scoring.run import score_run
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.run import train_run

RUN = Run("left", "unet", 0, 0)
CLASSES = {"left": {1: "box", 2: "bar"}, "right": {1: "bar", 2: "ring", 3: "box"}}
OWN, WORKING = (32, 26), (20, 18)
INFO = DatasetInfo(
    name="left", title="Made", task="boxes", modality="none", ndim=2, channels=2,
    classes=CLASSES["left"], spacing_unit="mm", spacing=None, size=WORKING,
    resampled=True, has_fov=True,
    has_second_rater=False, groups_inferred=False, licence="CC0", citation="none",
)  # fmt: skip


def make_case(number, dataset):
    """The same image in every dataset; in `right` the classes have other numbers."""
    rng = np.random.default_rng(number)
    names = np.zeros(OWN, dtype="<U4")
    row, column = rng.integers(2, 12, 2)
    names[row : row + 10, column : column + 9] = "box"
    names[20:30, 20:23] = "bar"
    fov = np.ones(OWN, dtype=bool)
    fov[:4], fov[:, 24:] = False, False
    image = rng.standard_normal((2, *OWN)) + 2 * (names == "box") - 3 * (names == "bar")
    reference = np.zeros(OWN, dtype=np.uint8)
    for value, name in CLASSES[dataset].items():
        reference[names == name] = value
    inside = resample_mask(fov.astype(np.uint8), WORKING) > 0
    return PreparedCase(
        case=f"case{number}",
        group=f"group{number % 10}",
        image=(resample_image(image, WORKING) * inside).astype(np.float32),
        mask=resample_mask(reference, WORKING),
        reference=reference,
        spacing=(1.6, 1.4),
        original_spacing=(1.0, 0.97),
        fov=fov,
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The study after training, prediction and scoring of `RUN`; not to be changed."""
    study = parse_study(
        {
            "name": "shifted",
            "output": str(tmp_path_factory.mktemp("shifted")),
            "datasets": [{"name": name, "patch": [16, 16]} for name in CLASSES],
            "models": ["unet", "attention_gate"],
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "folds": {"outer": 2, "inner": 2},
            "training": {
                "steps": 150,
                "batch": 4,
                "validate_every": 150,
                "learning_rate": 0.03,
                "warm_up": 0,
            },
            "metrics": ["dice", "hd95", "volume_error", "ece"],
            "transfer": [{"train": "left", "test": "right"}],
            "corruptions": ["blur", "noise", "contrast"],
            "data_efficiency": [40],
            "compute": {"device": "cpu"},
        },
        known_models(),
    )
    for name, classes in CLASSES.items():
        prepared = study.layout.prepared(name)
        cases = (make_case(number, name) for number in range(12))
        write_store(prepared, cases, replace(INFO, name=name, classes=classes))
        write_folds(prepared, study.folds, study.layout.folds(name))
    for step in (train_run, predict_run, score_run):
        step(study, RUN)
    return study


@pytest.fixture(scope="session")
def with_far():
    """A function: the study with a dataset `far` of the cases `numbers`, of which `left` has 0 to
    11 under other names, as external test set of ensembles.
    """

    def build(study, numbers):
        content = study.model_dump(mode="json")
        content["datasets"] = [part for part in content["datasets"] if part["name"] != "far"]
        content["datasets"].append({"name": "far", "patch": [16, 16]})
        content["transfer"] = [{"train": "left", "test": "far", "ensemble": True}]
        cases = (replace(make_case(n, "right"), case=f"far{n}") for n in numbers)
        info = replace(INFO, name="far", classes=CLASSES["right"])
        write_store(study.layout.prepared("far"), cases, info)
        return parse_study(content, known_models())

    return build


@pytest.fixture(scope="session")
def copy_of():
    """Copies a finished study to a folder, to be changed at will."""

    def copy(study, folder):
        shutil.copytree(study.output, folder)
        return study.model_copy(update={"output": folder})

    return copy


@pytest.fixture
def study(finished, copy_of, tmp_path):
    return copy_of(finished, tmp_path / "copy")
