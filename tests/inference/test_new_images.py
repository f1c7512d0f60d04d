"""New images: as the study's own cases where they are such, refused where they cannot be read."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from attnbench.data.folds import load_folds
from attnbench.data.store import CaseStore
from attnbench.errors import CheckpointError, DataError, StudyError
from attnbench.inference.new_images import predict_images, runs_named, write_predictions
from attnbench.inference.trained import trained_network
from attnbench.study.paths import Run


def fold_of(study, dataset, number=0):
    store = CaseStore.open(study.layout.prepared(dataset))
    return store, load_folds(study.layout.folds(dataset), store).fold(number)


def read(path):
    if path.suffix == ".png":
        return np.array(Image.open(path))
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asanyarray(image.dataobj)


@pytest.mark.parametrize("dataset", ["scans", "cells"])
def test_an_original_is_predicted_as_the_case_that_it_is(trained, tmp_path, dataset):
    """Read, resampled and normalised anew: voxel by voxel what the run itself has predicted."""
    _, fold = fold_of(trained.study, dataset)
    files = [path for case in fold.test for path in trained.image(case)]
    write_predictions(trained.study, f"{dataset}/unet/fold0-seed0", files, tmp_path)
    with np.load(trained.study.output / f"runs/{dataset}/unet/fold0-seed0/predictions.npz") as kept:
        foreground = 0
        for case in fold.test:
            (path,) = tmp_path.glob(f"{case}.*")
            np.testing.assert_array_equal(read(path), kept[case])
            foreground += np.count_nonzero(kept[case])
    assert foreground > 0


@pytest.mark.parametrize("dataset", ["scans", "cells"])
def test_an_ensemble_is_the_explicit_mean_of_its_members(trained, tmp_path, dataset):
    study, (store, fold) = trained.study, fold_of(trained.study, dataset)
    case = fold.test[0]
    each = []
    for number in range(2):
        with trained_network(study, Run(dataset, "unet", number, 0)) as one:
            each.append(next(one.predict(store, [store.index(case)])).numpy().astype(np.float64))
    assert (each[0].argmax(axis=0) != each[1].argmax(axis=0)).any()
    (found,) = predict_images(study, f"{dataset}/unet", trained.image(case))
    np.testing.assert_allclose(found.on_grid, np.mean(each, axis=0), atol=1e-6)
    assert found.probabilities.shape[1:] == found.mask.shape
    np.testing.assert_array_equal(found.probabilities.argmax(axis=0), found.mask)
    assert found.classes == {1: "a", 2: "b"}


def test_the_same_volume_in_other_axes_and_another_format_is_predicted_the_same(trained, tmp_path):
    case = fold_of(trained.study, "scans")[1].test[0]
    for number, path in enumerate(trained.image(case)):
        image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "SPL")
        SimpleITK.WriteImage(image, str(tmp_path / f"other_{number:04d}.mha"))
    new = [tmp_path / f"other_{number:04d}.mha" for number in range(2)]
    name = "scans/unet/fold0-seed0"
    write_predictions(trained.study, name, [*new, *trained.image(case)], tmp_path / "out")
    turned = SimpleITK.ReadImage(str(tmp_path / "out/other.nii.gz"))
    np.testing.assert_allclose(turned.GetOrigin(), image.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(turned.GetDirection(), image.GetDirection(), atol=1e-5)
    assert turned.GetSize() == image.GetSize()
    np.testing.assert_array_equal(
        read(tmp_path / "out/other.nii.gz"), read(tmp_path / f"out/{case}.nii.gz")
    )


def test_an_image_is_known_by_what_it_shows_and_told_by_its_part_of_every_fold(
    trained, tmp_path, caplog
):
    study, (_, fold) = trained.study, fold_of(trained.study, "scans")
    other = fold_of(study, "scans", 1)[1]
    (tmp_path / "new").mkdir()
    chosen = {
        "one": fold.train[0],
        "two": fold.validation[0],
        "three": fold.test[0],
    }
    for name, case in chosen.items():
        for number, path in enumerate(trained.image(case)):
            image = nibabel.load(path)
            # The same numbers in another type.
            array = np.asanyarray(image.dataobj).astype(np.float32)
            nibabel.save(
                nibabel.Nifti1Image(array, image.affine),
                tmp_path / f"new/{name}_{number:04d}.nii.gz",
            )
            nibabel.save(
                nibabel.Nifti1Image(array + (array > 100), image.affine),
                tmp_path / f"new/{name}-changed_{number:04d}.nii.gz",
            )
    write_predictions(study, "scans/unet/fold0-seed0", [tmp_path / "new"], tmp_path / "out")
    warned = [line for line in caplog.messages if line.startswith("warning:")]
    assert len(warned) == 2
    assert f"one shows case {chosen['one']!r}: training case" in warned[0]
    assert f"two shows case {chosen['two']!r}: validation case" in warned[1]
    summary = json.loads((tmp_path / "out/predictions.json").read_text())["images"]
    assert summary["three.nii.gz"]["cases"] == {chosen["three"]: {"test": 1}}
    assert all(summary[f"{name}-changed.nii.gz"]["cases"] == {} for name in chosen)
    caplog.clear()
    write_predictions(study, "scans/unet", trained.image(chosen["three"]), tmp_path / "both")
    parts = {"training": other.train, "validation": other.validation, "test": other.test}
    (role,) = (role for role, cases in parts.items() if chosen["three"] in cases)
    (warned,) = (line for line in caplog.messages if line.startswith("warning:"))
    assert "test case of 1 of them" in warned
    assert f"{role} case of 1 of them" in warned


def test_probabilities_beside_the_masks(trained, tmp_path):
    case = fold_of(trained.study, "cells")[1].test[0]
    write_predictions(
        trained.study, "cells/unet", trained.image(case), tmp_path, probabilities=True
    )
    each = np.stack([
        np.array(Image.open(tmp_path / f"probabilities/{case}_class{number}.png"))
        for number in range(3)
    ])  # fmt: skip
    assert each.dtype == np.uint16
    np.testing.assert_allclose(each.sum(axis=0), 65535, atol=2)
    mask = np.array(Image.open(tmp_path / f"{case}.png"))
    np.testing.assert_array_equal(
        np.take_along_axis(each, mask[None].astype(int), 0)[0], each.max(0)
    )


def test_what_no_model_can_take_is_named_all_at_once(trained, tmp_path):
    first, second = trained.image("scans0")
    bad = tmp_path / "bad"
    bad.mkdir()
    volume = nibabel.load(first)
    array = np.asanyarray(volume.dataobj).astype(np.float32)

    def save(name, content, unit="mm"):
        image = nibabel.Nifti1Image(content, volume.affine)
        image.header.set_xyzt_units(unit)
        nibabel.save(image, bad / name)

    save("one_channel.nii.gz", array)
    save("flat.nii.gz", array[..., 0])
    save("microns.nii.gz", np.stack([array] * 2, -1), "micron")
    save("holes.nii.gz", np.stack([array * np.nan] * 2, -1))
    (bad / "torn.nii.gz").write_bytes(first.read_bytes()[:200])
    shutil.copy(first, bad / "a_0000.nii.gz")
    save("a_0001.nii.gz", array[1:])
    Image.new("RGB", (20, 20)).save(bad / "photo.png")
    given = [*sorted(bad.iterdir()), bad / "absent.nii.gz", first, second, tmp_path / "empty"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        write_predictions(trained.study, "scans/unet", given, tmp_path / "out")
    lines = str(error.value).splitlines()
    assert lines[0].startswith("9 problem(s)")
    for name, said in {
        "photo.png": "no volume",
        "absent.nii.gz": "no such file",
        "empty": "holds no image",
        "a_0001.nii.gz": "channel has shape",
        "holes": "NaN",
        "microns.nii.gz": "measures in 'um'",
        "one_channel": r"has 1 channel(s), images of scans have 2",
        "torn.nii.gz": "cannot be read",
        "flat": "is a 2-D image; models of scans take 3-D ones",
    }.items():
        assert sum(name in line and said in line for line in lines[1:]) == 1, name
    assert not (tmp_path / "out").exists()


def test_pictures_of_other_channels_or_dimensions_are_refused(trained, tmp_path):
    Image.new("RGBA", (20, 20)).save(tmp_path / "rgba.png")  # opacity is dropped, as in training
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "grey.png")
    stack = np.zeros((3, 20, 20), np.uint8)
    Image.fromarray(stack[0]).save(
        tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(stack[1])]
    )
    np.save(tmp_path / "array.npy", stack)
    given = [tmp_path / name for name in ("rgba.png", "grey.png", "pages.tif", "array.npy")]
    given += trained.image("scans0")[:1]
    with pytest.raises(DataError) as error:
        list(predict_images(trained.study, "cells/unet", given))
    text = str(error.value)
    assert text.startswith("3 problem(s)")
    assert "2 pages" in text
    assert "no picture" in text
    assert "a volume; images of cells are pictures" in text
    masks = [one.mask for one in predict_images(trained.study, "cells/unet", given[:2])]
    assert [mask.shape for mask in masks] == [(20, 20)] * 2


def test_images_of_one_name_or_files_that_are_there_are_refused(trained, tmp_path):
    (tmp_path / "other").mkdir()
    (cell,) = trained.image("cells0")
    shutil.copy(cell, tmp_path / "other" / "CELLS0.png")
    with pytest.raises(DataError, match=r"CELLS0.png: predictions of both would have one name"):
        write_predictions(trained.study, "cells/unet", [cell, tmp_path / "other"], tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cells0.png").touch()
    with pytest.raises(DataError, match=r"is there already: .*out/cells0.png"):
        write_predictions(trained.study, "cells/unet", [cell], tmp_path / "out")
    assert (tmp_path / "out" / "cells0.png").stat().st_size == 0


def test_spacing_that_no_file_states_is_asked_for_and_decides_the_grid(trained, tmp_path):
    """Without orientation and with voxels of 1, a NIfTI header says nothing."""
    first = nibabel.load(trained.image("scans0")[0])
    array = np.stack([np.asanyarray(first.dataobj)] * 2, -1)
    silent = nibabel.Nifti1Image(array, None)
    silent.header["pixdim"][1:4] = 1
    path = tmp_path / "silent.nii.gz"
    nibabel.save(silent, path)
    with pytest.raises(DataError, match=r"states no spacing, .* 1.5 x 1.25 x 1.5 mm; say"):
        list(predict_images(trained.study, "scans/unet", [path]))
    with pytest.raises(DataError, match=r"has 2 values"):
        list(predict_images(trained.study, "scans/unet", [path], (1.0, 1.0)))
    # What nibabel takes a silent header for: the first axis towards the left.
    placed = nibabel.Nifti1Image(array, np.diag([-1.0, 1.0, 2.0, 1.0]))
    nibabel.save(placed, tmp_path / "placed.nii.gz")
    (said,) = predict_images(trained.study, "scans/unet", [path], (1.0, 1.0, 2.0))
    (stated,) = predict_images(trained.study, "scans/unet", [tmp_path / "placed.nii.gz"])
    (other,) = predict_images(trained.study, "scans/unet", [path], (2.0, 1.0, 2.0))
    np.testing.assert_array_equal(said.probabilities, stated.probabilities)
    assert (said.probabilities != other.probabilities).any()


def test_names_of_runs(trained):
    study = trained.study
    single = (Run("cells", "unet", 1, 0),)
    assert runs_named(study, "cells/unet/fold1-seed0") == single
    assert runs_named(study, f"{study.output}/runs/cells/unet/fold1-seed0/") == single
    assert runs_named(study, "cells/unet") == (Run("cells", "unet", 0, 0), *single)
    with pytest.raises(StudyError, match="did you mean 'cells/unet/fold1-seed0'"):
        runs_named(study, "cells/unet/fold1-seed1")
    with pytest.raises(StudyError, match="did you mean 'cells/unet'"):
        runs_named(study, "cell/unet")


def test_an_ensemble_without_a_member_is_refused_and_the_rest_predicts(own, tmp_path):
    (own.study.output / "runs/cells/unet/fold1-seed0/model.pt").unlink()
    (cell,) = own.image("cells0")
    with pytest.raises(CheckpointError, match=r"1 of 2 run\(s\) .*cells/unet/fold1-seed0"):
        list(predict_images(own.study, "cells/unet", [cell]))
    assert len(list(predict_images(own.study, "cells/unet/fold0-seed0", [cell]))) == 1
