"""From originals to nnU-Net's files, and from another tool's predictions to scores."""

import csv
import json
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from attnbench.analysis.external import compare_external
from PIL import Image
from scipy import stats

from attnbench.catalog import Entry
from attnbench.cli import main
from attnbench.data.folds import load_folds, write_folds
from attnbench.data.nnunet import export_nnunet
from attnbench.data.prepare import prepare_dataset
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, StudyError
from attnbench.files import read_json, write_json
from attnbench.scoring.external import score_external
from attnbench.scoring.run import score_run
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study

CASES = 12
SPACING = {2: (1.0, 1.0), 3: (1.5, 0.5, 2.0)}
SIDES = (3, 4, 5)  # of the box of class 1, so that a Dice of a shift tells the axis


def drawn(number, ndim):
    """Image and mask of a case in right-anterior-superior axes: no side looks like another."""
    rng = np.random.default_rng(number)
    shape = (20 + number % 3, 17, 13)[:ndim]
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(2, 2 + side) for side in SIDES[:ndim])] = 1
    mask[(slice(12, 14),) * 1 + (slice(9, 12),) * (ndim - 1)] = 2
    return rng.integers(0, 256, shape).astype(np.uint8), mask


def as_stored(array):
    """The array as a file with the axes posterior-inferior-right has it, and its affine."""
    x, y, z = SPACING[3]
    turned = np.transpose(array, (1, 2, 0))[::-1, ::-1, :]
    affine = np.array([[0, 0, x, 4], [-y, 0, 0, 9], [0, -z, 0, -7], [0, 0, 0, 1]], float)
    return np.ascontiguousarray(turned), affine


