"""From originals to nnU-Net's files, and from another tool's predictions to scores."""

import csv
import re
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from PIL import Image
from scipy import stats

from attnbench.analysis.external import compare_fold
from attnbench.catalog import load_entry
from attnbench.check import check_study
from attnbench.cli import main
from attnbench.data.folds import load_folds, write_folds
from attnbench.data.nnunet import export_nnunet
from attnbench.data.prepare import prepare_dataset
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, SealError, StudyError
from attnbench.files import read_json, sha256_of, write_json
from attnbench.scoring.external import external_run, score_external
from attnbench.scoring.run import score_run
from attnbench.study.paths import Run
from attnbench.training.sealed import seal_run
from attnbench.training.stamp import identity
from sealing import reseal

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
        self._originals()
        self.entry = load_entry("toy", (folder,))
        dataset = {"name": "toy", **own} | ({"size": working_grid} if working_grid else {})
        self.predicted = folder / "predictions" / "fold1"
        self.elsewhere = {
            "folder": f"{folder}/predictions/fold{{fold}}",
            "origin": "another tool, 3 epochs",
        }
        self.content = {
            "name": "trial",
            "catalog": [str(folder)],
            "datasets": [dataset],
            "models": ["unet", {"name": "other", "predictions": self.elsewhere}],
            "metrics": ["dice", "hd95"],
            "folds": {"outer": 2, "inner": 3},
            "output": str(folder / "out"),
        }
        self.study = check_study(self.content)
        layout = self.study.layout
        self.prepared, self.split = layout.prepared("toy"), layout.folds("toy")
        prepare_dataset(self.entry, self.study.dataset("toy"), self.raw, self.prepared)
        write_folds(self.prepared, self.study.folds, self.split)
        self.store = CaseStore.open(self.prepared)
        self.folds = load_folds(self.split, self.store)
        self.out = folder / "nnunet" / "Dataset001_toy"
        self.export(self.out)

    def _originals(self):
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
        self.list_originals()
        words = ("title", "short", "task", "modality", "licence", "citation")
        write_json(
            self.folder / "toy.yaml",  # JSON is YAML
            {
                **dict.fromkeys(words, "toy"),
                "name": "toy",
                "ndim": self.ndim,
                "channels": {2: 3, 3: 1}[self.ndim],
                "classes": {1: "box", 2: "small"},
                "spacing_unit": "mm" if self.ndim == 3 else "px",
                "axes": list("abc"[: self.ndim]),
                "mirror": {"axes": [], "reason": "toy"},
                "cases": CASES,
                "groups": CASES,
                "groups_inferred": False,
                "origin": {"kind": "local", "folder": "raw"},
                "reader": "nifti" if self.ndim == 3 else "index_mask",
            },
        )

    def list_originals(self):
        """The table of the originals as they are now."""
        rows = []
        for number in range(CASES):
            for role in ("image", "mask"):
                path = self.raw / f"{role}{number}{'.nii.gz' if self.ndim == 3 else '.png'}"
                facts = path.stat().st_size, sha256_of(path)
                rows.append((path.name, *facts, role, f"case{number}", f"group{number}"))
        listing = self.folder / "toy.files.csv"
        with listing.open("w", newline="") as stream:
            csv.writer(stream).writerows(
                [("path", "bytes", "sha256", "role", "case", "group"), *rows]
            )

    def export(self, folder):
        settings = self.study.dataset("toy")
        export_nnunet(self.entry, settings, self.raw, self.prepared, self.split, folder)

    def number(self, case):
        return int(case.removeprefix("case"))

    def predictions(self, change=lambda array, case: array, fold=1):
        """A folder as nnU-Net leaves it: masks of a fold written by SimpleITK over its images."""
        folder = self.predicted.with_name(f"fold{fold}")
        folder.mkdir(parents=True)
        for case in self.folds.fold(fold).test:
            image = SimpleITK.ReadImage(self.out / f"imagesTs_fold{fold}" / f"{case}_0000.nii.gz")
            mask = SimpleITK.ReadImage(self.out / "labelsTr" / f"{case}.nii.gz")
            array = change(SimpleITK.GetArrayFromImage(mask), case)
            written = SimpleITK.GetImageFromArray(array.astype(np.uint8))
            written.CopyInformation(image)
            SimpleITK.WriteImage(written, folder / f"{case}.nii.gz")
        write_json(folder / "plans.json", {"left": "alone"})
        return folder

    def score(self, fold=1, **elsewhere):
        """Scores of the predictions of a fold; `elsewhere` are further keys of `predictions`."""
        model = {"name": "other", "predictions": self.elsewhere | elsewhere}
        study = check_study(self.content | {"models": ["unet", model]})
        run = external_run(study, "toy", "other", fold, None)
        score_external(study, run)
        path = study.layout.run(run) / "scores.csv"
        return pd.read_csv(path, keep_default_na=False, na_values={"value": [""]})

    def refused(self, fold=1, **elsewhere):
        """What is said of predictions that are not scored, and leave nothing behind."""
        with pytest.raises(DataError) as error:
            self.score(fold, **elsewhere)
        assert not list(self.study.layout.run(Run("toy", "other", fold, 0)).glob("*"))
        return str(error.value)

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
        stamp = {**identity(self.study, run), **hashes}
        seal_run(self.study, run, "train", stamp, ["run.json"])
        seal_run(self.study, run, "predict", stamp, ["predictions.npz"])
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


