"""Volumes of every format on their grids; SimpleITK, nibabel and MONAI are the references."""

import csv
import gzip
import re
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from attnbench.catalog import Entry
from attnbench.data.read import read_cases
from attnbench.data.readers.grid import canonical
from attnbench.data.readers.volume import grid_of, load_volume
from attnbench.errors import DataError

TYPES = ("uint8", "int16", "uint16", "int32", "float32", "float64")
TURNS = [
    (axes, signs) for axes in permutations(range(3)) for signs in product((1.0, -1.0), repeat=3)
]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
RNG = np.random.default_rng(8)
VOLUME = RNG.integers(0, 200, (5, 6, 7)).astype(np.int16)
PARTS = (VOLUME > 90).astype(np.uint8) + (VOLUME > 150)
SPACING = (1.5, 0.75, 2.0)
AFFINE = np.array([[1.5, 0, 0, -20], [0, 0.75, 0, 9], [0, 0, 2.0, 4], [0, 0, 0, 1]])


@st.composite
def affines(draw):
    """Affines of scanners: any axes and flips, a small tilt, any spacing and origin."""
    axes, signs = draw(st.sampled_from(TURNS))
    angle = draw(st.floats(-0.3, 0.3))
    spacing = [draw(st.sampled_from([0.5, 0.75, 1.0, 1.25, 3.0])) for _ in range(3)]
    tilt = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    turn = np.eye(3)[:, axes] * signs
    affine = np.eye(4)
    affine[:3, :3] = tilt @ turn * spacing
    affine[:3, 3] = [draw(st.integers(-200, 200)) for _ in range(3)]
    return affine


def as_itk(array, affine, vector=False):
    """The same volume as SimpleITK has it: LPS, axes the other way round."""
    order = (2, 1, 0, 3)[: array.ndim]
    image = SimpleITK.GetImageFromArray(
        np.ascontiguousarray(array.transpose(order)), isVector=vector
    )
    lps = LPS @ affine
    sides = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(sides.tolist())
    image.SetDirection((lps[:3, :3] / sides).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def turned_by_itk(path):
    """Array (X, Y, Z), spacing and origin after SimpleITK's own turn to RAS axes."""
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "RAS")
    array = SimpleITK.GetArrayFromImage(image)
    return array.transpose(2, 1, 0), image.GetSpacing(), image.GetOrigin()


@given(
    affine=affines(),
    shape=st.tuples(*[st.integers(2, 5)] * 3),
    dtype=st.sampled_from(TYPES),
    ending=st.sampled_from([".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"]),
    seed=st.integers(0, 999),
)
def test_a_volume_is_the_same_in_every_format_and_as_simpleitk_turns_it(
    tmp_path_factory, affine, shape, dtype, ending, seed
):
    folder = tmp_path_factory.mktemp("formats")
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    SimpleITK.WriteImage(as_itk(array, affine), str(folder / f"v{ending}"))
    nibabel.save(nibabel.Nifti1Image(array, affine), folder / "reference.nii")
    volume = canonical(load_volume(folder / f"v{ending}"))
    expected, spacing, origin = turned_by_itk(folder / f"v{ending}")
    np.testing.assert_array_equal(volume.array, expected)
    np.testing.assert_allclose(volume.grid.spacing, spacing, rtol=1e-5)
    np.testing.assert_allclose((LPS @ volume.grid.affine)[:3, 3], origin, atol=1e-3)
    by_nibabel = nibabel.as_closest_canonical(nibabel.load(folder / "reference.nii"))
    np.testing.assert_array_equal(volume.array, np.asanyarray(by_nibabel.dataobj))
    np.testing.assert_allclose(volume.grid.affine, by_nibabel.affine, atol=1e-3)
    assert volume.array.dtype == np.dtype(dtype)
    assert grid_of(folder / f"v{ending}").shape == array.shape


