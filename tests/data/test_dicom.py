"""DICOM series and their masks; SimpleITK, pydicom and rt-utils are the references."""

import csv
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnbench.catalog import Entry
from attnbench.data.read import read_cases
from attnbench.errors import DataError

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")
from attnbench.data.readers.dicom.polygons import EDGE, fill_polygons  # noqa: E402
from attnbench.data.readers.dicom.series import load_series  # noqa: E402
from attnbench.data.readers.dicom.structures import load_structures  # noqa: E402
from attnbench.data.readers.grid import Refused, canonical  # noqa: E402

RNG = np.random.default_rng(4)
VOLUME = RNG.integers(0, 2000, (8, 9, 6)).astype(np.int16)
PARTS = np.zeros(VOLUME.shape, np.uint8)
PARTS[2:6, 3:7, 1:4] = 1
PARTS[3:5, 4:6, 2:5] = 2
AFFINE = np.array([[1.5, 0, 0, -20], [0, 0.75, 0, 9], [0, 0, 2.5, 4], [0, 0, 0, 1]])
TURNS = [
    np.eye(3)[:, axes] * signs
    for axes in permutations(range(3))
    for signs in product((1.0, -1.0), repeat=3)
    if np.linalg.det(np.eye(3)[:, axes] * signs) > 0  # DICOM's normal follows the right hand
]


def turned(turn, angle=0.0, spacing=(1.5, 0.75, 2.5)):
    tilt = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = tilt @ turn * spacing
    affine[:3, 3] = [-20, 9, 4]
    return affine


