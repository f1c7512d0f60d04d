"""Folders of volumes are recognised, and what is recognised reads as what was written there."""

import json
import re

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from attnbench.catalog import Entry
from attnbench.data.read import read_cases
from attnbench.intake.found import Options
from attnbench.intake.layouts import decathlon, medsegbench, nnunet, volumes

AFFINE = np.array([[1.5, 0, 0, -20], [0, 0.75, 0, 9], [0, 0, 2.0, 4], [0, 0, 0, 1]])
CASE = Options(groups="case")
NAMES = ("p1", "p2", "p3")


def volume(name, channel=0):
    rng = np.random.default_rng([*name.encode(), channel])
    return rng.integers(0, 200, (6, 7, 5)).astype(np.int16)


def parts(name):
    return np.digitize(volume(name), [120, 170]).astype(np.uint8)


def save(path, array, affine=AFFINE, unit="mm"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii.gz", ".nii")):
        image = nibabel.Nifti1Image(array, affine)
        image.header.set_xyzt_units(unit)
        nibabel.save(image, path)
    else:
        nibabel.save(nibabel.Nifti1Image(array, affine), path.parent / "t.nii")
        image = SimpleITK.ReadImage(str(path.parent / "t.nii"))
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
        SimpleITK.WriteImage(image, str(path))
        (path.parent / "t.nii").unlink()


def read_all(found, folder):
    """Every case by name, read as a study would read it."""
    listing = folder.parent / "toy.files.csv"
    rows = [f"{r.path},1,,{r.role},{r.case},{r.group}\n" for r in found.rows]
    listing.write_text("path,bytes,sha256,role,case,group\n" + "".join(rows))
    words = dict.fromkeys(("title", "short", "task", "licence", "citation"), "w")
    entry = Entry(
        name="toy", **words, modality=found.modality or "w", ndim=found.ndim, cases=1, groups=1,
        channels=found.channels, classes=found.classes, spacing=found.spacing,
        spacing_unit=found.spacing_unit, axes=found.axes, mirror={"axes": (), "reason": "e"},
        groups_inferred=False, listing=listing, origin={"kind": "local", "folder": folder},
        reader=found.reader,
    )  # fmt: skip
    return {case.case: case for case in read_cases(entry, folder)}


def check_cases(found, folder, names=NAMES, channels=1):
    assert found.problems == ()
    cases = read_all(found, folder)
    assert sorted(cases) == sorted(names)
    for name, case in cases.items():
        expected = [volume(name, channel) for channel in range(channels)]
        np.testing.assert_array_equal(case.image, expected)
        np.testing.assert_array_equal(case.mask, parts(name))
    return cases


def said(found):
    """Every problem with its files and flag, as one text."""
    return "\n".join(f"{p.text} | {', '.join(p.files)} | {p.flag}" for p in found.problems)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}", "labels/{}"),
        ("{}", "{}_seg"),
        ("imagesTr/{}_img", "masks/{}_mask"),
        ("{}/image", "{}/segmentation"),
    ],
)
def test_folders_and_names_that_people_use(tmp_path, ending, image, mask):
    folder = tmp_path / "data"
    for name in NAMES:
        save(folder / (image.format(name) + ending), volume(name))
        save(folder / (mask.format(name) + ending), parts(name))
    found = volumes.recognise(folder, CASE)
    assert said(found) == ""
    assert found.reader.name == "volume"
    assert (found.layout, found.ndim, found.channels) == ("volumes", 3, 1)
    assert found.classes == {1: "class_1", 2: "class_2"}
    cases = read_all(found, folder)
    assert len(cases) == 3
    for case in cases.values():
        name = next(name for name in NAMES if name in case.case)
        np.testing.assert_array_equal(case.image[0], volume(name))
        np.testing.assert_array_equal(case.mask, parts(name))
        assert case.spacing == (1.5, 0.75, 2.0)
    assert ending not in (".mhd", ".nhdr") or sum(row.role == "aux" for row in found.rows) == 6


@pytest.mark.parametrize("words", [("flair", "t1", "t1ce", "t2"), ("0000", "0001")])
def test_one_file_per_channel(tmp_path, words):
    folder = tmp_path / "data"
    for name in NAMES:
        for channel, word in enumerate(words):
            save(folder / f"{name}/{name}_{word}.nii.gz", volume(name, channel))
        save(folder / f"{name}/{name}_seg.nii.gz", parts(name))
    found = volumes.recognise(folder, CASE)
    check_cases(found, folder, channels=len(words))
    assert "channels" in {guess.what for guess in found.guesses}


