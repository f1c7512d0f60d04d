"""Masks on the grid of the originals, and new images that are prepared as cases are.

A reference that is written is the file that it was read from; a case's image, read as a new one, is
that of the store.
"""

import csv
import hashlib
import json
import tarfile
from dataclasses import replace
from itertools import islice, permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from attnbench.catalog import ArchiveOrigin, Entry, load_entry
from attnbench.data.known_images import cases_like
from attnbench.data.mask_files import mask_file, write_mask, write_probabilities
from attnbench.data.new_images import find_sources, read_new
from attnbench.data.phantom import generate
from attnbench.data.prepare import describe, prepare_case, prepare_dataset
from attnbench.data.store import CaseStore
from attnbench.data.targets import targets_of
from attnbench.data.write import write_store
from attnbench.errors import DataError
from attnbench.study.groups import DatasetSettings

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
TURNED = np.array([[0, 0, -2.0, 30], [1.5, 0, 0, -20], [0, -0.75, 0, 9], [0, 0, 0, 1]])
TURNS = [
    (axes, signs) for axes in permutations(range(3)) for signs in product((1.0, -1.0), repeat=3)
]


@st.composite
def affines(draw):
    """Any axes and flips, left-handed ones too, tilted about two axes, any spacing and origin."""
    axes, signs = draw(st.sampled_from(TURNS))
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, axes] * signs
    for first, second in ((0, 1), (1, 2)):
        angle = draw(st.floats(-0.5, 0.5))
        tilt = np.eye(4)
        tilt[[first, first, second, second], [first, second, first, second]] = [
            np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
        ]  # fmt: skip
        affine = tilt @ affine
    affine[:3, :3] *= [draw(st.sampled_from([0.5, 0.8, 1.0, 3.0])) for _ in range(3)]
    affine[:3, 3] = [draw(st.floats(-200, 200)) for _ in range(3)]
    return affine


def masks_of(shape, seed, count=2):
    return [
        np.random.default_rng(seed + number).integers(0, 3, shape).astype(np.uint8)
        for number in range(count)
    ]


def write_volume(path, array, affine, forms=(1, 1)):
    if path.name.endswith((".nii", ".nii.gz")):
        image = nibabel.Nifti1Image(array, affine)
        image.set_qform(affine, forms[0])
        image.set_sform(affine, forms[1])
        nibabel.save(image, path)
        return
    lps = LPS @ affine
    sides = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(sides.tolist())
    image.SetDirection((lps[:3, :3] / sides).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path))


def entry_of(folder, rows, reader="volume", settings=None, blocks=None, **facts):
    """Entry of a dataset whose files, (path, role, case), lie in `folder`."""
    listing = folder.parent / "toy.files.csv"
    with listing.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(("path", "bytes", "sha256", "role", "case", "group"))
        for path, role, case in rows:
            content = (folder / path).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            lines.writerow((path, len(content), digest, role, case, case))
    words = dict.fromkeys(("title", "short", "task", "modality", "licence", "citation"), "w")
    facts = {"ndim": 3, "channels": 1, "classes": {1: "a", 2: "b"}, "spacing_unit": "mm"} | facts
    return Entry(
        name="toy", **words, axes=tuple("abc"[: facts["ndim"]]), **facts,
        mirror={"axes": (), "reason": "e"}, cases=2, groups=2, groups_inferred=False,
        origin={"kind": "local", "folder": folder}, listing=listing,
        reader={"name": reader, "settings": settings or {}, "blocks": blocks},
    )  # fmt: skip


def written(entry, folder):
    """Every reference of a dataset as a file of its own, by case: path, target."""
    store_folder = folder / "store"
    prepare_dataset(entry, DatasetSettings(name="toy"), folder / "raw", store_folder)
    store = CaseStore.open(store_folder)
    cases = store.columns["case"]
    targets = targets_of(entry, folder / "raw", store, cases)
    out = folder / "out"
    for index, case in enumerate(cases):
        write_mask(out, targets[case], np.array(store.reference(index)), f"toy {case}")
    return {case: out / mask_file(targets[case]) for case in cases}