def by_simpleitk(folder):
    """The series as GDCM sorts and SimpleITK turns it to RAS axes: array (X, Y, Z), spacing."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = SimpleITK.DICOMOrient(reader.Execute(), "RAS")
    array = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    return array, image.GetSpacing(), image.GetOrigin()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    turn=st.sampled_from(TURNS),
    angle=st.floats(-0.3, 0.3),
    shape=st.tuples(*[st.integers(2, 5)] * 3),
    slope=st.sampled_from([1, 2, 0.5]),
    intercept=st.sampled_from([0, -1024]),
)
def test_a_series_is_that_of_simpleitk(
    tmp_path_factory, write_series, turn, angle, shape, slope, intercept
):
    folder = tmp_path_factory.mktemp("series")
    array = np.random.default_rng(sum(shape)).integers(0, 3000, shape).astype(np.int16)
    paths = write_series(folder, array, turned(turn, angle), slope=slope, intercept=intercept)
    volume = canonical(load_series(paths).volume)
    expected, spacing, origin = by_simpleitk(folder)
    np.testing.assert_allclose(volume.array, expected, atol=1e-6)
    np.testing.assert_allclose(volume.grid.spacing, spacing, rtol=1e-5)
    np.testing.assert_allclose(volume.grid.affine[:3, 3] * [-1, -1, 1], origin, atol=1e-3)


class Case:
    """One case of DICOM files, and the entry that describes it."""

    def __init__(self, raw, **settings):
        self.raw, self.rows, self.settings = raw, [], settings

    def add(self, role, path):
        name = path.relative_to(self.raw).as_posix()
        self.rows.append((name, 1, "", role, "p1", "g1"))
        return self

    def series(self, paths):
        for path in paths:
            self.add("image_slice", path)
        return self

    def read(self):
        listing = self.raw / "toy.files.csv"
        with listing.open("w", newline="") as stream:
            csv.writer(stream).writerows(
                [("path", "bytes", "sha256", "role", "case", "group"), *self.rows]
            )
        words = dict.fromkeys(("title", "short", "task", "modality", "licence", "citation"), "w")
        entry = Entry(
            name="toy", **words, ndim=3, channels=1, classes={1: "organ", 2: "lesion"},
            spacing_unit="mm", axes=("a", "b", "c"), mirror={"axes": (), "reason": "e"}, cases=1,
            groups=1, groups_inferred=False, listing=listing,
            origin={"kind": "files", "url": "http://h/{path}", "page": "http://h"},
            reader={"name": "dicom", "settings": self.settings},
        )  # fmt: skip
        (case,) = read_cases(entry, self.raw)
        return case


def write_seg(path, series, masks, **how):
    """A DICOM-SEG of masks (X, Y, Z) by label, in the order of the slices in `series`."""
    sources = [pydicom.dcmread(file) for file in series]
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number, segment_label=label,
            segmented_property_category=pydicom.sr.codedict.codes.SCT.Organ,
            segmented_property_type=pydicom.sr.codedict.codes.SCT.Liver,
            algorithm_type="MANUAL",
        )
        for number, label in enumerate(masks, 1)
    ]  # fmt: skip
    kind = how.pop("segmentation_type", "BINARY")
    frames = np.stack([mask.transpose(2, 1, 0) for mask in masks.values()], axis=-1)
    frames = frames.astype(float if kind == "FRACTIONAL" else np.uint8)
    highdicom.seg.Segmentation(
        source_images=sources, pixel_array=frames, segmentation_type=kind,
        segment_descriptions=described, series_instance_uid="1.2.9",
        series_number=9, sop_instance_uid="1.2.9.1", instance_number=1, manufacturer="m",
        manufacturer_model_name="m", software_versions="1", device_serial_number="1", **how,
    ).save_as(path)  # fmt: skip
    return path


def slowly_placed(path, series, label):
    """Masks (X, Y, Z) of a segment, frame by frame where ImagePositionPatient says."""
    data = pydicom.dcmread(path)
    number = next(s.SegmentNumber for s in data.SegmentSequence if s.SegmentLabel == label)
    places = [pydicom.dcmread(file).ImagePositionPatient for file in series]
    mask = np.zeros(VOLUME.shape, bool)
    for frame, groups in zip(data.pixel_array, data.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        where = groups.PlanePositionSequence[0].ImagePositionPatient
        mask[:, :, next(k for k, p in enumerate(places) if np.allclose(p, where))] |= frame.T > 0
    return mask


@pytest.mark.parametrize("turn", [TURNS[0], TURNS[5], TURNS[13]])
@pytest.mark.parametrize("sparse", [True, False])
def test_segments_lie_where_their_frames_say(tmp_path, write_series, turn, sparse):
    files = write_series(tmp_path / "s", VOLUME, turned(turn))
    masks = {"Organ": PARTS > 0, "other": PARTS == 0, "Lesion": PARTS == 2}
    seg = write_seg(tmp_path / "seg.dcm", files, masks, omit_empty_frames=sparse)
    case = Case(tmp_path, segments={"Organ": 1, "Lesion": 2}).series(files).add("mask", seg)
    read = case.read()
    for label, number in (("Organ", (1, 2)), ("Lesion", (2,))):
        slow = nibabel.Nifti1Image(slowly_placed(seg, files, label).astype(np.uint8), turned(turn))
        expected = np.asanyarray(nibabel.as_closest_canonical(slow).dataobj)
        np.testing.assert_array_equal(np.isin(read.mask, number), expected > 0)
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(VOLUME, turned(turn)))
    np.testing.assert_array_equal(read.image[0], np.asanyarray(image.dataobj))


def test_a_label_map_is_read_as_segments_are(tmp_path, write_series):
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    masks = {"Organ": PARTS == 1, "Lesion": PARTS == 2}
    seg = write_seg(tmp_path / "seg.dcm", files, masks, segmentation_type="LABELMAP")
    case = Case(tmp_path, segments={"Organ": 1, "Lesion": 2}).series(files).add("mask", seg)
    assert (canonical_mask(case) == expected_mask(PARTS)).all()


def canonical_mask(case):
    return case.read().mask


def expected_mask(mask, affine=AFFINE):
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(mask, affine))
    return np.asanyarray(image.dataobj)


def test_two_hands_two_labels_one_class(tmp_path, write_series):
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    seg = write_seg(tmp_path / "seg.dcm", files, {"LIVER": PARTS == 1, "Lesion": PARTS == 2})
    named = {"Liver": 1, "LIVER": 1, "Lesion": 2}
    case = Case(tmp_path, segments=named).series(files).add("mask", seg)
    np.testing.assert_array_equal(canonical_mask(case), expected_mask(PARTS))


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_a_volume_file_on_the_grid_of_the_series_is_its_mask(tmp_path, write_series, ending):
    files = write_series(tmp_path / "s", VOLUME, AFFINE, intercept=-1024)
    path = tmp_path / f"mask{ending}"
    stored = nibabel.as_closest_canonical(nibabel.Nifti1Image(PARTS, AFFINE))
    nibabel.save(stored, tmp_path / "m.nii.gz")
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(tmp_path / "m.nii.gz")), str(path))
    read = Case(tmp_path).series(files).add("mask", path).read()
    np.testing.assert_array_equal(read.mask, expected_mask(PARTS))
    np.testing.assert_array_equal(read.image[0], expected_mask(VOLUME) - 1024)


SQUARE = turned(TURNS[0], 0.0, (1.5, 1.5, 2.5))


def rt_structures(folder, masks, path):
    """Structures of masks (X, Y, Z), drawn by rt-utils, and how it fills them itself."""
    rt_utils = pytest.importorskip("rt_utils")
    built = rt_utils.RTStructBuilder.create_new(dicom_series_path=str(folder))
    for name, mask in masks.items():
        built.add_roi(mask=mask.transpose(1, 0, 2), name=name)
    built.save(str(path))
    opened = rt_utils.RTStructBuilder.create_from(str(folder), str(path))
    return {name: opened.get_roi_mask_by_name(name).transpose(1, 0, 2) for name in masks}


def blobs(seed, shape=(40, 40, 5)):
    """A smooth random area with holes on every slice."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=shape)
    return gaussian_filter(noise, (3, 3, 1)) > 0.02