def test_two_images_of_a_patient_each_with_its_mask_are_no_channels(tmp_path):
    folder = tmp_path / "data"
    for name in NAMES:
        for phase in ("ED", "ES"):
            save(folder / f"{name}/{name}_{phase}.nii.gz", volume(name))
            save(folder / f"{name}/{name}_{phase}_gt.nii.gz", parts(name))
    found = volumes.recognise(folder, CASE)
    assert (said(found), found.channels, len(read_all(found, folder))) == ("", 1, 6)


def test_one_mask_per_class_by_words_and_as_said(tmp_path):
    folder = tmp_path / "data"
    for name in NAMES:
        save(folder / f"{name}.nii.gz", volume(name))
        for number, organ in enumerate(("liver", "tumour"), 1):
            save(folder / f"{organ}/{name}_mask.nii.gz", (parts(name) == number).astype(np.uint8))
    options = Options(groups="case", masks={"liver": "liver", "tumour": "tumour"})
    found = volumes.recognise(folder, options)
    assert found.classes == {1: "liver", 2: "tumour"}
    check_cases(found, folder)
    (folder / "tumour/p2_mask.nii.gz").unlink()
    assert "without a mask of the class tumour | p2" in said(volumes.recognise(folder, options))


@pytest.mark.parametrize(
    ("stored", "options", "classes"),
    [
        ([0, 1, 1], {}, {1: "foreground"}),
        ([0, 255, 255], {}, {1: "foreground"}),
        ([0, 64, 128], {}, {1: "class_64", 2: "class_128"}),
        (
            [0, 3, 7],
            {"classes": {"7": "Left Kidney", "3": "tumour"}},
            {1: "tumour", 2: "left_kidney"},
        ),
    ],
)
def test_values_of_masks_become_classes(tmp_path, stored, options, classes):
    folder = tmp_path / "data"
    for name in NAMES:
        save(folder / f"images/{name}.nii.gz", volume(name))
        save(folder / f"masks/{name}.nii.gz", np.array(stored, np.int16)[parts(name)])
    found = volumes.recognise(folder, Options(groups="case", **options))
    assert (said(found), found.classes) == ("", classes)
    for name, case in read_all(found, folder).items():
        expected = np.minimum(parts(name), len(classes))
        np.testing.assert_array_equal(case.mask, expected)


def test_parts_of_an_official_split_become_a_label(tmp_path):
    folder = tmp_path / "data"
    for part, name in zip(("train", "val", "test"), NAMES, strict=True):
        save(folder / f"{part}/images/{name}.nii.gz", volume(name))
        save(folder / f"{part}/labels/{name}.nii.gz", parts(name))
    found = volumes.recognise(folder, CASE)
    assert {case: label["part"] for case, label in found.labels.items()} == {
        "p1": "train",
        "p2": "validation",
        "p3": "test",
    }
    check_cases(found, folder)


def good(folder):
    for name in NAMES:
        save(folder / f"images/{name}.nii.gz", volume(name))
        save(folder / f"labels/{name}.nii.gz", parts(name))
    return folder


def moved(by):
    affine = AFFINE.copy()
    affine[1, 3] += by
    return affine