def volumes(folder, arrays, affine, ending=".nii.gz", forms=(1, 1), **facts):
    """Images and masks of a dataset, `scan0` and so on, in any place and format."""
    raw, rows = folder / "raw", []
    for number, array in enumerate(arrays):
        for role in ("image", "mask"):
            (raw / role).mkdir(parents=True, exist_ok=True)
            name = f"{role}/scan{number}{ending}"
            write_volume(raw / name, array.astype(np.float32 if role == "image" else np.uint8),
                         affine, forms)  # fmt: skip
            rows.append((name, role, f"scan{number}"))
    return entry_of(raw, rows, **facts)


def geometry(image):
    return [*image.GetOrigin(), *image.GetSpacing(), *image.GetDirection()]


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(
    affine=affines(),
    shape=st.tuples(*[st.integers(2, 5)] * 3),
    ending=st.sampled_from([".nii.gz", ".nii", ".mha", ".mhd", ".nrrd"]),
    forms=st.sampled_from([(1, 1), (1, 0), (0, 1), (2, 4)]),
    seed=st.integers(0, 99),
)
def test_a_mask_lies_on_its_original_for_nibabel_and_simpleitk(
    tmp_path_factory, affine, shape, ending, forms, seed
):
    folder = tmp_path_factory.mktemp("grids")
    masks = masks_of(shape, seed)
    files = written(volumes(folder, masks, affine, ending, forms), folder)
    for number, mask in enumerate(masks):
        path, original = files[f"scan{number}"], folder / f"raw/image/scan{number}{ending}"
        assert path.name == f"scan{number}.nii.gz"
        mine, theirs = (SimpleITK.ReadImage(str(one)) for one in (path, original))
        np.testing.assert_allclose(geometry(mine), geometry(theirs), atol=2e-4)
        np.testing.assert_array_equal(
            SimpleITK.GetArrayFromImage(mine), SimpleITK.GetArrayFromImage(theirs)
        )
        by_nibabel = nibabel.load(path)
        np.testing.assert_array_equal(np.asanyarray(by_nibabel.dataobj), mask)
        assert by_nibabel.get_data_dtype() == np.uint8
        if not ending.startswith(".nii"):
            np.testing.assert_allclose(by_nibabel.affine, affine, atol=2e-4)
        else:
            # A header's quaternion alone is 5e-4 off near half a turn, in both files alike.
            own = nibabel.load(original)
            np.testing.assert_array_equal(by_nibabel.affine, own.affine)
            assert [int(by_nibabel.header[f"{form}_code"]) for form in ("qform", "sform")] == [
                int(own.header[f"{form}_code"]) for form in ("qform", "sform")
            ]


def test_a_header_that_places_nothing_is_repeated(tmp_path):
    """Both codes zero: readers then put the origin themselves, by shape and spacing."""
    entry = volumes(tmp_path, masks_of((5, 6, 7), 0), np.diag([2.0, 1.5, 1.0, 1.0]), forms=(0, 0))
    path = written(entry, tmp_path)["scan0"]
    own = nibabel.load(tmp_path / "raw/image/scan0.nii.gz")
    assert np.abs(own.affine[:3, 3]).min() > 0
    np.testing.assert_array_equal(nibabel.load(path).affine, own.affine)


def test_blocks_lie_where_they_were_cut_out(tmp_path):
    """Each block read by world coordinates has the mask of the whole volume there."""
    affine = TURNED
    (mask,) = masks_of((18, 17, 40), 0, 1)
    entry = volumes(tmp_path, [mask], affine, blocks={"count": 2, "gap": 4})
    files = written(entry, tmp_path)
    assert sorted(path.name for path in files.values()) == ["scan0-b01.nii.gz", "scan0-b02.nii.gz"]
    whole, covered = np.linalg.inv(affine), np.zeros(mask.shape, int)
    for path in files.values():
        block = nibabel.load(path)
        indices = np.indices(block.shape).reshape(3, -1)
        world = block.affine @ np.vstack([indices, np.ones(indices.shape[1])])
        there = tuple(np.rint(whole @ world)[:3].astype(int))
        np.testing.assert_array_equal(np.asanyarray(block.dataobj)[tuple(indices)], mask[there])
        covered[there] += 1
    assert covered.max() == 1
    assert (covered == 0).sum() == mask.size * 4 // 40