@pytest.mark.parametrize("seed", range(3))
def test_structures_are_filled_as_they_were_traced(tmp_path, write_series, seed):
    mask = blobs(seed)
    array = np.zeros(mask.shape, np.int16)
    affine = turned(TURNS[0], 0.1, (1.5, 1.5, 2.5))  # rt-utils swaps the sides of oblong pixels
    files = write_series(tmp_path / "s", array, affine)
    by_rt_utils = rt_structures(tmp_path / "s", {"organ": mask}, tmp_path / "rt.dcm")["organ"]
    series = load_series(files)
    grid, frame = series.volume.grid, series.frame_of_reference
    ours = load_structures(tmp_path / "rt.dcm", grid, {"organ": 1}, frame) > 0
    np.testing.assert_array_equal(ours, mask)
    np.testing.assert_array_equal(ours, by_rt_utils)


def slow_odd(corners, shape):
    """Even-odd rule by a ray from every centre, and how near each centre is to an edge."""
    inside, near = np.zeros(shape, bool), np.full(shape, np.inf)
    for point in np.ndindex(*shape):
        for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if (x1 > point[0]) != (x2 > point[0]):
                inside[point] ^= point[1] < (y2 - y1) * (point[0] - x1) / (x2 - x1) + y1
            along, to = np.array([x2 - x1, y2 - y1]), np.array(point) - [x1, y1]
            share = np.clip(to @ along / (along @ along or 1), 0, 1)
            near[point] = min(near[point], np.linalg.norm(to - share * along))
    return inside, near


@given(
    corners=st.lists(
        st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=8, unique=True
    )
)
def test_polygons_are_filled_by_the_even_odd_rule(corners):
    corners, shape = np.array(corners), (9, 10)
    expected, near = slow_odd(corners, shape)
    ours = fill_polygons([corners], shape)
    sure = np.abs(near - EDGE) > 1e-6
    np.testing.assert_array_equal(ours[sure], (expected | (near <= EDGE))[sure])