def silent(array):
    image = nibabel.Nifti1Image(array, None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    return image.to_bytes()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


ODD = {
    "mask lost": (
        lambda f: (f / "labels/p2.nii.gz").unlink(),
        "images without a mask | images/p2.nii.gz",
    ),
    "image lost": (
        lambda f: (f / "images/p2.nii.gz").unlink(),
        "masks without an image | labels/p2.nii.gz",
    ),
    "unreadable": (
        lambda f: write(f / "images/p2.nii.gz", b"no"),
        "cannot be used.* | images/p2.nii.gz: ",
    ),
    "mask elsewhere": (
        lambda f: save(f / "labels/p2.nii.gz", parts("p2"), moved(3)),
        "another grid than their image.*labels/p2.nii.gz has 6 x 7 x 5 .* has 6 x 7 x 5",
    ),
    "mask of another shape": (
        lambda f: save(f / "labels/p2.nii.gz", parts("p2")[1:]),
        "labels/p2.nii.gz has 5 x 7 x 5 .* has 6 x 7 x 5",
    ),
    "soft mask": (
        lambda f: save(f / "labels/p2.nii.gz", parts("p2") * np.float32(0.999)),
        r"masks hold 0.999 \(\d+ voxels\), 1.998 .*soft mask.*labels/p2.nii.gz.*--threshold",
    ),
    "negative": (
        lambda f: save(f / "labels/p2.nii.gz", -parts("p2").astype(np.int16)),
        r"hold -2 \(\d+ voxels\)",
    ),
    "NaN in a mask": (
        lambda f: save(f / "labels/p2.nii.gz", np.where(parts("p2") > 1, np.nan, 0.0)),
        "NaN or infinite | labels/p2.nii.gz",
    ),
    "intensities as mask": (
        lambda f: save(f / "labels/p2.nii.gz", np.arange(210, dtype=np.int16).reshape(6, 7, 5)),
        "masks hold 1 .* more values; classes are 1 to 255.*labels/p2.nii.gz",
    ),
    "more channels in one": (
        lambda f: save(f / "images/p2.nii.gz", np.stack([volume("p2")] * 2, -1)),
        r"do not have 1 channel\(s\) as the others do | p2: 2",
    ),
    "a picture among volumes": (
        lambda f: (
            save(f / "images/p2.nii.gz", volume("p2")[:, :, :1]),
            save(f / "labels/p2.nii.gz", parts("p2")[:, :, :1]),
        ),
        "pictures and volumes are mixed; 1 of 3 .*pictures of one slice | images/p2",
    ),
    "micrometres in one": (
        lambda f: save(f / "images/p2.nii.gz", volume("p2"), unit="micron"),
        "measure in mm, um",
    ),
    "metres": (
        lambda f: save(f / "images/p2.nii.gz", volume("p2"), unit="meter"),
        "measure in m, mm",
    ),
    "another format": (
        lambda f: write(f / "images/p4.mgz", b"x"),
        "formats that are not read.*images/p4.mgz",
    ),
    "a broken link": (
        lambda f: (f / "images/p4.nii.gz").symlink_to("nowhere"),
        "links to nothing | images/p4",
    ),
    "two of one name": (lambda f: save(f / "images/p2.nii", volume("p2")), "images/p2.nii"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_odd_in_a_folder_is_said_with_its_files(tmp_path, what):
    folder = good(tmp_path / "data")
    change, message = ODD[what]
    change(folder)
    text = said(volumes.recognise(folder, CASE))
    assert re.search(message.replace(" | ", r" \| "), text), text


def test_all_bad_files_are_named_at_once(tmp_path):
    folder = good(tmp_path / "data")
    write(folder / "images/p1.nii.gz", b"no")
    write(folder / "labels/p2.nii.gz", b"")
    save(folder / "labels/p3.nii.gz", parts("p3") * np.float32(0.5))
    text = said(volumes.recognise(folder, CASE))
    assert all(name in text for name in ("images/p1", "labels/p2", "labels/p3"))


def test_hidden_and_foreign_files_are_left_alone(tmp_path):
    folder = good(tmp_path / "data")
    write(folder / "images/._p1.nii.gz", b"left by a file browser")
    write(folder / "readme.txt", b"x")
    check_cases(volumes.recognise(folder, CASE), folder)


def test_a_film_is_no_channels_unless_said(tmp_path):
    folder = tmp_path / "data"
    for name in NAMES:
        save(folder / f"images/{name}.nii.gz", np.stack([volume(name)] * 20, -1))
        save(folder / f"labels/{name}.nii.gz", parts(name))
    assert "20 numbers per voxel: a film" in said(volumes.recognise(folder, CASE))
    assert said(volumes.recognise(folder, Options(groups="case", channels=20))) == ""


def test_a_spacing_that_no_header_states_is_said_or_taken_from_the_flag(tmp_path):
    folder = tmp_path / "data"
    for name in NAMES:
        write(folder / f"images/{name}.nii", silent(volume(name)))
        write(folder / f"labels/{name}.nii", silent(parts(name)))
    found = volumes.recognise(folder, CASE)
    (guess,) = [guess for guess in found.guesses if guess.what == "spacing"]
    assert "1 mm on every axis in 3 of 3 images" in guess.value
    assert guess.flag == "--spacing"
    given = volumes.recognise(folder, Options(groups="case", spacing=(3.0, 2.0, 1.0)))
    assert {case.spacing for case in read_all(given, folder).values()} == {(3.0, 2.0, 1.0)}
    stated = volumes.recognise(good(tmp_path / "b"), Options(groups="case", spacing=(1, 1, 1)))
    assert "--spacing is for files that state none" in said(stated)


def test_a_threshold_cuts_soft_masks(tmp_path):
    folder = tmp_path / "data"
    for name in NAMES:
        save(folder / f"images/{name}.nii.gz", volume(name))
        save(folder / f"labels/{name}.nii.gz", (parts(name) > 0) * np.float32(0.999))
    found = volumes.recognise(folder, Options(groups="case", threshold=0.5))
    for name, case in read_all(found, folder).items():
        np.testing.assert_array_equal(case.mask, parts(name) > 0)


def test_a_threshold_gives_one_class(tmp_path):
    options = Options(groups="case", threshold=0.5, classes={"1": "a", "2": "b"})
    text = said(volumes.recognise(good(tmp_path / "data"), options))
    assert "--threshold gives one class, --class names 2" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 127}, r"wholly under --threshold 127.*p1_seg.nii.gz: at most 1.*repair"),
        ({}, r"1 hold only 1 and 2 hold only 255.*p1_seg.nii.gz.*--class 1=NAME --class 255=NAME"),
        ({"threshold": 0}, ""),
        ({"classes": {"1": "a", "255": "b"}}, ""),
    ],
)
def test_masks_saved_in_two_ways_are_asked_about(tmp_path, options, words):
    folder = tmp_path / "data"
    for name, value in zip(("p1", "p2", "p3"), (1, 255, 255), strict=True):
        save(folder / f"{name}.nii.gz", volume(name))
        save(folder / f"{name}_seg.nii.gz", ((parts(name) > 0) * value).astype(np.uint8))
    text = said(volumes.recognise(folder, Options(groups="case", **options)))
    assert re.search(words, text, re.DOTALL) if words else text == ""