def test_the_export_lies_where_the_originals_do(volumes):
    """nibabel's own turn of the originals: the same place, axes right, anterior, superior."""
    for number in range(CASES):
        expected = nib.as_closest_canonical(nib.load(volumes.raw / f"image{number}.nii.gz"))
        for part in (f"imagesTr/case{number}_0000", f"labelsTr/case{number}"):
            exported = nib.load(volumes.out / f"{part}.nii.gz")
            assert np.allclose(exported.affine, expected.affine)
            assert exported.shape == expected.shape
        image = nib.load(volumes.out / f"imagesTr/case{number}_0000.nii.gz")
        assert np.array_equal(image.get_fdata(), expected.get_fdata())


def test_the_exported_masks_as_predictions_have_a_dice_of_one(toy):
    toy.predictions()
    scores = toy.score()
    assert sorted(set(scores["case"])) == sorted(toy.folds.fold(1).test)
    assert set(scores.loc[scores["metric"] == "dice", "value"]) == {1.0}
    assert set(scores.loc[scores["metric"] == "hd95", "value"]) == {0.0}
    assert set(scores["model"]) == {"other"} and set(scores["fold"]) == {1}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_moved_by_a_voxel_has_the_dice_of_its_side_and_the_spacing_as_distance(volumes, axis):
    # SimpleITK counts axes from the last.
    volumes.predictions(lambda array, case: np.roll(array, 1, axis=2 - axis))
    scores = volumes.score()
    of_box = scores[scores["class"] == 1].set_index("metric")["value"]
    assert of_box["dice"].to_numpy() == pytest.approx((SIDES[axis] - 1) / SIDES[axis])
    assert of_box["hd95"].to_numpy() == pytest.approx(SPACING[3][axis])


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "mha", "nrrd"])
def test_predictions_in_the_axes_of_the_original_files_are_turned(volumes, ending):
    volumes.predicted.mkdir(parents=True)
    for case in volumes.folds.fold(1).test:
        _, mask = drawn(volumes.number(case), 3)
        nifti = volumes.folder / "one.nii"
        nib.save(nib.Nifti1Image(*as_stored(mask)), nifti)
        SimpleITK.WriteImage(SimpleITK.ReadImage(nifti), volumes.predicted / f"{case}.{ending}")
    scores = volumes.score()
    assert set(scores.loc[scores["metric"] == "dice", "value"]) == {1.0}


@pytest.mark.parametrize("ending", ["png", "bmp", "tif"])
def test_pictures_may_be_what_loses_nothing(pictures, ending):
    pictures.predicted.mkdir(parents=True)
    for case in pictures.folds.fold(1).test:
        _, mask = drawn(pictures.number(case), 2)
        Image.fromarray(np.roll(mask, 1, axis=1)).save(pictures.predicted / f"{case}.{ending}")
    dice = pictures.score().query("metric == 'dice' and `class` == 1")["value"]
    assert dice.to_numpy() == pytest.approx((SIDES[1] - 1) / SIDES[1])