def test_skimage_and_matplotlib_fill_the_same_inside():
    from matplotlib.path import Path as Outline
    from skimage.draw import polygon2mask

    corners = np.array([[2.3, 2.2], [30.4, 5.1], [25.2, 33.7], [12.6, 20.1], [3.1, 28.7]])
    ours = fill_polygons([corners], (40, 41))
    np.testing.assert_array_equal(ours, polygon2mask((40, 41), corners))
    centres = np.stack(np.mgrid[0:40, 0:41], axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(ours.ravel(), Outline(corners).contains_points(centres))


def test_an_inner_contour_is_a_hole_and_its_edge_belongs_to_the_area():
    square = np.array([[1, 1], [1, 8], [8, 8], [8, 1]], float)
    hole = np.array([[3, 3], [3, 6], [6, 6], [6, 3]], float)
    expected = np.zeros((10, 10), bool)
    expected[1:9, 1:9] = True
    expected[4:6, 4:6] = False
    np.testing.assert_array_equal(fill_polygons([square, hole], (10, 10)), expected)


def test_monochrome1_is_turned_round_and_hounsfield_units_are_not(tmp_path, write_series):
    stored = VOLUME.astype(np.uint16)
    how = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    plain = write_series(tmp_path / "a", stored, AFFINE, Modality="MR", **how)
    np.testing.assert_array_equal(load_series(plain).volume.array, 4095 - stored.astype(int))
    units = write_series(tmp_path / "b", stored, AFFINE, intercept=-1024, **how)
    np.testing.assert_array_equal(load_series(units).volume.array, stored.astype(int) - 1024)


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless", "JPEG2000Lossless"])
def test_compressed_slices_are_those_that_went_in(tmp_path, write_series, syntax):
    array = np.random.default_rng(1).integers(0, 4000, (32, 32, 3)).astype(np.uint16)
    files = write_series(tmp_path / "s", array, AFFINE)
    for file in files:
        data = pydicom.dcmread(file)
        try:
            data.compress(getattr(pydicom.uid, syntax))
        except (RuntimeError, NotImplementedError) as error:
            pytest.skip(f"no encoder here: {error}")
        data.save_as(file)
    np.testing.assert_array_equal(load_series(files).volume.array, array)


@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (0.5, 3)])
def test_lossless_jpeg_is_decoded_by_simpleitk(tmp_path, write_series, slope, intercept):
    array = np.random.default_rng(1).integers(0, 4000, (32, 32, 3)).astype(np.int16)
    files = write_series(tmp_path / "s", array, AFFINE, slope=slope, intercept=intercept)
    writer = SimpleITK.ImageFileWriter()
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(tmp_path / "packed.dcm"))
    for number, file in enumerate(files):
        writer.Execute(SimpleITK.GetImageFromArray(array[:, :, number].T[None]))
        packed, data = pydicom.dcmread(tmp_path / "packed.dcm"), pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        data.PixelData = packed.PixelData
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.save_as(file)
    assert packed.file_meta.TransferSyntaxUID == pydicom.uid.JPEGLosslessSV1
    volume = load_series(files).volume
    np.testing.assert_allclose(volume.array, array * float(slope) + intercept)
    assert volume.array.dtype == (np.float32 if slope == 0.5 else np.int16)