def test_groups_are_asked_for_where_names_do_not_tell(tmp_path):
    folder = good(tmp_path / "data")
    assert "--groups" in said(volumes.recognise(folder, Options()))


def test_folders_of_other_things_are_not_recognised(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "a/x.png")
    np.savez(tmp_path / "a/x.npz", other=np.zeros(3))
    for layout in (volumes, nnunet, decathlon, medsegbench):
        assert layout.recognise(tmp_path / "a", CASE) is None


def raw_dataset(folder, ending=".nii.gz", channels=1, **description):
    for name in NAMES:
        for channel in range(channels):
            save(folder / f"imagesTr/{name}_{channel:04d}{ending}", volume(name, channel))
        save(folder / f"labelsTr/{name}{ending}", parts(name))
    content = {
        "channel_names": {str(channel): "CT" for channel in range(channels)},
        "labels": {"background": 0, "organ": 1, "Lesion (big)": 2},
        "numTraining": len(NAMES),
        "file_ending": ending,
    }
    content |= description
    content = {key: value for key, value in content.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("channels", [1, 2])
def test_raw_datasets_of_nnunet_2(tmp_path, ending, channels):
    folder = raw_dataset(tmp_path / "Dataset001_X", ending, channels)
    found = nnunet.recognise(folder, CASE)
    check_cases(found, folder, channels=channels)
    assert (found.layout, found.modality, found.normalisation) == ("nnunet", "CT", "ct")
    assert found.classes == {1: "organ", 2: "lesion_big"}


def test_raw_datasets_of_nnunet_1(tmp_path):
    folder = raw_dataset(
        tmp_path / "Task001_X", channel_names=None, file_ending=None, modality={"0": "MRI"},
        labels={"0": "background", "1": "organ", "2": "lesion"},
        training=[{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"}
                  for n in NAMES],
    )  # fmt: skip
    assert decathlon.recognise(folder, CASE) is None
    found = nnunet.recognise(folder, CASE)
    check_cases(found, folder)
    assert (found.modality, found.normalisation) == ("MRI", "z_score")


def test_labels_with_gaps_are_renumbered(tmp_path):
    folder = tmp_path / "d"
    raw_dataset(folder, labels={"background": 0, "organ": 4, "lesion": 9})
    for name in NAMES:
        save(folder / f"labelsTr/{name}.nii.gz", np.array([0, 4, 9], np.uint8)[parts(name)])
    check_cases(nnunet.recognise(folder, CASE), folder)


def test_folds_and_test_images_are_noticed(tmp_path):
    folder = raw_dataset(tmp_path / "d")
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["p1"], "val": ["p2"]}] * 5))
    save(folder / "imagesTs/p4_0000.nii.gz", volume("p4"))
    notes = "\n".join(nnunet.recognise(folder, CASE).notes)
    assert "splits_final.json has 5 folds" in notes
    assert "1 images have no mask and are left out" in notes
    save(folder / "labelsTs/p4.nii.gz", parts("p4"))
    found = nnunet.recognise(folder, CASE)
    check_cases(found, folder, (*NAMES, "p4"))
    assert found.labels["p4"] == {"part": "test"}
    assert found.labels["p1"] == {"part": "train"}