def test_a_study_that_resamples_exports_and_scores_on_the_cases_own_grid(tmp_path):
    toy = Toy(tmp_path, 3, working_grid=[8, 8, 8])
    toy.predictions()
    assert set(toy.score().query("metric == 'dice'")["value"]) == {1.0}


def test_a_run_has_an_origin_and_no_recipe(volumes):
    folder = volumes.predictions()
    volumes.score()
    run = volumes.study.layout.run(Run("toy", "other", 1, 0))
    facts = read_json(run / "run.json")
    assert facts["origin"] == "another tool, 3 epochs" and "recipe_hash" not in facts
    assert facts["data_hash"] == volumes.store.info.content_hash
    assert facts["folds_hash"] == volumes.folds.hash and facts["missing"] == []
    assert facts["sha256"] == {
        path.name.removesuffix(".nii.gz"): sha256_of(path) for path in folder.glob("*.nii.gz")
    }
    with np.load(run / "predictions.npz") as masks:
        for case in volumes.folds.fold(1).test:
            _, mask = drawn(volumes.number(case), 3)
            assert np.array_equal(masks[case], mask)


def replaced(toy, array, affine):
    """Predictions of which the first is replaced; returns that case."""
    folder, case = toy.predictions(), toy.folds.fold(1).test[0]
    nib.save(nib.Nifti1Image(array, affine), folder / f"{case}.nii.gz")
    return case


def affine_of(toy):
    """Where the first tested case lies, by nibabel."""
    number = toy.number(toy.folds.fold(1).test[0])
    return nib.as_closest_canonical(nib.load(toy.raw / f"image{number}.nii.gz")).affine


def shape_of(toy):
    return toy.store.original_shape(toy.store.index(toy.folds.fold(1).test[0]))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (lambda x, y, z: (x, y, z + 1), "resample"),
        (lambda x, y, z: (z, y, x), "same sides in another order"),
        (lambda x, y, z: (x, y, z, 3), "3 numbers per voxel.*argmax"),
    ],
)
def test_another_grid_is_refused(volumes, shape, words):
    case = replaced(volumes, np.zeros(shape(*shape_of(volumes)), np.uint8), affine_of(volumes))
    said = volumes.refused()
    assert f"{case}.nii.gz: has" in said and re.search(words, said)


def test_another_spacing_is_refused(volumes):
    case = replaced(volumes, np.zeros(shape_of(volumes), np.uint8), np.diag([1.5, 0.5, 1.0, 1.0]))
    assert f"{case}.nii.gz: has spacing 1.5 x 0.5 x 1, the case 1.5 x 0.5 x 2" in volumes.refused()


def test_what_lies_elsewhere_is_refused(volumes):
    """Shifted by a voxel; and an array in the original's axes whose affine was lost."""
    shifted = affine_of(volumes)
    shifted[0, 3] += SPACING[3][0]
    case = replaced(volumes, np.zeros(shape_of(volumes), np.uint8), shifted)
    # Counted in the smallest side, 0.5 mm.
    assert f"{case}.nii.gz: lies 3 voxels away" in volumes.refused()
    _, mask = drawn(volumes.number(case), 3)
    # In the order of the right axes, still mirrored along two of them.
    mirrored = np.transpose(as_stored(mask)[0], (2, 0, 1))
    lost = nib.Nifti1Image(mirrored, np.diag([*SPACING[3], 1]))
    nib.save(lost, volumes.predicted / f"{case}.nii.gz")
    assert "may be shifted, mirrored or turned" in volumes.refused()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "holds 3; allowed are the classes 0, 1, 2"),
        (255, "holds 255"),
        (0.5, "holds 0.5; .*probabilities"),
        (-1, "holds -1"),
        (1.5, "holds 1.5"),
        (np.nan, "holds nan"),
    ],
)
def test_what_is_no_class_is_refused(volumes, value, words):
    array = np.full(shape_of(volumes), value, np.float32)
    case = replaced(volumes, array, affine_of(volumes))
    assert re.search(rf"{case}\.nii\.gz: {words}", volumes.refused())