def test_monai_turns_nifti_as_the_reader_does(tmp_path):
    from monai.transforms import LoadImage, Orientation

    affine = np.array([[0, 0, -2.0, 30], [1.5, 0, 0, -20], [0, -0.75, 0, 9], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(VOLUME, affine), tmp_path / "v.nii.gz")
    image = LoadImage(ensure_channel_first=True, image_only=True)(tmp_path / "v.nii.gz")
    expected = Orientation(axcodes="RAS", labels=None)(image)
    volume = canonical(load_volume(tmp_path / "v.nii.gz"))
    np.testing.assert_array_equal(volume.array, expected[0].numpy())
    np.testing.assert_allclose(volume.grid.affine, expected.affine.numpy(), atol=1e-5)


class Case:
    """One case of files in a folder, and the entry that describes it."""

    def __init__(self, folder, settings=None, **facts):
        self.raw, self.rows = folder / "raw", []
        self.raw.mkdir(parents=True, exist_ok=True)
        self.facts = {"ndim": 3, "channels": 1, "classes": {1: "a", 2: "b"}, "spacing_unit": "mm"}
        self.facts |= facts
        self.settings, self.listing = settings or {}, folder / "toy.files.csv"

    def add(self, role, name, content, affine=AFFINE):
        path = self.raw / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, nibabel.Nifti1Image):
            nibabel.save(content, path)
        elif isinstance(content, SimpleITK.Image):
            SimpleITK.WriteImage(content, str(path))
        elif name.endswith((".nii", ".nii.gz")):
            nibabel.save(nibabel.Nifti1Image(content, affine), path)
        else:
            SimpleITK.WriteImage(as_itk(content, affine), str(path))
        self.rows.append((name, 1, "", role, "p1", "g1"))
        return self

    def read(self):
        with self.listing.open("w", newline="") as stream:
            csv.writer(stream).writerows(
                [("path", "bytes", "sha256", "role", "case", "group"), *self.rows]
            )
        words = dict.fromkeys(("title", "short", "task", "modality", "licence", "citation"), "w")
        names = tuple("abc"[: self.facts["ndim"]])
        entry = Entry(
            name="toy", **words, axes=names, mirror={"axes": (), "reason": "e"}, cases=1, groups=1,
            groups_inferred=False, listing=self.listing, **self.facts,
            origin={"kind": "files", "url": "http://h/{path}", "page": "http://h"},
            reader={"name": "volume", "settings": self.settings},
        )  # fmt: skip
        (case,) = read_cases(entry, self.raw)
        return case


def pair(folder, image=VOLUME, mask=PARTS, ending=".nii.gz", settings=None, **facts):
    own = {key: facts.pop(key) for key in ("affine", "mask_affine") if key in facts}
    case = Case(folder, settings, **facts)
    case.add("image", f"image{ending}", image, own.get("affine", AFFINE))
    return case.add("mask", f"mask{ending}", mask, own.get("mask_affine", AFFINE))