def test_pictures_in_a_raw_dataset(tmp_path):
    folder = tmp_path / "d"
    rng = np.random.default_rng(1)
    colours = {name: rng.integers(0, 256, (12, 10, 3)).astype(np.uint8) for name in NAMES}
    masks = {name: rng.integers(0, 3, (12, 10)).astype(np.uint8) for name in NAMES}
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir(parents=True)
    for name in NAMES:
        Image.fromarray(colours[name]).save(folder / f"imagesTr/{name}_0000.png")
        Image.fromarray(masks[name]).save(folder / f"labelsTr/{name}.png")
    names = {"0": "R", "1": "G", "2": "B"}
    labels = {"background": 0, "a": 1, "b": 2}
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": names, "labels": labels, "file_ending": ".png"})
    )
    found = nnunet.recognise(folder, CASE)
    assert (said(found), found.ndim, found.channels) == ("", 2, 3)
    for name, case in read_all(found, folder).items():
        np.testing.assert_array_equal(case.image, colours[name].transpose(2, 0, 1))
        np.testing.assert_array_equal(case.mask, masks[name])


RAW = {
    "broken JSON": (lambda f: (f / "dataset.json").write_text("{"), "dataset.json cannot be read"),
    "a list": (lambda f: (f / "dataset.json").write_text("[]"), "is no object of keys and values"),
    "regions": (
        lambda f: raw_dataset(f, labels={"background": 0, "whole": [1, 2], "core": 2}),
        "'whole' is a region of the values",
    ),
    "ignore": (
        lambda f: raw_dataset(f, labels={"background": 0, "a": 1, "b": 2, "ignore": 3}),
        "`ignore` .3. marks voxels that nobody annotated",
    ),
    "no labels": (lambda f: raw_dataset(f, labels=None), "has no `labels`"),
    "labels without numbers": (
        lambda f: raw_dataset(f, labels={"a": None, "b": 1}),
        "is no number and name",
    ),
    "a value that labels lack": (
        lambda f: raw_dataset(f, labels={"background": 0, "a": 1}),
        r"masks hold 2 \(\d+ voxels\).*0 and 1 are known.*labelsTr/p1",
    ),
    "channel lost": (
        lambda f: (raw_dataset(f, channels=2), (f / "imagesTr/p2_0001.nii.gz").unlink()),
        "lack one of 2 channels | p2: _0001",
    ),
    "channels beyond": (
        lambda f: raw_dataset(f, channels=2, channel_names={"0": "CT"}),
        "beyond the 1 that dataset.json names | imagesTr/p1_0001",
    ),
    "unnumbered": (
        lambda f: save(f / "imagesTr/p9.nii.gz", volume("p9")),
        "without the number of their channel, as _0000 | imagesTr/p9.nii.gz",
    ),
    "mask lost": (
        lambda f: (f / "labelsTr/p2.nii.gz").unlink(),
        "without a mask in labelsTr | imagesTr/p2_0000",
    ),
    "image lost": (
        lambda f: (f / "imagesTr/p2_0000.nii.gz").unlink(),
        "without an image in imagesTr | labelsTr/p2",
    ),
    "another ending": (
        lambda f: save(f / "imagesTr/p9_0000.nrrd", volume("p9")),
        "do not end in .nii.gz.* | imagesTr/p9_0000.nrrd",
    ),
    "ending of nothing": (lambda f: raw_dataset(f, file_ending=".mha"), "do not end in .mha"),
    "channels as vectors": (
        lambda f: [
            save(f / f"imagesTr/{n}_0000.nii.gz", np.stack([volume(n)] * 2, -1)) for n in NAMES
        ],
        "names 1 channels, CT; the images have 2",
    ),
}


@pytest.mark.parametrize("what", RAW)
def test_what_is_odd_in_a_raw_dataset_is_said_with_its_files(tmp_path, what):
    folder = raw_dataset(tmp_path / "d")
    change, message = RAW[what]
    change(folder)
    text = said(nnunet.recognise(folder, CASE))
    assert re.search(message.replace(" | ", r" \| "), text), text


