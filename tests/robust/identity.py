"""A small finished study whose files change behind its back, and everybody who reads them."""

import csv
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from attnbench import api
from attnbench.analysis.run import analyse_study
from attnbench.check import check_study
from attnbench.data.make import make_data
from attnbench.errors import AttnBenchError
from attnbench.files import write_text
from attnbench.inference.attention import attend_model
from attnbench.inference.export import export_predictions
from attnbench.inference.model_export import export_model
from attnbench.inference.new_images import predict_images
from attnbench.inference.predict import predict_run
from attnbench.reporting.exports.card import Shared, compose_card
from attnbench.reporting.results import Results
from attnbench.reporting.slices import read_prediction
from attnbench.scoring.gather import gather_scores
from attnbench.scoring.run import score_run
from attnbench.shift.corruption import score_corrupted
from attnbench.shift.ensemble import score_ensemble
from attnbench.shift.gather import gather_shift
from attnbench.shift.transfer import score_transfer
from attnbench.study.paths import Run
from attnbench.training.run import train_run

MODEL, CASES = "attention_gate", 6
RUN, OTHER = (Run("cells", MODEL, fold, 0) for fold in (0, 1))


def _write_dataset(folder: Path, name: str, first: int) -> None:
    raw, rows = folder / "raw" / name, []
    raw.mkdir(parents=True)
    for number in range(first, first + CASES):
        rng, mask = np.random.default_rng(number), np.zeros((20, 20), np.uint8)
        row, column = rng.integers(1, 10, 2)
        mask[row : row + 8, column : column + 8] = 1
        image = 60 + 70 * mask[..., None] + rng.normal(0, 12, (20, 20, 3))
        pictures = {"image": image.clip(0, 255).astype(np.uint8), "mask": mask}
        for role, array in pictures.items():
            path = raw / f"{name}{number}{'_mask' if role == 'mask' else ''}.png"
            Image.fromarray(array).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            case = f"{name}{number}"
            rows.append((path.name, path.stat().st_size, digest, role, case, case))
    entry = {
        **dict.fromkeys(("title", "short", "task", "modality", "licence", "citation"), "w"),
        "name": name, "classes": {1: "a"}, "cases": CASES, "groups": CASES,
        "groups_inferred": False, "mirror": {"axes": [], "reason": "e"}, "ndim": 2,
        "channels": 3, "spacing_unit": "px", "axes": ["y", "x"],
        "reader": {"name": "pictures", "settings": {"values": {1: 1}}},
        "origin": {"kind": "local", "folder": f"../raw/{name}"},
    }  # fmt: skip
    (folder / "sets").mkdir(exist_ok=True)
    (folder / f"sets/{name}.yaml").write_text(yaml.safe_dump(entry))
    with (folder / f"sets/{name}.files.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerows([("path", "bytes", "sha256", "role", "case", "group"), *rows])


def finished_study(folder: Path):
    """Two models on two folds, trained for two steps, scored in every way and analysed."""
    for name, first in (("cells", 0), ("far", 100)):
        _write_dataset(folder, name, first)
    study = study_in(folder)
    for name in ("cells", "far"):
        make_data(study, name)
    for run in study.runs():
        for step in (train_run, predict_run, score_run, score_corrupted, score_transfer):
            step(study, run)
    for model in ("unet", MODEL):
        score_ensemble(study, "cells", model)
    gather_scores(study)
    for table in ("corrupted", "transfer", "ensembles"):
        gather_shift(study, table)
    analyse_study(study)
    write_text(study.layout.study, study.to_yaml())
    return study


def study_in(folder: Path):
    """The study whose catalog and output lie in a folder."""
    return check_study(
        {
            "name": "identity",
            "output": str(folder / "out"),
            "catalog": [str(folder / "sets")],
            "datasets": [{"name": name, "patch": [8, 8]} for name in ("cells", "far")],
            "models": ["unet", MODEL],
            "backbone": {"widths": [2, 4], "blocks_per_level": 1},
            "folds": {"outer": 2, "inner": 2},
            "training": {"steps": 2, "batch": 2, "validate_every": 2, "warm_up": 0},
            "metrics": ["dice", "hd95", "ece"],
            "transfer": [{"train": "cells", "test": "far", "ensemble": True}],
            "corruptions": ["contrast"],
            "analysis": {"bootstrap": 200},
            "compute": {"device": "cpu"},
        }
    )


def copied(study, folder: Path):
    """A copy of a study's output folder, to be changed at will."""
    shutil.copytree(study.layout.output, folder)
    return study.model_copy(update={"output": folder})


def image_of(study) -> Path:
    return study.catalog[0].parent / "raw/cells/cells0.png"


def _again(folder: Path) -> Path:
    """A folder that is not there."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


Reader = Callable[[object], object]
OF_WEIGHTS: dict[str, Reader] = {
    "predict": lambda study: predict_run(study, RUN),
    "corrupted": lambda study: score_corrupted(study, RUN),
    "transfer": lambda study: score_transfer(study, RUN),
    "ensemble": lambda study: score_ensemble(study, "cells", MODEL),
    "attend": lambda study: attend_model(study, "cells", MODEL),
    "export model": lambda study: export_model(study, RUN, "torch", study.output / "net.pt2"),
    "predict images": lambda study: list(predict_images(study, str(RUN), [image_of(study)])),
    "api predict": lambda study: list(api.predict(study, "cells", MODEL)),
}
OF_PREDICTIONS: dict[str, Reader] = {
    "score": lambda study: score_run(study, RUN),
    "export predictions": lambda study: export_predictions(
        study, [RUN], _again(study.output / "exported")
    ),
    "figure": lambda study: [
        read_prediction(Results(study), RUN, f"cells{number}") for number in range(CASES)
    ],
}
ANALYSE: dict[str, Reader] = {"analyse": analyse_study}
GATHER: dict[str, Reader] = {"gather": gather_scores}
CARD: dict[str, Reader] = {
    "card": lambda study: compose_card(Shared.of(Results(study)), "cells", MODEL)
}
_SCORE = {"score": OF_PREDICTIONS["score"]}
_HISTORY: dict[str, Reader] = {
    "api history": lambda study: api.TrainedRun(study, RUN, {}).history,
}
READERS: dict[str, dict[str, Reader]] = {
    "model.pt": OF_WEIGHTS,
    "run.json": {**OF_WEIGHTS, **ANALYSE, **GATHER, **CARD,
                 "export predictions": OF_PREDICTIONS["export predictions"]},
    "history.csv": {**ANALYSE, **_HISTORY},
    "predictions.npz": OF_PREDICTIONS,
    "calibration.csv": {**ANALYSE, **_SCORE},
    "gates.csv": ANALYSE,
    "scores.csv": GATHER,
    "corrupted.csv": {"gather": lambda study: gather_shift(study, "corrupted")},
    "transfer.csv": {"gather": lambda study: gather_shift(study, "transfer")},
}  # fmt: skip
"""Readers of every file in the folder of a run."""
TABLES: dict[str, dict[str, Reader]] = {
    "scores.csv": {**ANALYSE, "api": lambda study: api.open_results(study).scores,
                   "api folder": lambda study: api.open_results(study.output).scores},
    "corrupted.csv": ANALYSE,
    "transfer.csv": ANALYSE,
    "ensembles.csv": ANALYSE,
    f"ensembles/cells/{MODEL}.csv": {
        "gather": lambda study: gather_shift(study, "ensembles")
    },
}  # fmt: skip
"""Readers of the files of all runs together."""


def path_of(study, name: str, table: bool) -> Path:
    """A table of the study, or a file of its first run."""
    return (study.layout.output if table else study.layout.run(RUN)) / name


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))


FILES = [*product(READERS, (False,)), *product(TABLES, (True,))]
CHANGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "a byte less": lambda content: content[:-1],
    "one more": lambda content: content + b"\n",
    "no file of this kind": lambda content: b"\xff\xfe{[",
    "zeros": lambda content: bytes(len(content)),
}


def refused(study, name: str, table: bool, ours: bool = True) -> None:
    """Every reader of a file refuses it, by its name and with what to do."""
    for reader, read in (TABLES if table else READERS)[name].items():
        with pytest.raises(AttnBenchError) as caught:
            read(study)
        text = str(caught.value)
        # Of another fold with its seals, it is the weights that it came from that may be named.
        assert not ours or name.rpartition("/")[2] in text, (reader, text)
        assert any(word in text for word in ("rerun", "delete", "gather")), (reader, text)
        assert "weights_only" not in text


@contextmanager
def file_of_another_fold(study, name: str, with_seals: bool) -> Iterator[None]:
    """Put a file of the other fold in the place of that of the first, its seals too if asked."""
    pairs = [(study.layout.run(RUN) / name, study.layout.run(OTHER) / name)]
    if with_seals:
        seals = sorted(study.layout.seal("x").parent.rglob(f"{RUN}.json"))
        theirs = f"fold{OTHER.fold}-seed{OTHER.seed}.json"
        pairs += [(seal, seal.with_name(theirs)) for seal in seals]
    before = {ours: ours.read_bytes() for ours, _ in pairs}
    try:
        for ours, other in pairs:
            ours.write_bytes(other.read_bytes())
        yield
    finally:
        for ours, content in before.items():
            ours.write_bytes(content)
