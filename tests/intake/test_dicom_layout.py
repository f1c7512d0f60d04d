"""Trees of DICOM files are recognised, and every series that cannot be used is named."""

import re
import shutil

import nibabel
import numpy as np
import pytest

from attnbench.catalog import Entry
from attnbench.data.read import read_cases
from attnbench.errors import DataError
from attnbench.intake.found import Options
from attnbench.intake.layouts import volumes

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
from attnbench.intake.layouts import dicom  # noqa: E402

AFFINE = np.array([[1.5, 0, 0, -20], [0, 1.5, 0, 9], [0, 0, 2.0, 4], [0, 0, 0, 1]])
PATIENTS = ("A-1", "A-2", "B-7")


def volume(name):
    rng = np.random.default_rng([*name.encode()])
    return rng.integers(0, 2000, (8, 9, 5)).astype(np.int16)


def parts(name):
    return np.digitize(volume(name), [1200, 1700]).astype(np.uint8)


def stored(path, name, values=(0, 1, 2)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.array(values, np.uint8)[parts(name)], AFFINE), path)


def drawn(path, series, name, labels=("Organ", "Lesion")):
    """A DICOM-SEG file beside the series that it says it was drawn on."""
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number, segment_label=label, algorithm_type="MANUAL",
            segmented_property_category=pydicom.sr.codedict.codes.SCT.Organ,
            segmented_property_type=pydicom.sr.codedict.codes.SCT.Liver,
        )
        for number, label in enumerate(labels, 1)
    ]  # fmt: skip
    masks = [parts(name).transpose(2, 1, 0) == number for number in range(1, len(labels) + 1)]
    highdicom.seg.Segmentation(
        source_images=[pydicom.dcmread(file) for file in series],
        pixel_array=np.stack(masks, axis=-1).astype(np.uint8), segmentation_type="BINARY",
        segment_descriptions=described, series_instance_uid=f"1.2.9.{len(name)}", series_number=9,
        sop_instance_uid="1.2.9.1", instance_number=1, manufacturer="m",
        manufacturer_model_name="m", software_versions="1", device_serial_number="1",
    ).save_as(path)  # fmt: skip


@pytest.fixture
def tree(tmp_path, write_series):
    """Patients of one CT series each, with a mask beside; `tree("seg")` draws them in DICOM."""

    def make(kind):
        folder = tmp_path / "data"
        for name in PATIENTS:
            place = folder / f"patient-{name}"
            files = write_series(
                place / "study" / "series", volume(name), AFFINE, intercept=-1024, PatientID=name
            )
            if kind == "seg":
                drawn(place / "seg.dcm", files, name)
            else:
                stored(place / f"mask.{kind}", name)
        return folder

    return make


def read_all(found, folder):
    listing = folder.parent / "toy.files.csv"
    rows = [f"{r.path},1,,{r.role},{r.case},{r.group}\n" for r in found.rows]
    listing.write_text("path,bytes,sha256,role,case,group\n" + "".join(rows))
    words = dict.fromkeys(("title", "short", "task", "licence", "citation"), "w")
    entry = Entry(
        name="toy", **words, modality=found.modality, ndim=3, channels=1, classes=found.classes,
        spacing_unit="mm", axes=found.axes, mirror={"axes": (), "reason": "e"}, cases=1, groups=1,
        groups_inferred=False, listing=listing, origin={"kind": "local", "folder": folder},
        reader=found.reader,
    )  # fmt: skip
    return {case.case: case for case in read_cases(entry, folder)}


def said(found):
    return "\n".join(f"{p.text} | {', '.join(p.files)} | {p.flag}" for p in found.problems)


@pytest.mark.parametrize("kind", ["nii.gz", "nrrd", "seg"])
def test_patients_studies_series_with_masks(tree, kind):
    if kind == "nrrd":
        folder = tree("nii.gz")
        SimpleITK = pytest.importorskip("SimpleITK")
        for path in folder.rglob("mask.nii.gz"):
            SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(path.with_name("mask.nrrd")))
            path.unlink()
    else:
        folder = tree(kind)
    found = dicom.recognise(folder, Options())
    assert said(found) == ""
    assert (found.modality, found.normalisation, found.groups) == ("CT", "ct", "PatientID")
    names = ["lesion", "organ"] if kind == "seg" else ["class_1", "class_2"]
    assert list(found.classes.values()) == names
    cases = read_all(found, folder)
    assert sorted(cases) == sorted(PATIENTS)
    for name, case in cases.items():
        np.testing.assert_array_equal(case.image[0], volume(name) - 1024)
        expected = np.array([0, 2, 1])[parts(name)] if kind == "seg" else parts(name)
        np.testing.assert_array_equal(case.mask, expected)
        assert (case.group, case.spacing) == (name, (1.5, 1.5, 2.0))


def test_segments_that_are_wanted_in_the_order_given(tree):
    folder = tree("seg")
    found = dicom.recognise(folder, Options(classes={"Organ": "organ", "Lesion": "lesion"}))
    assert found.classes == {1: "organ", 2: "lesion"}
    for name, case in read_all(found, folder).items():
        np.testing.assert_array_equal(case.mask, parts(name))
    one = dicom.recognise(folder, Options(classes={"Lesion": "lesion"}))
    for name, case in read_all(one, folder).items():
        np.testing.assert_array_equal(case.mask, parts(name) == 2)