def test_classes_may_be_stored_as_floats(volumes):
    _, mask = drawn(volumes.number(volumes.folds.fold(1).test[0]), 3)
    replaced(volumes, mask.astype(np.float64), affine_of(volumes))
    assert set(volumes.score().query("metric == 'dice'")["value"]) == {1.0}


def test_every_wrong_file_is_named_at_once(pictures):
    folder, cases = pictures.predictions(), sorted(pictures.folds.fold(1).test)
    unread, doubled, empty, soft, coloured, gone = cases
    (folder / f"{unread}.nii.gz").write_bytes(b"no volume")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / f"{doubled}.png")
    (folder / f"{empty}.nii.gz").write_bytes(b"")
    for case in (soft, coloured, gone):
        (folder / f"{case}.nii.gz").unlink()
    shape = drawn(pictures.number(soft), 2)[1].shape
    nib.save(nib.Nifti1Image(np.full(shape, 0.25), np.eye(4)), folder / f"{soft}.nii.gz")
    shape = drawn(pictures.number(coloured), 2)[1].shape
    colours = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    Image.fromarray(colours).save(folder / f"{coloured}.png")
    foreign = pictures.folds.fold(0).test[0]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / f"{foreign}.png")
    said = pictures.refused()
    for words in (
        f"{unread}.nii.gz: cannot be read",
        f"several files of one case, keep one: {doubled}.nii.gz, {doubled}.png",
        f"{empty}.nii.gz: is empty (0 bytes)",
        f"{soft}.nii.gz: holds 0.25",
        f"{coloured}.png: is in colours",
        f"1 of 6 test cases have no file: {gone};",
        f"1 file(s) of no case that is tested here: {foreign}.png; is it the folder of another",
    ):
        assert words in said, (words, said)


def test_a_folder_of_another_fold_and_one_without_masks_are_refused(volumes):
    volumes.predictions()
    assert "no such folder" in volumes.refused(fold=0)
    volumes.predicted.rename(volumes.predicted.with_name("fold0"))
    said = volumes.refused(fold=0)
    missing, extra = volumes.folds.fold(0).test, volumes.folds.fold(1).test
    assert all(case in said for case in missing) and all(f"{case}.nii.gz" in said for case in extra)
    volumes.predicted.mkdir()
    (volumes.predicted / "plans.json").write_text("{}")
    assert "no file of a mask in it" in volumes.refused()


def test_missing_cases_count_as_empty_masks_where_the_study_says_so(volumes):
    folder, case = volumes.predictions(), volumes.folds.fold(1).test[2]
    (folder / f"{case}.nii.gz").unlink()
    assert f"have no file: {case};" in volumes.refused()
    scores = volumes.score(missing="empty").query("metric == 'dice'").set_index("case")
    assert set(scores.loc[case, "value"]) == {0.0}
    assert set(scores.loc[case, "status"]) == {"prediction_empty"}
    assert set(scores.drop(case)["value"]) == {1.0}
    facts = read_json(volumes.study.layout.run(Run("toy", "other", 1, 0)) / "run.json")
    assert facts["missing"] == [case] and case not in facts["sha256"]


def test_one_folder_may_have_the_cases_of_all_folds(volumes):
    volumes.predictions(fold=0)
    volumes.predictions(fold=1)
    together = volumes.folder / "together"
    together.mkdir()
    for path in volumes.predicted.parent.glob("fold?/*.nii.gz"):
        path.rename(together / path.name)
    for fold in (0, 1):
        scores = volumes.score(fold=fold, folder=str(together))
        assert sorted(set(scores["case"])) == sorted(volumes.folds.fold(fold).test)
        assert set(scores.query("metric == 'dice'")["value"]) == {1.0}