def task(folder, channels=1, **description):
    for name in NAMES:
        stack = np.stack([volume(name, channel) for channel in range(channels)], axis=-1)
        save(folder / f"imagesTr/{name}.nii.gz", stack if channels > 1 else stack[..., 0])
        save(folder / f"labelsTr/{name}.nii.gz", parts(name))
    pairs = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in NAMES]
    content = {
        "modality": {str(channel): f"m{channel}" for channel in range(channels)},
        "labels": {"0": "background", "1": "organ", "2": "lesion"},
        "numTraining": 3,
        "training": pairs,
        "test": ["./imagesTs/p9.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(content | description))
    return folder


@pytest.mark.parametrize("channels", [1, 3])
def test_tasks_of_the_decathlon(tmp_path, channels):
    folder = task(tmp_path / "Task01_X", channels)
    write(folder / "imagesTr/._p1.nii.gz", b"left by a file browser")
    assert nnunet.recognise(folder, CASE) is None
    found = decathlon.recognise(folder, CASE)
    check_cases(found, folder, channels=channels)
    assert found.classes == {1: "organ", 2: "lesion"}
    assert "1 images of `test`" in "\n".join(found.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: (f / "labelsTr/p2.nii.gz").unlink(),
            "lists files that are not there.*labelsTr/p2",
        ),
        (
            lambda f: task(f, training=[{"image": "./imagesTr/p1.nii.gz"}]),
            "pairs without image and label",
        ),
        (
            lambda f: task(f, modality={"0": "T1", "1": "T2"}),
            "names 2 channels, T1, T2; the images have 1",
        ),
        (lambda f: task(f, labels={}), "has no `labels`"),
        (lambda f: write(f / "imagesTr/p1.nii.gz", b"x"), "cannot be used.*imagesTr/p1"),
    ],
)
def test_what_is_odd_in_a_task_is_said_with_its_files(tmp_path, change, message):
    folder = task(tmp_path / "d")
    change(folder)
    text = said(decathlon.recognise(folder, CASE))
    assert re.search(message, text), text


def archive(folder, classes=2, colours=(), **changes):
    rng, arrays = np.random.default_rng(3), {}
    for word, count in (("train", 5), ("val", 2), ("test", 3)):
        arrays[f"{word}_images"] = rng.integers(0, 256, (count, 8, 9, *colours)).astype(np.uint8)
        arrays[f"{word}_label"] = rng.integers(0, classes + 1, (count, 8, 9)).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "toy_128.npz", **(arrays | changes))
    return folder, arrays


@pytest.mark.parametrize("colours", [(), (3,)])
def test_archives_of_medsegbench(tmp_path, colours):
    folder, arrays = archive(tmp_path / "d", colours=colours)
    found = medsegbench.recognise(folder, Options())
    assert (said(found), found.groups, found.channels) == ("", "unknown", 3 if colours else 1)
    assert found.classes == {1: "class_1", 2: "class_2"}
    cases = read_all(found, folder)
    assert len(cases) == 10
    case = cases["validation-00001"]
    np.testing.assert_array_equal(case.mask, arrays["val_label"][1])
    image = arrays["val_images"][1]
    np.testing.assert_array_equal(case.image, image.transpose(2, 0, 1) if colours else image[None])
    assert found.labels["validation-00001"] == case.labels == {"part": "validation"}


def test_archives_that_cannot_be_told_or_used(tmp_path):
    folder, arrays = archive(tmp_path / "d")
    (folder / "toy_256.npz").write_bytes((folder / "toy_128.npz").read_bytes())
    found = medsegbench.recognise(folder, Options())
    assert "2 archives; a dataset is one of them | toy_128.npz, toy_256.npz | --images" in said(
        found
    )
    one = medsegbench.recognise(folder, Options(images="toy_256.npz"))
    assert (said(one), {row.path for row in one.rows}) == ("", {"toy_256.npz"})
    (folder / "toy_256.npz").write_bytes(b"half a download")
    broken = medsegbench.recognise(folder, Options(images="toy_256.npz"))
    assert "cannot be used: it is no whole archive" in said(broken)
    patients = medsegbench.recognise(folder, Options(images="toy_128.npz", groups="case"))
    assert "holds no patients" in said(patients)
    odd, _ = archive(tmp_path / "e", train_label=arrays["train_label"] * 255)
    assert "masks hold the values 0, 1, 2, 254, 255" in said(medsegbench.recognise(odd, Options()))