def test_structures_name_their_series(tmp_path, write_series):
    rt_utils = pytest.importorskip("rt_utils")
    folder = tmp_path / "data"
    square = np.zeros((16, 16, 4), bool)
    square[4:11, 3:9, 1:3] = True
    for name in PATIENTS:
        write_series(folder / name / "ct", square.astype(np.int16), AFFINE, PatientID=name)
        built = rt_utils.RTStructBuilder.create_new(dicom_series_path=str(folder / name / "ct"))
        built.add_roi(mask=square.transpose(1, 0, 2), name="GTV 1")
        built.save(str(folder / name / "structures.dcm"))
    found = dicom.recognise(folder, Options())
    assert (said(found), found.classes) == ("", {1: "gtv_1"})
    for case in read_all(found, folder).values():
        np.testing.assert_array_equal(case.mask, square)


def test_several_series_of_a_patient_are_cases_of_one_group(tmp_path, write_series):
    folder = tmp_path / "data"
    for number in (2, 5):
        place = folder / f"visit{number}"
        write_series(place, volume("A-1"), AFFINE, PatientID="A-1", SeriesNumber=number)
        stored(place / "mask.nii.gz", "A-1")
    write_series(folder / "other", volume("A-2"), AFFINE, PatientID="A-2")
    stored(folder / "other/mask.nii.gz", "A-2")
    write_series(folder / "scout", volume("A-2"), AFFINE, PatientID="A-2", SeriesNumber=9)
    found = dicom.recognise(folder, Options())
    groups = {row.case: row.group for row in found.rows}
    assert groups == {"A-1-2": "A-1", "A-1-5": "A-1", "A-2": "A-2"}
    assert "1 series have no mask and are left out: scout/" in "\n".join(found.notes)


def unlink(folder, name):
    next(iter(sorted(folder.glob(name)))).unlink()


def flip_series(folder):
    """A slice of one patient lies in the folder of another, with the other's series."""
    for path in sorted((folder / "patient-A-1/study/series").glob("*.dcm"))[1:3]:
        data = pydicom.dcmread(path)
        data.PixelSpacing = [9, 9]
        data.save_as(path)


def anonymised(folder):
    for path in folder.rglob("*.dcm"):
        data = pydicom.dcmread(path)
        data.PatientID = "ANON"
        data.save_as(path)


def damage(path):
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("nii.gz", lambda f: unlink(f, "patient-A-1/study/series/*-2.dcm"),
         r"series that form no volume.*patient-A-1/study/series: slices are 2 mm apart, but 4 mm"),
        ("nii.gz", flip_series, "patient-A-1/study/series: its slices have 2 pixel spacings"),
        ("nii.gz", lambda f: [unlink(f, f"patient-{n}/mask.nii.gz") for n in PATIENTS],
         "3 series and no mask of any of them"),
        ("nii.gz",
         lambda f: shutil.copy(f / "patient-A-1/mask.nii.gz", f / "patient-A-1/m2.nii.gz"),
         r"several masks of one series; which\? \| patient-A-1/m2.nii.gz, patient-A-1/mask.nii.gz"),
        ("nii.gz", lambda f: shutil.move(f / "patient-A-1/mask.nii.gz", f / "mask.nii.gz"),
         r"may be of several series.* \| mask.nii.gz"),
        ("nii.gz", anonymised, r"have the PatientID 'ANON': anonymised\?.*--groups"),
        ("nii.gz", lambda f: stored(f / "patient-A-1/mask.nii.gz", "A-1", (0, 1, 255)),
         r"classes"),
        ("nii.gz", lambda f: damage(next(f.rglob("*.dcm"))), "DICOM files that cannot be read"),
        ("seg", lambda f: damage(f / "patient-A-1/seg.dcm"), "patient-A-1/seg.dcm"),
        ("seg", lambda f: shutil.rmtree(f / "patient-A-1/study"),
         r"masks of series that are not here \| patient-A-1/seg.dcm"),
        ("seg", lambda f: (unlink(f, "patient-A-1/seg.dcm"),
                           stored(f / "patient-A-1/mask.nii.gz", "A-1")),
         r"DICOM in some cases and volume files in others.* \| patient-A-1/mask.nii.gz"),
        ("seg", lambda f: drawn(f / "patient-A-1/seg.dcm",
                                sorted((f / "patient-A-1/study/series").glob("*.dcm")), "A-1",
                                ("Organ", "Tumour")),
         r"masks without Lesion; name every label.* \| patient-A-1/seg.dcm: Organ, Tumour"),
    ],
)  # fmt: skip
def test_what_is_odd_in_a_tree_is_said_with_its_files(tree, kind, change, message):
    folder = tree(kind)
    change(folder)
    found = dicom.recognise(folder, Options())
    text = said(found) if message != "classes" else str(found.guesses)
    assert re.search(message, text), text


def test_without_pydicom_the_extra_is_named(tree, monkeypatch):
    folder = tree("nii.gz")
    monkeypatch.setattr("attnbench.data.readers.dicom.headers.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs pydicom and highdicom; .*install '\.\[dicom\]'"):
        dicom.recognise(folder, Options())


def test_a_folder_without_dicom_is_another_layout(tmp_path):
    stored(tmp_path / "images/a.nii.gz", "A-1")
    assert dicom.recognise(tmp_path, Options()) is None
    assert volumes.recognise(tmp_path, Options()) is not None