@pytest.mark.parametrize("ending", [".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".NII.GZ", ".MHA"])
def test_image_and_mask_of_every_format(tmp_path, ending):
    case = pair(tmp_path, ending=ending.lower())
    for row, name in enumerate(("image", "mask")):
        (tmp_path / f"raw/{name}{ending.lower()}").rename(tmp_path / f"raw/{name}{ending}")
        case.rows[row] = (f"{name}{ending}", *case.rows[row][1:])
    read = case.read()
    np.testing.assert_array_equal(read.image[0], VOLUME)
    np.testing.assert_array_equal(read.mask, PARTS)
    assert read.spacing == SPACING
    assert read.image.dtype == np.int16


@given(turn=st.sampled_from(TURNS), mask_turn=st.sampled_from(TURNS))
def test_a_mask_that_is_stored_in_other_axes_falls_on_its_image(tmp_path_factory, turn, mask_turn):
    case = Case(tmp_path_factory.mktemp("turned"))
    for role, array, (axes, signs), ending in (
        ("image", VOLUME, turn, ".nrrd"), ("mask", PARTS, mask_turn, ".nii"),
    ):  # fmt: skip
        stored = nibabel.Nifti1Image(array, AFFINE).as_reoriented(
            np.stack([np.argsort(axes), np.array(signs)[np.argsort(axes)]], axis=1)
        )
        case.add(role, role + ending, np.asanyarray(stored.dataobj), stored.affine)
    read = case.read()
    np.testing.assert_array_equal(read.image[0], VOLUME)
    np.testing.assert_array_equal(read.mask, PARTS)
    assert read.spacing == SPACING


def test_several_files_are_channels_in_the_order_of_the_list(tmp_path):
    case = Case(tmp_path, channels=3).add("image", "x_0001.nrrd", VOLUME)
    case.add("image", "x_0000.nii.gz", VOLUME[::-1]).add("image", "x_0002.mha", VOLUME * 2)
    read = case.add("mask", "m.nii.gz", PARTS).read()
    np.testing.assert_array_equal(read.image, [VOLUME, VOLUME[::-1], VOLUME * 2])


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
def test_a_fourth_axis_or_vectors_are_channels(tmp_path, ending):
    stack = np.stack([VOLUME, VOLUME[::-1]], axis=-1)
    case = Case(tmp_path, channels=2).add("mask", "m.nii.gz", PARTS)
    content = stack if ending == ".nii.gz" else as_itk(stack, AFFINE, vector=True)
    read = case.add("image", f"x{ending}", content).read()
    np.testing.assert_array_equal(read.image, [VOLUME, VOLUME[::-1]])


@pytest.mark.parametrize("axes", [(5, 6), (5, 6, 1)])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_pictures_in_nifti_keep_their_axes(tmp_path, axes, ending):
    image, mask = VOLUME[:, :, 0].reshape(axes), PARTS[:, :, 0].reshape(axes)
    read = pair(tmp_path, image, mask, ending, ndim=2).read()
    np.testing.assert_array_equal(read.image[0], VOLUME[:, :, 0])
    np.testing.assert_array_equal(read.mask, PARTS[:, :, 0])
    assert read.spacing == SPACING[:2]


@given(values=st.lists(st.integers(1, 60000), min_size=1, max_size=4, unique=True))
def test_declared_values_become_classes(tmp_path_factory, values):
    classes = {number: f"c{number}" for number in range(1, len(values) + 1)}
    truth = np.random.default_rng(len(values)).integers(0, len(values) + 1, VOLUME.shape)
    stored = np.array([0, *values])[truth].astype(np.uint16)
    settings = {"values": {value: number for number, value in enumerate(values, 1)}}
    folder = tmp_path_factory.mktemp("values")
    read = pair(folder, mask=stored, settings=settings, classes=classes).read()
    np.testing.assert_array_equal(read.mask, truth)


def test_a_soft_mask_is_cut_where_the_settings_say(tmp_path):
    soft = (PARTS > 0) * np.float32(0.999)
    read = pair(tmp_path, mask=soft, settings={"threshold": 0.5}, classes={1: "a"}).read()
    np.testing.assert_array_equal(read.mask, PARTS > 0)


def test_one_mask_per_class_and_the_higher_class_stays(tmp_path):
    one, two = VOLUME > 50, VOLUME > 120
    case = Case(tmp_path, {"masks": {"mask_organ": 1, "mask_lesion": 2}})
    case.add("image", "i.nii.gz", VOLUME).add("mask_organ", "o.nii.gz", one.astype(np.uint8))
    read = case.add("mask_lesion", "l.nrrd", two.astype(np.uint8) * 255).read()
    np.testing.assert_array_equal(read.mask, np.where(two, 2, one))


def test_second_rater_and_field_of_view(tmp_path):
    case = pair(tmp_path).add("mask_second_rater", "r.nrrd", PARTS[::-1])
    read = case.add("fov", "f.nii", (VOLUME > 20).astype(np.uint8)).read()
    np.testing.assert_array_equal(read.second_rater, PARTS[::-1])
    np.testing.assert_array_equal(read.fov, VOLUME > 20)


def test_big_endian_numbers_are_read_in_this_machines_order(tmp_path):
    header = (
        b"NRRD0004\ntype: int16\ndimension: 3\nspace: right-anterior-superior\nsizes: 5 6 7\n"
        b"space directions: (1.5,0,0) (0,0.75,0) (0,0,2)\nspace origin: (-20,9,4)\n"
        b"endian: big\nencoding: raw\n\n"
    )
    data = VOLUME.astype(">i2").tobytes(order="F")
    big = nibabel.Nifti1Image(VOLUME.astype(">i2"), AFFINE)
    big = nibabel.Nifti1Image(VOLUME, AFFINE, big.header.as_byteswapped(">"))
    for name, content in (("i.nrrd", header + data), ("i.nii", big.to_bytes())):
        case = Case(tmp_path / name).add("image", name, content).add("mask", "m.nii.gz", PARTS)
        read = case.read()
        np.testing.assert_array_equal(read.image[0], VOLUME)
        assert read.image.dtype.isnative
        assert read.spacing == SPACING


def test_scaled_nifti_holds_the_scaled_numbers(tmp_path):
    scaled = nibabel.Nifti1Image(VOLUME, AFFINE)
    scaled.header.set_slope_inter(2.0, -1024)
    scaled = nibabel.Nifti1Image(VOLUME * 2.0 - 1024, AFFINE, scaled.header)
    read = pair(tmp_path, scaled).read()
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "raw/image.nii.gz")))
    np.testing.assert_allclose(read.image[0], expected.transpose(2, 1, 0), atol=0.01)
    assert read.image.min() < 0


