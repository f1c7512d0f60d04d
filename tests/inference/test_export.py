"""Exported predictions: on the grid of the originals, with the scores that the study states."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from medpy.metric.binary import dc
from PIL import Image

from attnbench.errors import DataError, SealError, StudyError
from attnbench.inference.export import chosen_runs, export_predictions
from attnbench.study.paths import Run
from sealing import reseal


def exported(study, folder, **chosen):
    """Every exported file with its run's folder and what `predictions.json` says of it."""
    export_predictions(study, chosen_runs(study, **chosen), folder)
    return [
        (path.parent / name, json.loads(path.read_text()), facts)
        for path in sorted(folder.rglob("predictions.json"))
        for name, facts in json.loads(path.read_text())["images"].items()
    ]


def stored(path):
    image = SimpleITK.ReadImage(str(path))
    return SimpleITK.GetArrayFromImage(image), image


def test_medpys_dice_of_files_with_files_is_that_in_the_scores(trained, tmp_path):
    compared = 0
    for path, run, facts in exported(trained.study, tmp_path / "out"):
        prediction, placed = stored(path)
        reference, original = stored(trained.mask(facts["case"]))
        if run["dataset"] == "scans":
            for get in ("GetOrigin", "GetSpacing", "GetDirection"):
                np.testing.assert_allclose(getattr(placed, get)(), getattr(original, get)())
            own = nibabel.load(trained.image(facts["case"])[0])
            np.testing.assert_array_equal(nibabel.load(path).affine, own.affine)
        run_folder = path.parent.relative_to(tmp_path / "out")
        scores = pd.read_csv(trained.study.output / "runs" / run_folder / "scores.csv")
        for number in map(int, [key for key in run["classes"] if key != "0"]):
            row = scores[(scores["case"] == facts["case"]) & (scores["class"] == number)]
            pair = (prediction == number, reference == number)
            if all(mask.any() for mask in pair):
                assert dc(*pair) == row["value"].item()
                compared += 1
    assert compared > 20
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.*"))
    assert names.count("predictions.json") == 4
    assert [name for name in names if name.startswith("scans")] == [
        f"scans{number}.nii.gz" for number in range(8)
    ]
    assert [name for name in names if name.startswith("cells")] == [
        f"cells{number}.png" for number in range(8)
    ]


def test_every_file_says_which_weights(trained, tmp_path):
    for path, run, _ in exported(trained.study, tmp_path / "out", fold=1):
        name = f"{run['dataset']}/unet/fold1-seed0"
        facts = json.loads((trained.study.output / "runs" / name / "run.json").read_text())
        assert run["weights_sha256"] == facts["weights_sha256"]
        said = f"attnbench {name} {facts['weights_sha256'][:8]}"
        if path.suffix == ".png":
            assert Image.open(path).text["Description"] == said
        else:
            assert nibabel.load(path).header["descrip"].item().decode() == said


def test_probabilities_are_those_of_the_masks(trained, tmp_path):
    export_predictions(trained.study, chosen_runs(trained.study, fold=0), tmp_path, True)
    for dataset in ("scans", "cells"):
        folder = tmp_path / dataset / "unet" / "fold0-seed0"
        summary = json.loads((folder / "predictions.json").read_text())
        for name, facts in summary["images"].items():
            stem, dot, ending = name.partition(".")
            each = np.stack([
                stored(folder / "probabilities" / f"{stem}_class{number}{dot}{ending}")[0]
                for number in range(3)
            ]).astype(np.float64)  # fmt: skip
            total = 65535 if dataset == "cells" else 1
            np.testing.assert_allclose(each.sum(axis=0) / total, 1, atol=3e-5)
            mask, _ = stored(folder / name)
            largest = np.take_along_axis(each, mask[None].astype(int), 0)[0]
            np.testing.assert_array_equal(largest, each.max(axis=0))
            assert facts["voxels_predicted_otherwise_now"] == 0


def test_nothing_is_written_over(trained, tmp_path):
    there = tmp_path / "scans/unet/fold1-seed0"
    there.mkdir(parents=True)
    runs = chosen_runs(trained.study, dataset="scans")
    with pytest.raises(DataError, match=r"is there already: .*scans/unet/fold1-seed0"):
        export_predictions(trained.study, runs, tmp_path)
    assert list(tmp_path.rglob("*.*")) == []
    export_predictions(trained.study, runs[:1], tmp_path)
    assert len(list((there.parent / "fold0-seed0").glob("*.nii.gz"))) == 4


def test_every_run_that_is_missing_is_named(own, tmp_path):
    for name in ("scans/unet/fold0-seed0", "cells/unet/fold1-seed0"):
        (own.study.output / "runs" / name / "predictions.npz").unlink()
    with pytest.raises(DataError, match=r"2 of 4 .*scans/unet/fold0.*cells/unet/fold1"):
        export_predictions(own.study, chosen_runs(own.study), tmp_path / "files")
    assert not (tmp_path / "files").exists()
    runs = chosen_runs(own.study, dataset="cells", fold=0)
    export_predictions(own.study, runs, tmp_path / "files")


def test_predictions_of_another_recipe_or_other_cases_are_refused(own, tmp_path):
    training = own.study.training.model_copy(update={"steps": 81})
    other = own.study.model_copy(update={"training": training})
    with pytest.raises(SealError, match=r"run\.json: belongs to another recipe"):
        export_predictions(other, chosen_runs(other), tmp_path / "files")
    path = own.study.output / "runs/scans/unet/fold0-seed0/predictions.npz"
    with np.load(path) as archive:
        masks = dict(archive)
    first = next(iter(masks))
    for broken in ({**masks, first: masks[first][1:]}, {**masks, "x": masks[first]}):
        np.savez_compressed(path, **broken)
        reseal(own.study, Run("scans", "unet", 0, 0), "predict")
        with pytest.raises(DataError, match=r"predictions.npz: .*make it again.*--from predict"):
            export_predictions(own.study, chosen_runs(own.study, "scans"), tmp_path / "files")
    assert list(tmp_path.rglob("*.nii.gz")) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"dataset": "scan"}, "--dataset scan: .* did you mean 'scans'"),
        ({"model": "cbam"}, "--model cbam: .*allowed: unet"),
        ({"fold": 2}, "--fold 2: .*allowed: 0, 1"),
        ({"seed": 7}, "--seed 7: .*allowed: 0"),
    ],
)
def test_runs_that_the_study_does_not_have(trained, asked, said):
    with pytest.raises(StudyError, match=said):
        chosen_runs(trained.study, **asked)