@pytest.mark.parametrize("axes", [(20, 30), (20, 30, 1)])
def test_pictures_in_nifti_keep_their_axes(tmp_path, axes):
    masks = [mask.reshape(axes) for mask in masks_of((20, 30), 1)]
    files = written(volumes(tmp_path, masks, np.diag([-0.5, 2.0, 1.0, 1.0]), ndim=2), tmp_path)
    for number, mask in enumerate(masks):
        found = nibabel.load(files[f"scan{number}"])
        assert found.shape == axes
        np.testing.assert_array_equal(np.asanyarray(found.dataobj), mask)
        own = nibabel.load(tmp_path / f"raw/image/scan{number}.nii.gz")
        np.testing.assert_array_equal(found.affine, own.affine)


def test_channels_of_nnunet_have_one_mask_without_a_number(tmp_path):
    raw, rows, (mask,) = tmp_path / "raw", [], masks_of((4, 5, 6), 2, 1)
    raw.mkdir()
    for number in range(2):
        name = f"case7_{number:04d}.nii.gz"
        write_volume(raw / name, mask.astype(np.float32), np.eye(4))
        rows.append((name, "image", "case7"))
    write_volume(raw / "case7.nii.gz", mask, np.eye(4))
    entry = entry_of(raw, [*rows, ("case7.nii.gz", "mask", "case7")], channels=2)
    assert written(entry, tmp_path)["case7"].name == "case7.nii.gz"


def pictures(folder, names, masks, settings=None, **facts):
    """Pictures and their masks; `names` are paths of images without their endings."""
    raw, rows = folder / "raw", []
    for name, mask in zip(names, masks, strict=True):
        case = name.replace("/", "-")
        for role in ("image", "mask"):
            path = raw / role / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            array = mask * 100 if role == "image" else mask
            tifffile.imwrite(path, array, photometric="minisblack")
            rows.append((path.relative_to(raw).as_posix(), role, case))
    own = {"values": {1: 1, 2: 2}, **(settings or {})}
    facts = {"ndim": 2, "spacing_unit": "px"} | facts
    return entry_of(raw, rows, "pictures", own, **facts)


def test_pictures_become_png_with_class_numbers_and_originals_are_not_needed(tmp_path):
    masks = masks_of((17, 20), 3)
    entry = pictures(tmp_path, ("left", "right_0001"), masks)
    prepare_dataset(entry, DatasetSettings(name="toy"), tmp_path / "raw", tmp_path / "store")
    store = CaseStore.open(tmp_path / "store")
    (tmp_path / "raw").rename(tmp_path / "gone")
    targets = targets_of(entry, tmp_path / "raw", store, store.columns["case"])
    for case, mask in zip(("left", "right_0001"), masks, strict=True):
        write_mask(tmp_path, targets[case], mask, "toy")
        found = Image.open(tmp_path / f"{case}.png")
        assert found.mode == "L"
        np.testing.assert_array_equal(np.array(found), mask)
        assert found.text == {"Description": "toy"}


@pytest.mark.parametrize("names", [("a/scan", "b/scan"), ("a/scan", "b/SCAN")])
def test_two_originals_of_one_name_are_told_apart_by_their_cases(tmp_path, names):
    files = written(pictures(tmp_path, names, masks_of((16, 16), 0)), tmp_path)
    assert sorted(path.name for path in files.values()) == [
        f"{name.replace('/', '-')}.png" for name in names
    ]