def silent_nifti(array):
    """A file whose header says nothing of spacing and place."""
    image = nibabel.Nifti1Image(array, None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = 1
    return image


def silent_mha(array):
    return (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        b"DimSize = 5 6 7\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    ) + array.astype("<i2").tobytes(order="F")


@pytest.mark.parametrize(
    ("name", "content"), [("v.nii", silent_nifti(VOLUME)), ("v.mha", silent_mha(VOLUME))]
)
def test_a_header_without_spacing_says_so_and_the_entrys_spacing_counts(tmp_path, name, content):
    case = Case(tmp_path, spacing=(3.0, 2.0, 1.0)).add("image", name, content)
    assert not grid_of(case.raw / name).stated
    assert grid_of(case.raw / name).spacing == (1, 1, 1)
    mask = silent_nifti(PARTS) if name.endswith(".nii") else silent_mha(PARTS)
    assert case.add("mask", f"m{name}", mask).read().spacing == (3.0, 2.0, 1.0)


def nifti(array=VOLUME, affine=AFFINE, unit="mm", **fields):
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units(unit)
    for key, value in fields.items():
        image.header[key] = value
    return image


def bytes_with(field, value, array=VOLUME):
    """A NIfTI file one field of whose header was changed afterwards, as no library would."""
    header = nibabel.Nifti1Header(nifti(array).to_bytes()[:348])
    header.structarr[field] = value
    return header.structarr.tobytes() + nifti(array).to_bytes()[348:]


def two_orientations():
    image = nifti()
    flipped = AFFINE.copy()
    flipped[0] = [-1.5, 0, 0, 20]
    image.set_sform(AFFINE, 1)
    image.set_qform(flipped, 1)
    return image


def rgb(shape=VOLUME.shape):
    return nibabel.Nifti1Image(np.zeros(shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]), AFFINE)


def moved(by=0.75):
    affine = AFFINE.copy()
    affine[1, 3] += by
    return affine


NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 5 6 7\nencoding: raw\nendian: little\n"
RAW = VOLUME.astype("<i2").tobytes(order="F")
UM = (
    "space dimension: 3\nspace directions: (1,0,0) (0,1,0) (0,0,1)\n"
    'space units: "{0}" "{0}" "{0}"\n'
)
MHD = "NDims = 3\nDimSize = 5 6 7\nElementType = MET_SHORT\nElementDataFile = {}\n"
FAR = np.diag([1.0, 1.0, 1.0, 1.0])
HOSTILE = {
    "empty file": ("i.nii", b"", "cannot be read: .*Empty file"),
    "no volume at all": ("i.nii.gz", b"<html>", "cannot be read"),
    "truncated gzip": ("i.nii.gz", gzip.compress(nifti().to_bytes())[:150], "cannot be read"),
    "truncated voxels": ("i.nii", nifti().to_bytes()[:500], "cannot be read"),
    "gzip without its ending": (
        "i.nii",
        gzip.compress(nifti().to_bytes()),
        "rename it to end in .nii.gz",
    ),
    "ending without gzip": ("i.nii.gz", nifti().to_bytes(), "rename it to end in .nii"),
    "metres": ("i.nii", nifti(unit="meter"), "measures in 'm'; the dataset's volumes are in mm"),
    "micrometres": ("i.nii", nifti(unit="micron"), "measures in 'um'"),
    "colours": ("i.nii", rgb(), "its voxels are colours; a voxel is one real number"),
    "complex numbers": ("i.nii", nifti(VOLUME.astype(np.complex64)), "of type complex64"),
    "five axes": (
        "i.nii",
        nifti(np.zeros((5, 6, 7, 2, 3), np.int16)),
        r"has axes \(5, 6, 7, 2, 3\)",
    ),
    "a line": ("i.nii", nifti(np.zeros(5, np.int16)), r"has axes \(5,"),
    "two orientations": (
        "i.nii",
        two_orientations(),
        r"two orientations, RAS \(sform\) and LAS \(qform\)",
    ),
    "two spacings": (
        "i.nii",
        bytes_with("pixdim", [1, 9, 0.75, 2, 1, 1, 1, 1]),
        "states two spacings",
    ),
    "no volume spanned": ("i.nii", bytes_with("srow_x", [0, 0, 0, 0]), "spans no volume"),
    "NaN in the affine": ("i.nii", bytes_with("srow_x", [np.nan, 0, 0, 0]), "spans no volume"),
    "unknown number type": ("i.nii", bytes_with("datatype", 777), "cannot be read: .*777"),
    "time series": (
        "i.nii",
        nifti(np.zeros((5, 6, 7, 9), np.int16)),
        r"shape \(9, 5, 6, 7\).*1 channel",
    ),
    "NaN": ("i.nii", nifti(np.where(VOLUME > 150, np.nan, VOLUME)), r"pixel\(s\) are NaN"),
    "infinite": (
        "i.nii",
        nifti(np.where(VOLUME > 150, np.inf, VOLUME)),
        r"pixel\(s\) are NaN or inf",
    ),
    "MHD without its raw file": (
        "i.mhd",
        MHD.format("gone.raw").encode(),
        "to lie in gone.raw, which is not",
    ),
    "MHD of many raw files": (
        "i.mhd",
        MHD.format("s%03d.raw 1 7 1").encode(),
        "lie in several files",
    ),
    "MHA that ends too early": ("i.mha", silent_mha(VOLUME)[:300], "cannot be read"),
    "MHA of another magic": ("i.mha", b"PK\3\4" + RAW, "cannot be read"),
    "NRRD that ends too early": ("i.nrrd", (NRRD + "\n").encode() + RAW[:100], "cannot be read"),
    "NRRD without sizes": (
        "i.nrrd",
        b"NRRD0004\ntype: short\ndimension: 3\n\n" + RAW,
        "cannot be read",
    ),
    "NRRD in micrometres": ("i.nrrd", (NRRD + UM.format("um") + "\n").encode() + RAW, "in 'um'"),
    "NRRD in inches": (
        "i.nrrd",
        (NRRD + UM.format("inch") + "\n").encode() + RAW,
        "measures in inch",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, what):
    name, content, message = HOSTILE[what]
    case = Case(tmp_path).add("image", name, content).add("mask", "m.nii.gz", PARTS)
    with pytest.raises(DataError, match=rf"toy: case 'p1', file {re.escape(name)}: .*{message}"):
        case.read()


MASKS = {
    "soft": (PARTS * np.float32(0.999), r"holds 0.999, 1.998 in \d+ voxel.*`threshold`"),
    "negative": (-PARTS.astype(np.int16), r"holds -2, -1 in \d+ voxel"),
    "beyond a byte": (PARTS.astype(np.uint16) * 256, r"holds 256, 512 in \d+ voxel"),
    "NaN": (np.where(PARTS > 1, np.nan, PARTS), r"holds nan in \d+ voxel"),
    "undeclared": (PARTS * 2, r"holds \[4\]; the catalog declares 0 background, 1 a, 2 b"),
    "0 and 255": ((PARTS > 0).astype(np.uint8) * 255, r"holds \[255\]"),
    "four axes": (np.stack([PARTS, PARTS], axis=-1), "has 2 numbers per voxel; a mask has one"),
    "colours": (rgb(), "its voxels are colours"),
    "another shape": (PARTS[1:], r"has shape \(4, 6, 7\), its image \(5, 6, 7\)"),
}


@pytest.mark.parametrize("what", MASKS)
def test_a_mask_that_is_none_is_refused_by_name(tmp_path, what):
    content, message = MASKS[what]
    with pytest.raises(DataError, match=rf"file mask.nii.gz: mask {message}|: {message}"):
        pair(tmp_path, mask=content).read()


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (moved(), "mask lies 1.00 voxels away"),
        (FAR, r"mask lies \d+.\d+ voxels away"),
        (AFFINE @ np.diag([1, 1, 2.0, 1]), r"mask lies \d+.\d+ voxels away"),
    ],
)
def test_a_mask_on_another_grid_is_refused_with_both_grids(tmp_path, affine, message):
    with pytest.raises(DataError, match=message) as caught:
        pair(tmp_path, mask_affine=affine).read()
    assert "5 x 6 x 7 voxels of 1.5 x 0.75 x 2 from (-20, 9, 4), RAS" in str(caught.value)
    assert str(caught.value).count("voxels of") == 2