def test_an_export_never_replaces_and_fits_its_originals(volumes):
    with pytest.raises(DataError, match="is there already"):
        volumes.export(volumes.out)
    _, mask = drawn(3, 3)
    nib.save(nib.Nifti1Image(*as_stored(np.roll(mask, 1, axis=0))), volumes.raw / "mask3.nii.gz")
    other = volumes.folder / "other"
    with pytest.raises(DataError, match=r"case3.*is not the file that was listed"):
        volumes.export(other)
    # The dataset is added again with the other mask, and the store is still that of before.
    volumes.list_originals()
    with pytest.raises(DataError, match=r"case3.*prepare the dataset again"):
        volumes.export(other)
    assert not other.exists()


def test_the_difference_is_paired_by_group_with_students_interval(volumes):
    shifts = [0, 1, 2, 1, 0, 1]
    volumes.predictions(lambda array, case: np.roll(array, 1, axis=2))
    volumes.score()
    run = Run("toy", "other", 1, 0)
    assert compare_fold(volumes.study, run)["difference"].isna().all()
    volumes.score_model(shifts)
    table = compare_fold(volumes.study, run).set_index(["class", "metric"])
    # A box of three voxels moved by s keeps (3 - s) / 3 of itself.
    own, other = 1 - np.array(shifts) / 3, 2 / 3
    expected = stats.ttest_1samp(other - own, 0).confidence_interval(0.95)
    row = table.loc[("1", "dice")]
    assert (row["mean"], row["mean_baseline"]) == pytest.approx((other, own.mean()))
    assert row["difference"] == pytest.approx(other - own.mean())
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["cases"], row["groups"]) == (6, 6)


def test_scores_on_other_folds_are_not_compared(volumes):
    volumes.predictions()
    volumes.score()
    run = volumes.score_model([0] * 6)
    write_json(run / "run.json", {"data_hash": volumes.folds.data_hash, "folds_hash": "other"})
    with pytest.raises(SealError, match=r"unet/fold1-seed0/run\.json: has \d+ bytes, its job left"):
        compare_fold(volumes.study, Run("toy", "other", 1, 0))
    reseal(volumes.study, Run("toy", "unet", 1, 0), "train", folds_hash="other")
    with pytest.raises(DataError, match="folds_hash is other"):
        compare_fold(volumes.study, Run("toy", "other", 1, 0))


@pytest.mark.parametrize("model", ["unet", "other"])
def test_scores_that_were_changed_are_not_compared(volumes, model):
    volumes.predictions()
    volumes.score()
    volumes.score_model([1] * 6)
    compare_fold(volumes.study, Run("toy", "other", 1, 0))
    path = volumes.study.layout.run(Run("toy", model, 1, 0)) / "scores.csv"
    path.write_text(path.read_text().replace(",ok", ",ok ", 1))
    with pytest.raises(SealError, match=rf"{model}/fold1-seed0/scores\.csv"):
        compare_fold(volumes.study, Run("toy", "other", 1, 0))


@pytest.mark.parametrize(
    ("model", "fold", "seed", "words"),
    [
        ("unet", 1, None, "trained by this study"),
        ("other", 2, None, "no such run"),
        ("other", 1, 3, "no such run"),
        ("othr", 1, None, "other"),
    ],
)
def test_only_runs_of_the_study_that_were_made_elsewhere_are_scored(
    volumes, model, fold, seed, words
):
    with pytest.raises(StudyError, match=words):
        external_run(volumes.study, "toy", model, fold, seed)


def test_the_command_line_labels_them_as_made_elsewhere(tmp_path, monkeypatch, capsys):
    study, predictions = tmp_path / "study.yaml", tmp_path / "predictions"
    study.write_text(
        "{name: trial, datasets: [phantom2d], metrics: [dice], folds: {outer: 5}, "
        f"output: '{tmp_path / 'out'}', models: [unet, {{name: other, predictions: "
        f"{{folder: '{predictions}', origin: a copy}}}}]}}"
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
    predictions.mkdir()
    for path in (raw / "imagesTs_fold2").iterdir():
        name = path.name.replace("_0000", "")
        (predictions / name).write_bytes((raw / "labelsTr" / name).read_bytes())
    attnbench("score-external", "--model", "other", "--fold", "2")
    said = capsys.readouterr().out
    assert "Other§" in said and "predictions made elsewhere: a copy" in said and "1.000" in said