def test_pages_that_are_slices_become_one_tiff_and_pages_that_are_cases_pictures(tmp_path):
    masks = masks_of((4, 18, 20), 5)
    entry = pictures(tmp_path / "stack", "xy", masks, {"pages": "slices"}, ndim=3)
    for path, mask in zip(written(entry, tmp_path / "stack").values(), masks, strict=True):
        assert path.suffix == ".tif"
        np.testing.assert_array_equal(tifffile.imread(path), mask)
        np.testing.assert_array_equal(
            SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), mask
        )
    entry = pictures(tmp_path / "pages", "xy", masks, {"pages": "cases"})
    files = written(entry, tmp_path / "pages")
    assert len(files) == 8
    for number, mask in enumerate(masks[1], start=1):
        np.testing.assert_array_equal(np.array(Image.open(files[f"y-p{number:03d}"])), mask)
        assert files[f"y-p{number:03d}"].name == f"y-p{number:03d}.png"


@pytest.mark.parametrize("form", ["volume", "picture", "stack"])
def test_probabilities_are_kept_per_class(tmp_path, form):
    shape = (4, 17, 18) if form != "picture" else (17, 18)
    masks = masks_of(shape, 6)
    if form == "volume":
        affine = np.array([[0, 0, -2.0, 3], [1.5, 0, 0, -2], [0, -0.75, 0, 9], [0, 0, 0, 1]])
        entry = volumes(tmp_path, masks, affine)
    else:
        pages = {"pages": "slices"} if form == "stack" else {}
        entry = pictures(tmp_path, ("scan0", "scan1"), masks, pages, ndim=len(shape))
    prepare_dataset(entry, DatasetSettings(name="toy"), tmp_path / "raw", tmp_path / "store")
    store = CaseStore.open(tmp_path / "store")
    target = targets_of(entry, tmp_path / "raw", store, ["scan0"])["scan0"]
    raw = np.random.default_rng(0).random((3, *store.original_shape(0))).astype(np.float32)
    probabilities = raw / raw.sum(axis=0)
    write_probabilities(tmp_path / "p", target, probabilities, "toy")
    assert len(list((tmp_path / "p").iterdir())) == 3
    for number in range(3):
        name = f"scan0_class{number}"
        if form == "volume":
            found = nibabel.as_closest_canonical(nibabel.load(tmp_path / f"p/{name}.nii.gz"))
            np.testing.assert_array_equal(found.get_fdata(dtype=np.float32), probabilities[number])
        elif form == "stack":
            found = tifffile.imread(tmp_path / f"p/{name}.tif")
            np.testing.assert_array_equal(found, probabilities[number])
        else:
            found = np.array(Image.open(tmp_path / f"p/{name}.png"))
            assert found.dtype == np.uint16
            np.testing.assert_allclose(found / 65535, probabilities[number], atol=0.5 / 65535)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), r"1 original file\(s\) are gone.*scan0.nii.gz; put them back"),
        (
            lambda path: path.write_bytes(path.read_bytes() + b"x"),
            "scan0.nii.gz: is not the file that was listed",
        ),
    ],
)
def test_an_original_that_is_gone_or_changed_is_named(tmp_path, damage, said):
    entry = volumes(tmp_path, masks_of((4, 5, 6), 0), np.eye(4))
    prepare_dataset(entry, DatasetSettings(name="toy"), tmp_path / "raw", tmp_path / "store")
    store = CaseStore.open(tmp_path / "store")
    damage(tmp_path / "raw/image/scan0.nii.gz")
    with pytest.raises(DataError, match=said):
        targets_of(entry, tmp_path / "raw", store, ["scan0", "scan1"])
    assert list(targets_of(entry, tmp_path / "raw", store, ["scan1"])) == ["scan1"]