def test_a_channel_on_another_grid_is_refused_with_both_grids(tmp_path):
    case = pair(tmp_path, channels=2).add("image", "x_0001.nrrd", VOLUME, moved())
    with pytest.raises(DataError, match=r"file x_0001.nrrd: channel lies 1.00 voxels.*image.nii"):
        case.read()


def test_values_that_are_not_declared_are_never_background(tmp_path):
    mask = np.where(VOLUME > 100, 128, np.where(VOLUME > 50, 64, 0)).astype(np.uint8)
    case = pair(tmp_path, mask=mask, settings={"values": {128: 1}})
    with pytest.raises(DataError, match=r"holds 64 in \d+ voxel\(s\); declared are 0 and 128"):
        case.read()


def test_an_unknown_setting_is_named(tmp_path):
    with pytest.raises(DataError, match="no 'treshold'; did you mean 'threshold'"):
        pair(tmp_path, settings={"treshold": 1}).read()


@given(data=st.data(), ending=st.sampled_from([".nii", ".nii.gz", ".mha", ".nrrd"]))
def test_damaged_bytes_are_read_or_refused_by_name(tmp_path_factory, data, ending):
    """No damage ends in another error; what is read has the shape that the mask needs."""
    case = pair(tmp_path_factory.mktemp("damaged"), ending=ending)
    path = case.raw / f"image{ending}"
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, min(len(content), 400) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert case.read().image.shape == (1, *PARTS.shape)
    except DataError as error:
        assert "case 'p1', file" in str(error)