class Toy:
    """A dataset of twelve cases and as many groups: prepared, split in two, exported."""

    def __init__(self, folder, ndim, working_grid=None, **own):
        self.folder, self.ndim, self.raw = folder, ndim, folder / "raw"
        self.entry = self._originals()
        dataset = {"name": "toy", **own} | ({"size": working_grid} if working_grid else {})
        self.study = parse_study(
            {
                "name": "trial",
                "datasets": [dataset],
                "models": ["unet"],
                "metrics": ["dice", "hd95"],
                "folds": {"outer": 2, "inner": 3},
                "output": str(folder / "out"),
            }
        )
        layout = self.study.layout
        self.prepared, self.split = layout.prepared("toy"), layout.folds("toy")
        prepare_dataset(self.entry, self.study.dataset("toy"), self.raw, self.prepared)
        write_folds(self.prepared, self.study.folds, self.split)
        self.store = CaseStore.open(self.prepared)
        self.folds = load_folds(self.split, self.store)
        self.out = folder / "nnunet" / "Dataset001_toy"
        self.export(self.out)

    def _originals(self):
        rows = []
        (self.raw).mkdir()
        for number in range(CASES):
            image, mask = drawn(number, self.ndim)
            for role, array in (("image", image), ("mask", mask)):
                path = self.raw / f"{role}{number}{'.nii.gz' if self.ndim == 3 else '.png'}"
                if self.ndim == 3:
                    nib.save(nib.Nifti1Image(*as_stored(array)), path)
                elif role == "image":
                    Image.fromarray(np.stack([array, array // 2, 255 - array], -1)).save(path)
                else:
                    picture = Image.fromarray(array, mode="P")
                    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
                    picture.save(path)
                rows.append((path.name, 1, "0" * 64, role, f"case{number}", f"group{number}"))
        listing = self.folder / "toy.files.csv"
        with listing.open("w", newline="") as stream:
            csv.writer(stream).writerows(
                [("path", "bytes", "sha256", "role", "case", "group"), *rows]
            )
        words = dict.fromkeys(("title", "short", "task", "modality", "licence", "citation"), "toy")
        return Entry(
            **words,
            name="toy",
            ndim=self.ndim,
            channels={2: 3, 3: 1}[self.ndim],
            classes={1: "box", 2: "small"},
            spacing_unit="mm" if self.ndim == 3 else "px",
            axes=tuple("abc"[: self.ndim]),
            mirror={"axes": (), "reason": "toy"},
            cases=CASES,
            groups=CASES,
            groups_inferred=False,
            listing=listing,
            origin={"kind": "files", "url": "http://localhost/{path}", "page": "http://localhost"},
            reader="nifti" if self.ndim == 3 else "index_mask",
        )

    def export(self, folder):
        settings = self.study.dataset("toy")
        export_nnunet(self.entry, settings, self.raw, self.prepared, self.split, folder)

    def number(self, case):
        return int(case.removeprefix("case"))

    def predictions(self, change=lambda array, case: array):
        """A folder as nnU-Net leaves it: masks of fold 1 written by SimpleITK over its files."""
        folder = self.folder / "predictions"
        folder.mkdir()
        for case in self.folds.fold(1).test:
            image = SimpleITK.ReadImage(self.out / "imagesTs_fold1" / f"{case}_0000.nii.gz")
            mask = SimpleITK.ReadImage(self.out / "labelsTr" / f"{case}.nii.gz")
            array = change(SimpleITK.GetArrayFromImage(mask), case)
            written = SimpleITK.GetImageFromArray(array.astype(np.uint8))
            written.CopyInformation(image)
            SimpleITK.WriteImage(written, folder / f"{case}.nii.gz")
        write_json(folder / "plans.json", {"left": "alone"})
        return folder

    def score(self, folder, fold=1):
        path = score_external(self.study, "toy", "other", fold, folder)
        return pd.read_csv(path, keep_default_na=False, na_values={"value": [""]})

    def score_model(self, shifts, seed=0):
        """Scores of a run whose predictions are the references moved along the first axis."""
        run = Run("toy", "unet", 1, seed)
        folder = self.study.layout.run(run)
        folder.mkdir(parents=True)
        masks = {
            case: np.roll(self.store.reference(self.store.index(case)), shift, axis=0)
            for case, shift in zip(self.folds.fold(1).test, shifts, strict=True)
        }
        np.savez(folder / "predictions.npz", **masks)
        hashes = {"data_hash": self.folds.data_hash, "folds_hash": self.folds.hash}
        write_json(folder / "run.json", hashes)
        score_run(self.study, run)
        return folder


@pytest.fixture
def volumes(tmp_path):
    return Toy(tmp_path, 3)


@pytest.fixture
def pictures(tmp_path):
    return Toy(tmp_path, 2)


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def toy(request, tmp_path):
    return Toy(tmp_path, request.param)


def test_the_export_has_the_original_intensities_and_spacings_in_the_axes_of_the_store(toy):
    for number in range(CASES):
        image, mask = drawn(number, toy.ndim)
        channels = [image] if toy.ndim == 3 else [image, image // 2, 255 - image]
        for channel, expected in enumerate(channels):
            path = toy.out / "imagesTr" / f"case{number}_{channel:04d}.nii.gz"
            # SimpleITK, nnU-Net's reader: last axis first.
            read = SimpleITK.ReadImage(path)
            assert np.array_equal(SimpleITK.GetArrayFromImage(read).T, expected)
            assert read.GetSpacing() == pytest.approx(SPACING[toy.ndim])
        labels = SimpleITK.ReadImage(toy.out / "labelsTr" / f"case{number}.nii.gz")
        assert np.array_equal(SimpleITK.GetArrayFromImage(labels).T, mask)
        assert labels.GetDirection() == read.GetDirection()
    description = read_json(toy.out / "dataset.json")
    assert description["labels"] == {"background": 0, "box": 1, "small": 2}
    assert list(description["channel_names"]) == [str(channel) for channel in range(len(channels))]
    assert len(list((toy.out / "imagesTr").iterdir())) == CASES * len(channels)
    assert description["numTraining"] == len(list((toy.out / "labelsTr").iterdir())) == CASES


@pytest.mark.parametrize(
    ("scheme", "name"),
    [("ct", "CT"), ("none", "noNorm"), ("z_score", "image"), ("percentile", "image")],
)
def test_channels_have_the_names_by_which_nnunet_takes_the_studys_scheme(tmp_path, scheme, name):
    """`CT`, `noNorm` and anything else: keys of nnunetv2's `channel_name_to_normalization_mapping`.

    Only the channels that the study takes are there.
    """
    toy = Toy(tmp_path, 2, normalisation=scheme, channels=[2, 0])
    names = read_json(toy.out / "dataset.json")["channel_names"]
    assert names == {"0": name, "1": name}
    image, _ = drawn(3, 2)
    for channel, expected in enumerate((255 - image, image)):
        read = SimpleITK.ReadImage(toy.out / "imagesTr" / f"case3_{channel:04d}.nii.gz")
        assert np.array_equal(SimpleITK.GetArrayFromImage(read).T, expected)
    assert len(list((toy.out / "imagesTr").iterdir())) == 2 * CASES
    linked = {path.name[-len("0000.nii.gz") :] for path in toy.out.glob("imagesTs_fold0/*")}
    assert linked == {"0000.nii.gz", "0001.nii.gz"}


def test_nnunet_trains_and_validates_on_the_cases_of_the_fold_and_never_on_its_test_cases(toy):
    for k, split in enumerate(read_json(toy.out / "splits_final.json")):
        fold = toy.folds.fold(k)
        assert (tuple(split["train"]), tuple(split["val"])) == (fold.train, fold.validation)
        tested = {path.name[: -len("_0000.nii.gz")] for path in toy.out.glob(f"imagesTs_fold{k}/*")}
        assert tested == set(fold.test) and not tested & {*split["train"], *split["val"]}


def test_the_exported_masks_as_predictions_have_a_dice_of_one(toy):
    scores = toy.score(toy.predictions())
    assert sorted(set(scores["case"])) == sorted(toy.folds.fold(1).test)
    assert set(scores.loc[scores["metric"] == "dice", "value"]) == {1.0}
    assert set(scores.loc[scores["metric"] == "hd95", "value"]) == {0.0}
    assert set(scores["model"]) == {"other"} and set(scores["fold"]) == {1}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_moved_by_a_voxel_has_the_dice_of_its_side_and_the_spacing_as_distance(volumes, axis):
    # SimpleITK counts axes from the last.
    moved = volumes.predictions(lambda array, case: np.roll(array, 1, axis=2 - axis))
    scores = volumes.score(moved)
    of_box = scores[scores["class"] == 1].set_index("metric")["value"]
    assert of_box["dice"].to_numpy() == pytest.approx((SIDES[axis] - 1) / SIDES[axis])
    assert of_box["hd95"].to_numpy() == pytest.approx(SPACING[3][axis])


def test_predictions_in_the_axes_of_the_original_files_are_turned(volumes):
    folder = volumes.folder / "turned"
    folder.mkdir()
    for case in volumes.folds.fold(1).test:
        _, mask = drawn(volumes.number(case), 3)
        nib.save(nib.Nifti1Image(*as_stored(mask)), folder / f"{case}.nii")
    scores = volumes.score(folder)
    assert set(scores.loc[scores["metric"] == "dice", "value"]) == {1.0}


def test_pictures_may_be_png(pictures):
    folder = pictures.folder / "png"
    folder.mkdir()
    for case in pictures.folds.fold(1).test:
        _, mask = drawn(pictures.number(case), 2)
        Image.fromarray(np.roll(mask, 1, axis=1)).save(folder / f"{case}.png")
    dice = pictures.score(folder).query("metric == 'dice' and `class` == 1")["value"]
    assert dice.to_numpy() == pytest.approx((SIDES[1] - 1) / SIDES[1])


def test_a_study_that_resamples_exports_and_scores_on_the_cases_own_grid(tmp_path):
    toy = Toy(tmp_path, 3, working_grid=[8, 8, 8])
    assert set(toy.score(toy.predictions()).query("metric == 'dice'")["value"]) == {1.0}


def replaced(toy, array, affine=None):
    """Predictions of which the first is replaced; returns the folder and that case."""
    folder, case = toy.predictions(), toy.folds.fold(1).test[0]
    affine = np.diag([*SPACING[3], 1]) if affine is None else affine
    nib.save(nib.Nifti1Image(array, affine), folder / f"{case}.nii.gz")
    return folder, case


def test_another_grid_is_refused(volumes):
    shape = np.array(
        volumes.store.original_shape(volumes.store.index(volumes.folds.fold(1).test[0]))
    )
    folder, case = replaced(volumes, np.zeros((*shape[:2], shape[2] + 1), np.uint8))
    with pytest.raises(DataError, match=rf"{case}.*has shape .*resample"):
        volumes.score(folder)


def test_another_spacing_is_refused(volumes):
    shape = volumes.store.original_shape(volumes.store.index(volumes.folds.fold(1).test[0]))
    folder, case = replaced(volumes, np.zeros(shape, np.uint8), np.diag([1.5, 0.5, 1.0, 1.0]))
    with pytest.raises(DataError, match=rf"{case}.*has spacing \(1.5, 0.5, 1.0\)"):
        volumes.score(folder)


@pytest.mark.parametrize("value", [3, 255, 0.5, np.nan])
def test_what_is_no_class_is_refused(volumes, value):
    shape = volumes.store.original_shape(volumes.store.index(volumes.folds.fold(1).test[0]))
    folder, case = replaced(volumes, np.full(shape, value, np.float32))
    with pytest.raises(DataError, match=rf"{case}.*holds {value:g}.*0, 1, 2"):
        volumes.score(folder)


def test_exactly_one_file_per_test_case_is_scored(volumes):
    folder, case = volumes.predictions(), volumes.folds.fold(1).test[0]
    taken = (folder / f"{case}.nii.gz").rename(folder / "elsewhere")
    with pytest.raises(DataError, match=rf"1 missing \({case}\)"):
        volumes.score(folder)
    taken.rename(folder / f"{case}.nii.gz")
    with pytest.raises(DataError, match=r"6 missing .* 6 not tested here"):
        volumes.score(folder, fold=0)
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / f"{case}.png")
    with pytest.raises(DataError, match="of the same case"):
        volumes.score(folder)


def test_an_unreadable_file_and_a_coloured_picture_are_refused(pictures):
    folder, case = pictures.predictions(), pictures.folds.fold(1).test[0]
    (folder / f"{case}.nii.gz").write_bytes(b"no volume")
    with pytest.raises(DataError, match=rf"{case}.*cannot be read"):
        pictures.score(folder)
    (folder / f"{case}.nii.gz").unlink()
    Image.fromarray(np.zeros((20, 17, 3), np.uint8)).save(folder / f"{case}.png")
    with pytest.raises(DataError, match=rf"{case}.*mode is 'RGB'"):
        pictures.score(folder)


@pytest.mark.parametrize("name", ["unet", "nnU-Net"])
def test_the_name_of_a_model_and_no_name_are_refused(volumes, name):
    with pytest.raises(StudyError, match=name):
        score_external(volumes.study, "toy", name, 1, volumes.predictions())


def test_an_export_never_replaces_and_fits_its_originals(volumes):
    with pytest.raises(DataError, match="is there already"):
        volumes.export(volumes.out)
    _, mask = drawn(3, 3)
    nib.save(nib.Nifti1Image(*as_stored(np.roll(mask, 1, axis=0))), volumes.raw / "mask3.nii.gz")
    other = volumes.folder / "other"
    with pytest.raises(DataError, match=r"case3.*prepare the dataset again"):
        volumes.export(other)
    assert not other.exists()


def test_the_difference_is_paired_by_group_with_students_interval(volumes):
    shifts = [0, 1, 2, 1, 0, 1]
    volumes.score(volumes.predictions(lambda array, case: np.roll(array, 1, axis=2)))
    volumes.score_model(shifts)
    table = compare_external(volumes.study, "toy", "other", 1, "unet").set_index(
        ["class", "metric"]
    )
    # A box of three voxels moved by s keeps (3 - s) / 3 of itself.
    own, other = 1 - np.array(shifts) / 3, 2 / 3
    expected = stats.ttest_1samp(own - other, 0).confidence_interval(0.95)
    row = table.loc[("1", "dice")]
    assert (row["mean"], row["mean_model"]) == pytest.approx((other, own.mean()))
    assert row["difference"] == pytest.approx(own.mean() - other)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["cases"], row["groups"]) == (6, 6)


def test_scores_on_other_folds_are_not_compared(volumes):
    volumes.score(volumes.predictions())
    run = volumes.score_model([0] * 6)
    write_json(run / "run.json", {"data_hash": volumes.folds.data_hash, "folds_hash": "other"})
    with pytest.raises(DataError, match="folds_hash is other"):
        compare_external(volumes.study, "toy", "other", 1, "unet")
    with pytest.raises(StudyError, match="unet"):
        compare_external(volumes.study, "toy", "other", 1, "unte")


def test_the_command_line_labels_them_as_made_elsewhere(tmp_path, monkeypatch, capsys):
    study = tmp_path / "study.yaml"
    out = tmp_path / "out"
    study.write_text(
        f"{{name: trial, datasets: [phantom2d], models: [unet], metrics: [dice], output: {out}, "
        "folds: {outer: 5}}"
    )

    def attnbench(*arguments):
        monkeypatch.setattr(
            sys, "argv", ["attnbench", *arguments, "--study", str(study), "--dataset", "phantom2d"]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err

    raw = tmp_path / "Dataset001_phantom2d"
    for arguments in (("prepare",), ("folds",), ("export-nnunet", str(raw))):
        attnbench(*arguments)
    predictions = tmp_path / "predictions"
    predictions.mkdir()
    for path in (raw / "imagesTs_fold2").iterdir():
        name = path.name.replace("_0000", "")
        (predictions / name).write_bytes((raw / "labelsTr" / name).read_bytes())
    attnbench("score-external", "--name", "other", "--fold", "2", str(predictions))
    said = capsys.readouterr().out
    assert "other*" in said and "predictions made elsewhere" in said and "1.000" in said
    origin = json.loads((out / "external/phantom2d/other/fold2/origin.json").read_text())
    assert origin["origin"] == "predictions made elsewhere"
    assert set(origin["sha256"]) == {path.name.split(".")[0] for path in predictions.iterdir()}