def test_a_mask_lies_on_its_dicom_series(tmp_path, write_series):
    """Named as its case; as SimpleITK places the series that GDCM reads."""
    affine = np.array([[0, -0.6, -1.1, 9], [1.4, 0.1, 0, -20], [0.2, -0.5, 2.0, 4], [0, 0, 0, 1]])
    affine[:3, :3] = np.linalg.qr(affine[:3, :3])[0] @ np.diag([1.5, 0.75, 2.5])
    if np.linalg.det(affine[:3, :3]) < 0:  # a DICOM series is right-handed
        affine[:3, 0] *= -1
    (mask,) = masks_of((5, 6, 7), 1, 1)
    raw = tmp_path / "raw"
    paths = write_series(raw / "slices", mask.astype(np.int16), affine)
    rows = [(path.relative_to(raw).as_posix(), "image_slice", "anna") for path in reversed(paths)]
    write_volume(raw / "mask.nii.gz", mask, affine)
    entry = entry_of(raw, [*rows, ("mask.nii.gz", "mask", "anna")], "dicom")
    found = SimpleITK.ReadImage(str(written(entry, tmp_path)["anna"]))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(raw / "slices")))
    series = reader.Execute()
    np.testing.assert_allclose(geometry(found), geometry(series), atol=2e-4)
    np.testing.assert_array_equal(
        SimpleITK.GetArrayFromImage(found), SimpleITK.GetArrayFromImage(series)
    )


def test_a_case_of_a_decathlon_archive_has_the_grid_of_its_file_in_there(tmp_path):
    affine = TURNED
    task, masks = tmp_path / "Task99_Organ", masks_of((4, 5, 6), 3)
    for kind in ("imagesTr", "labelsTr"):
        (task / kind).mkdir(parents=True)
        for number, mask in enumerate(masks):
            write_volume(task / kind / f"organ_{number}.nii.gz", mask, affine)
    pairs = [
        {key: f"./{kind}/organ_{number}.nii.gz" for key, kind in
         (("image", "imagesTr"), ("label", "labelsTr"))}
        for number in range(2)
    ]  # fmt: skip
    (task / "dataset.json").write_text(json.dumps({"training": pairs}))
    (tmp_path / "raw").mkdir()
    with tarfile.open(tmp_path / "raw" / "Task99_Organ.tar", "w") as archive:
        archive.add(task, "Task99_Organ")
    packed = (tmp_path / "raw" / "Task99_Organ.tar").read_bytes()
    entry = entry_of(tmp_path / "raw", [], "nifti").model_copy(
        update={
            "listing": None,
            "origin": ArchiveOrigin(
                kind="archive",
                url="http://h/Task99_Organ.tar",
                md5=hashlib.md5(packed).hexdigest(),
                page="http://h",
            ),
        }
    )
    for number, path in enumerate(written(entry, tmp_path).values()):
        found = nibabel.load(path)
        assert path.name == f"organ_{number}.nii.gz"
        np.testing.assert_array_equal(np.asanyarray(found.dataobj), masks[number])
        np.testing.assert_array_equal(found.affine, affine)
    (tmp_path / "raw" / "Task99_Organ.tar").unlink()
    store = CaseStore.open(tmp_path / "store")
    with pytest.raises(DataError, match=r"gone.*Task99_Organ.tar; get .*attnbench fetch"):
        targets_of(entry, tmp_path / "raw", store, ["organ_0"])


def test_generated_volumes_have_their_spacing(tmp_path):
    entry = load_entry("phantom3d")
    (case, _) = islice(generate(entry), 2)
    settings_ = DatasetSettings(name="phantom3d")
    write_store(tmp_path / "store", [prepare_case(case, settings_)], describe(entry, settings_))
    store = CaseStore.open(tmp_path / "store")
    target = targets_of(entry, tmp_path / "raw", store, [case.case])[case.case]
    write_mask(tmp_path, replace(target, spacing=(1.0, 2.0, 3.0)), case.mask, "toy")
    for found in (
        nibabel.load(tmp_path / f"{case.case}.nii.gz"),
        SimpleITK.ReadImage(str(tmp_path / f"{case.case}.nii.gz")),
    ):
        by_itk = isinstance(found, SimpleITK.Image)
        sides = found.GetSpacing() if by_itk else found.header.get_zooms()
        array = (
            SimpleITK.GetArrayFromImage(found).transpose(2, 1, 0)
            if by_itk
            else np.asanyarray(found.dataobj)
        )
        assert tuple(sides) == (1, 2, 3)
        np.testing.assert_array_equal(array, case.mask)