def enhanced(path, array, affine, **changes):
    """One multi-frame file of a volume, its geometry in functional groups."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    sides = np.linalg.norm(lps[:3, :3], axis=0)
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.7.1"
    data.SeriesInstanceUID, data.Modality, data.PatientID = "1.2.7", "CT", "P1"
    data.Rows, data.Columns, data.NumberOfFrames = array.shape[1], array.shape[0], array.shape[2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1

    def item(**values):
        made = pydicom.Dataset()
        for keyword, value in values.items():
            setattr(made, keyword, value)
        return made

    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[sides[1], sides[0]], SliceThickness=sides[2])],
        PlaneOrientationSequence=[
            item(ImageOrientationPatient=[*(lps[:3, 0] / sides[0]), *(lps[:3, 1] / sides[1])])
        ],
        PixelValueTransformationSequence=[
            item(RescaleSlope=1, RescaleIntercept=-1000, RescaleType="HU")
        ],
    )
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [
        item(PlanePositionSequence=[item(ImagePositionPatient=(lps @ [0, 0, k, 1])[:3].tolist())])
        for k in reversed(range(array.shape[2]))  # frames may come in any order
    ]
    data.PixelData = np.ascontiguousarray(array[:, :, ::-1].T).tobytes()
    data["PixelData"].VR = "OW"
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)
    return path


def test_enhanced_dicom_is_one_file_of_many_frames(tmp_path):
    path = enhanced(tmp_path / "e.dcm", VOLUME, AFFINE)
    volume = load_series([path]).volume
    np.testing.assert_array_equal(canonical(volume).array, expected_mask(VOLUME) - 1000)
    assert volume.grid.spacing == (1.5, 0.75, 2.5)


def without(number):
    def change(current, data):
        if current == number:
            data.ImagePositionPatient = [0, 0, 1e6]

    return change


def only(number, **values):
    def change(current, data):
        if current == number:
            for keyword, value in values.items():
                setattr(data, keyword, value)

    return change


def tilted(number, data):
    x, y, z = data.ImagePositionPatient
    data.ImagePositionPatient = [x, y + 0.6 * number, z]


def nothing(number, data):
    del data.ImagePositionPatient


SERIES = {
    "tilt": ({"change": tilted}, r"sheared by 13.5 degrees .*gantry tilt"),
    "two series": ({"change": only(2, SeriesInstanceUID="1.9")}, r"of 2 series, .*1.9 \(1 files\)"),
    "pixel spacings": ({"change": only(2, PixelSpacing=[1, 1])}, r"have 2 pixel spacings"),
    "shapes": ({"change": only(2, Rows=3, PixelData=b"\0" * 48)}, "2 numbers of rows and columns"),
    "orientations": ({"change": only(2, ImageOrientationPatient=[0, 1, 0, 1, 0, 0])},
        "2 orientations"),
    "no position": ({"change": nothing}, "lacks ImagePositionPatient"),
    "no spacing": ({"PixelSpacing": None}, "lacks PixelSpacing"),
    "skewed axes": ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.5, 0]}, "has no right angle"),
    "colours": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is in colours"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "is in colours"),
    "film": ({"NumberOfFrames": 4}, "4 frames and no position of each"),
    "no pixels": ({"change": lambda _, data: data.__delitem__("PixelData")}, "cannot be decoded"),
    "too few pixels": ({"change": only(1, PixelData=b"\0\0")}, "cannot be decoded"),
}  # fmt: skip


@pytest.mark.parametrize("what", SERIES)
def test_a_series_that_is_no_volume_is_refused(tmp_path, write_series, what):
    how, message = SERIES[what]
    with pytest.raises(Refused, match=message):
        load_series(write_series(tmp_path / "s", VOLUME, AFFINE, **how))


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_missing_slice_is_named_with_its_neighbours(tmp_path, write_series, lost):
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    files[lost].unlink()
    kept = [*files[:lost], *files[lost + 1 :]]
    with pytest.raises(Refused, match=r"slices are 2.5 mm apart, but 5 mm between") as caught:
        load_series(kept)
    assert all(files[place].name in str(caught.value) for place in (lost - 1, lost + 1))
    assert files[0 if lost > 2 else 5].name not in str(caught.value)


def test_a_slice_that_is_there_twice_is_named(tmp_path, write_series):
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    copy = tmp_path / "s/copy.dcm"
    copy.write_bytes(files[2].read_bytes())
    with pytest.raises(Refused, match=r"1 slice\(s\) lie where another does: .*copy.dcm"):
        load_series([*files, copy])


def test_a_single_slice_has_the_depth_that_its_file_states(tmp_path, write_series):
    files = write_series(tmp_path / "s", VOLUME[:, :, :1], AFFINE)
    assert load_series(files).volume.grid.spacing == (1.5, 0.75, 2.5)
    bare = write_series(tmp_path / "t", VOLUME[:, :, :1], AFFINE, SliceThickness=None)
    with pytest.raises(Refused, match="one slice and no SliceThickness"):
        load_series(bare)


def test_a_syntax_without_a_decoder_says_what_to_install(tmp_path, write_series):
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    for file in files:
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
        data.PixelData = pydicom.encaps.encapsulate([bytes(data.PixelData)])
        data["PixelData"].is_undefined_length = True
        data.save_as(file)
    if pydicom.pixels.get_decoder(pydicom.uid.JPEGLosslessSV1).is_available:
        pytest.skip("a decoder is installed")
    with pytest.raises(Refused, match=r"JPEG Lossless.*cannot be decoded.*pip install pylibjpeg"):
        load_series(files)


def damaged_cases(tmp_path, write_series):
    """A case whose mask is wrong in one way, and what has to be said."""
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    other = turned(TURNS[0])
    other[:3, 3] += 0.7
    far = write_series(tmp_path / "far", VOLUME, other)
    wide = write_series(tmp_path / "wide", VOLUME, AFFINE @ np.diag([2.0, 2, 1, 1]))
    masks = {"Organ": PARTS > 0, "Lesion": PARTS == 2}
    name = {"Organ": 1, "Lesion": 2}
    return {
        "missing segment": (
            write_seg(tmp_path / "1.dcm", files, {"organ": PARTS > 0}), {"segments": name},
            "no segment Organ; it has organ",
        ),
        "fractions": (
            write_seg(tmp_path / "2.dcm", files, masks, segmentation_type="FRACTIONAL"),
            {"segments": name}, "holds fractions",
        ),
        "another grid": (
            write_seg(tmp_path / "3.dcm", far, masks), {"segments": name}, "do not lie on the grid",
        ),
        "another spacing": (
            write_seg(tmp_path / "4.dcm", wide, masks), {"segments": name},
                "do not lie on the grid",
        ),
        "an image": (files[0], {"segments": name}, "a mask is DICOM-SEG, RTSTRUCT or a volume"),
    }, files  # fmt: skip


@pytest.mark.parametrize(
    "what", ["missing segment", "fractions", "another grid", "another spacing", "an image"]
)
def test_segments_that_cannot_be_used_are_refused(tmp_path, write_series, what):
    cases, files = damaged_cases(tmp_path, write_series)
    path, how, message = cases[what]
    case = Case(tmp_path, **how).series(files).add("mask", path)
    with pytest.raises(
        DataError, match=rf"toy: case 'p1', file {path.relative_to(tmp_path)}.*{message}"
    ):
        case.read()


def changed_structures(path, change):
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)


def other_frame(data):
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3.4.5"


def a_point(data):
    data.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"


def no_contour(data):
    del data.ROIContourSequence[0].ContourSequence


def shift(data, by):
    for contour in data.ROIContourSequence[0].ContourSequence:
        corners = np.array(contour.ContourData, float).reshape(-1, 3) + by
        contour.ContourData = corners.ravel().round(4).tolist()


def between_slices(data):
    shift(data, [0, 0, 1.2])


def elsewhere(data):
    shift(data, [30, 0, 0])


def renamed(data):
    data.StructureSetROISequence[0].ROIName = "x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_frame, "drawn in the frame of reference 1.2.3.4.5"),
        (a_point, "a contour of the type POINT"),
        (no_contour, "structure 'organ' has no contour"),
        (between_slices, r"a contour lies at slice \d.\d+"),
        (renamed, "no structure organ; it has x"),
        (elsewhere, r"leaves the image by \d+.\d voxels"),
    ],
)  # fmt: skip
def test_structures_that_cannot_be_used_are_refused(tmp_path, write_series, change, message):
    files = write_series(tmp_path / "s", VOLUME, SQUARE)
    rt_structures(tmp_path / "s", {"organ": PARTS > 0}, tmp_path / "rt.dcm")
    changed_structures(tmp_path / "rt.dcm", change)
    case = Case(tmp_path, segments={"organ": 1}).series(files).add("mask", tmp_path / "rt.dcm")
    with pytest.raises(DataError, match=rf"file rt.dcm: .*{message}"):
        case.read()


def test_a_volume_mask_on_another_grid_is_refused_with_both(tmp_path, write_series):
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    nibabel.save(nibabel.Nifti1Image(PARTS, np.diag([1, 1, 1, 1.0])), tmp_path / "m.nii.gz")
    case = Case(tmp_path).series(files).add("mask", tmp_path / "m.nii.gz")
    with pytest.raises(DataError, match=r"file m.nii.gz: mask lies .* voxels of .* voxels of"):
        case.read()


def test_what_is_no_dicom_is_named(tmp_path, write_series):
    files = write_series(tmp_path / "s", VOLUME, AFFINE)
    files[1].write_bytes(b"no dicom" * 40)
    case = Case(tmp_path).series(files).add("mask", files[0])
    with pytest.raises(DataError, match=r"cannot be read: .*no whole DICOM file"):
        case.read()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data(), kind=st.sampled_from(["slice", "seg", "rt"]))
def test_damaged_bytes_are_read_or_refused_by_name(damageable, data, kind):
    """No damage ends in another error."""
    folder, files, masks = damageable
    source = files[0] if kind == "slice" else masks[kind]
    content = bytearray(source.read_bytes())
    for place in data.draw(st.lists(st.integers(132, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    damaged = folder / "damaged.dcm"
    damaged.write_bytes(content[: data.draw(st.integers(200, len(content)))])
    case = Case(folder, segments={"Organ": 1, "Lesion": 2})
    case.series([damaged, *files[1:]] if kind == "slice" else files)
    case.add("mask", masks["seg"] if kind == "slice" else damaged)
    try:
        assert case.read().image.shape == (1, *VOLUME.shape)
    except DataError as error:
        assert "toy: " in str(error)


@pytest.fixture(scope="module")
def damageable(tmp_path_factory, write_series):
    folder = tmp_path_factory.mktemp("damageable")
    files = write_series(folder / "s", VOLUME, SQUARE)
    masks = {"Organ": PARTS == 1, "Lesion": PARTS == 2}
    seg = write_seg(folder / "seg.dcm", files, masks)
    rt_structures(folder / "s", masks, folder / "rt.dcm")
    return folder, files, {"seg": seg, "rt": folder / "rt.dcm"}