def round_scans(folder):
    rows = []
    for number, mask in enumerate(masks_of((16, 18, 20), 0)):
        image = mask * 500.0 + np.random.default_rng(number).normal(0, 99, mask.shape)
        inside = np.ones_like(mask)
        inside[:3] = 0
        for role, array in (("image", image.astype(np.int16)), ("mask", mask), ("fov", inside)):
            path = folder / "raw" / role / f"scan{number}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(path, array, TURNED)
            rows.append((f"{role}/{path.name}", role, f"scan{number}"))
    return entry_of(folder / "raw", rows)


def round_pictures(folder, reader="pictures", channels=3):
    rows, settings = [], {"values": {1: 1, 2: 2}} if reader == "pictures" else {}
    for number, mask in enumerate(masks_of((30, 34), 0)):
        image = mask[..., None] * 60 + np.random.default_rng(number).integers(0, 99, (30, 34, 3))
        inside = np.full_like(mask, 255)
        inside[:, :9] = 0
        mask = mask if reader == "pictures" else (mask > 0).astype(np.uint8) * 255
        for role, array in (("image", image.astype(np.uint8)), ("mask", mask), ("fov", inside)):
            path = folder / "raw" / role / f"scan{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
            rows.append((f"{role}/{path.name}", role, f"scan{number}"))
    classes = {1: "a", 2: "b"} if reader == "pictures" else {1: "a"}
    facts = {"ndim": 2, "spacing_unit": "px", "channels": channels, "classes": classes}
    return entry_of(folder / "raw", rows, reader, settings, **facts)


@pytest.mark.parametrize(
    ("make", "asked"),
    [
        (round_scans, {}),
        (round_scans, {"spacing": (2.0, 1.0, 1.0), "interpolation": "cubic"}),
        (round_pictures, {"size": (20, 20), "channels": "grey"}),
        (round_pictures, {"channels": (2, 0)}),
        (lambda folder: round_pictures(folder, "binary_mask", 1), {}),
    ],
)
def test_a_file_is_prepared_as_the_case_that_it_is(tmp_path, make, asked):
    entry, settings = make(tmp_path), DatasetSettings(name="toy", **asked)
    prepare_dataset(entry, settings, tmp_path / "raw", tmp_path / "store")
    store = CaseStore.open(tmp_path / "store")
    raw = tmp_path / "raw"
    sources, problems = find_sources(entry, [raw / "image"], raw / "fov")
    assert problems == []
    assert [source.name for source in sources] == ["scan0", "scan1"]
    for index, source in enumerate(sources):
        new = read_new(entry, settings, source)
        np.testing.assert_array_equal(new.image, store.image(index))
        np.testing.assert_array_equal(new.statistics, store.statistics[index])
        assert new.target.shape == store.original_shape(index)
        assert new.target.spacing == store.original_spacing(index)
        assert cases_like(store, new.image, new.statistics) == [f"scan{index}"]
        changed = np.array(new.image)
        changed[0].flat[-1] += 1
        assert cases_like(store, changed, new.statistics) == []
    whole = read_new(entry, settings, find_sources(entry, [raw / "image"])[0][0])
    assert (whole.image != store.image(0)).any()


def test_a_field_of_view_that_is_missing_or_not_asked_for_is_named(tmp_path):
    entry = round_pictures(tmp_path)
    (tmp_path / "raw/fov/scan1.png").unlink()
    _, problems = find_sources(entry, [tmp_path / "raw/image"], tmp_path / "raw/fov")
    assert len(problems) == 1
    assert "image/scan1.png: no field of view" in problems[0]
    without = entry_of(tmp_path / "raw", [("image/scan0.png", "image", "scan0")], ndim=2)
    _, problems = find_sources(without, [], tmp_path / "raw/fov")
    assert len(problems) == 1
    assert "have no fields of view" in problems[0]
