"""Readers on tiny files in the real layouts, each trap of a layout once, and what is refused."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from attnbench.catalog import Entry
from attnbench.data.read import read_cases
from attnbench.errors import DataError

RNG = np.random.default_rng(3)
BLOB = np.zeros((12, 17), bool)
BLOB[3:9, 4:11] = True


class Originals:
    """A dataset's originals and catalog entry, file by file."""

    def __init__(self, folder, reader, **facts):
        self.raw, self.rows, self.reader = folder / "raw", [], reader
        self.listing = folder / "toy.files.csv"
        self.facts = {"ndim": 2, "channels": 1, "classes": {1: "thing"}, **facts}

    def add(self, role, path, content, case="1", group="a", **how):
        place = self.raw / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, nib.Nifti1Image):
            nib.save(content, place)
        elif isinstance(content, str):
            place.write_text(content)
        else:
            picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
            picture.save(place, **how)
        self.rows.append((path, 1, "", role, case, group))
        return self

    def cases(self):
        with self.listing.open("w", newline="") as stream:
            csv.writer(stream).writerows(
                [("path", "bytes", "sha256", "role", "case", "group"), *self.rows]
            )
        origin = {"kind": "files", "url": "http://localhost/{path}", "page": "http://localhost"}
        words = {
            "name": "toy",
            "title": "Toy",
            "short": "Toy",
            "task": "a",
            "modality": "b",
            "licence": "c",
            "citation": "d",
        }
        names = tuple("abc"[: self.facts["ndim"]])
        axes = {"axes": names, "mirror": {"axes": (), "reason": "e"}}
        counts = {"cases": 1, "groups": 1, "groups_inferred": False, "listing": self.listing}
        entry = Entry(**words, **counts, **axes, **self.facts, origin=origin, reader=self.reader)
        return list(read_cases(entry, self.raw))

    def case(self):
        (case,) = self.cases()
        return case


def colours(shape=BLOB.shape):
    return RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)


def palette(indices, *entries):
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette([value for entry in entries for value in entry])
    return picture


def grey(where):
    return where.astype(np.uint8) * 255


def test_drive_tiff_with_gif_masks(tmp_path):
    image, vessels, second, fov = colours(), BLOB, np.roll(BLOB, 1, 0), np.roll(BLOB, 2, 1)
    drive = Originals(tmp_path, "binary_mask", channels=3)
    drive.add("mask", "manual1/01.gif", grey(vessels)).add("fov", "mask/01.gif", grey(fov))
    drive.add("mask_second_rater", "manual2/01.gif", palette(second, (4, 2, 4), (252, 254, 252)))
    drive.add("image", "images/01.tif", image)
    case = drive.case()
    assert (case.case, case.group, case.spacing) == ("1", "a", (1.0, 1.0))
    np.testing.assert_array_equal(case.image, np.moveaxis(image, -1, 0))
    np.testing.assert_array_equal(case.mask, vessels)
    np.testing.assert_array_equal(case.fov, fov)
    np.testing.assert_array_equal(case.second_rater, second)
    assert (case.mask.dtype, case.fov.dtype, case.second_rater.dtype) == (np.uint8, bool, np.uint8)


def test_chase_jpeg_with_one_bit_masks(tmp_path):
    smooth = np.full((*BLOB.shape, 3), (200, 90, 30), np.uint8)
    chase = Originals(tmp_path, "binary_mask", channels=3)
    chase.add("image", "01L.jpg", smooth, quality=95).add("mask", "01L.png", Image.fromarray(BLOB))
    chase.add("fov", "01L_fov.png", grey(~BLOB))
    case = chase.case()
    assert np.abs(case.image.astype(int) - np.moveaxis(smooth, -1, 0)).max() <= 3
    np.testing.assert_array_equal(case.mask, BLOB)
    np.testing.assert_array_equal(case.fov, ~BLOB)
    assert case.second_rater is None


def test_palette_masks_are_read_by_index_and_images_as_one_channel(tmp_path):
    indices = RNG.integers(0, 3, BLOB.shape)
    ultrasound = Originals(tmp_path, "index_mask", classes={1: "nerve", 2: "vessel"})
    same_colours = [(0, 0, 0), (0, 0, 0), (128, 0, 0)]
    level = RNG.integers(0, 256, BLOB.shape).astype(np.uint8)
    for case, image in (("1", level), ("2", np.repeat(level[..., None], 3, axis=-1))):
        ultrasound.add("image", f"images/{case}.png", image, case)
        ultrasound.add("mask", f"masks/{case}.png", palette(indices, *same_colours), case)
    first, second = ultrasound.cases()
    np.testing.assert_array_equal(first.mask, indices)
    np.testing.assert_array_equal(first.image, level[None])
    np.testing.assert_array_equal(second.image, level[None])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            BLOB.astype(np.uint8),
            r"nothing in it is brighter than 127.*values are 0, 1; use the rea",
        ),
        (np.where(BLOB, 100, 3).astype(np.uint8), "nothing in it is brighter than 127"),
        (np.dstack([grey(BLOB), grey(BLOB) * 0, grey(BLOB) * 0]), "mask is in colours"),
        (palette(BLOB, (0, 0, 0), (255, 0, 0)), "mask is in colours"),
        (np.dstack([grey(BLOB) * 0] * 3 + [grey(BLOB)]), "empty but for its alpha channel"),
        (np.dstack([grey(BLOB) * 0, grey(BLOB)]), "empty but for its alpha channel"),
    ],
)
@pytest.mark.parametrize("reader", ["binary_mask", "instance_masks", "class_masks"])
def test_a_mask_in_which_something_is_drawn_never_reads_as_empty(tmp_path, mask, message, reader):
    how = {"name": reader, "settings": {"masks": {"mask": 1}, "threshold": 127}}
    files = Originals(tmp_path, how if reader == "class_masks" else reader)
    files.add("image", "i.png", grey(BLOB))
    files.add("mask_instance" if reader == "instance_masks" else "mask", "m.png", mask)
    with pytest.raises(DataError, match=f"file m.png: .*{message}"):
        files.cases()


def test_sixteen_bits_are_not_cut_for_a_layout_of_eight(tmp_path):
    deep = np.full((12, 17, 3), 40000, np.uint16)
    files = Originals(tmp_path, "binary_mask", channels=3).add("mask", "m.png", grey(BLOB))
    tifffile.imwrite(files.raw / "i.tif", deep, photometric="rgb")
    files.rows.append(("i.tif", 1, "", "image", "1", "a"))
    with pytest.raises(DataError, match=r"file i.tif: its numbers are uint16"):
        files.cases()


def test_a_grey_picture_is_no_palette_mask(tmp_path):
    files = (
        Originals(tmp_path, "index_mask")
        .add("image", "i.png", grey(BLOB))
        .add("mask", "m.png", grey(BLOB))
    )
    with pytest.raises(
        DataError, match=r"toy: case '1', file m.png: a palette picture is expected"
    ):
        files.cases()


def test_nuclei_are_the_union_of_their_instances_and_alpha_is_dropped(tmp_path):
    image = np.dstack([colours(), np.full(BLOB.shape, 255, np.uint8)])
    one, two = np.zeros_like(BLOB), np.zeros_like(BLOB)
    one[:4, :4], two[3:6, 3:6] = True, True
    nuclei = Originals(tmp_path, "instance_masks", channels=3).add("image", "images/a.png", image)
    nuclei.add("mask_instance", "masks/x.png", grey(one)).add(
        "mask_instance", "masks/y.png", grey(two)
    )
    case = nuclei.case()
    np.testing.assert_array_equal(case.image, np.moveaxis(image[..., :3], -1, 0))
    np.testing.assert_array_equal(case.mask, one | two)


def axons(tmp_path, case="rat3_data9", **side):
    settings = {"masks": {"mask_myelin": 1, "mask_axon": 2}, "threshold": 127}
    reader = {"name": "class_masks", "settings": settings}
    files = Originals(tmp_path, reader, classes={1: "myelin", 2: "axon"}, spacing_unit="um")
    files.add(
        "image",
        f"rat3/{case}_SEM.png",
        Image.fromarray(np.dstack([grey(BLOB), grey(BLOB | True)])),
        case,
    )
    soft = np.where(BLOB, 130, 120).astype(np.uint8)
    soft[5, 5] = 233
    files.add("mask_myelin", f"labels/{case}_myelin.png", soft, case)
    files.add("mask_axon", f"labels/{case}_axon.png", grey(np.roll(BLOB, 4, 1)), case)
    for name, content in side.items():
        files.add("aux", f"rat3/{name}_SEM.json", json.dumps(content), "", "a")
    return files


def test_axon_masks_are_cut_above_127_and_axon_wins(tmp_path):
    case = axons(tmp_path, rat3={"PixelSize": [0.1, 0.1], "PixelSizeUnits": "um"}).case()
    np.testing.assert_array_equal(case.mask, np.where(np.roll(BLOB, 4, 1), 2, BLOB))
    np.testing.assert_array_equal(case.image, grey(BLOB)[None])


def test_pixel_size_is_inherited_converted_and_turned_into_array_order(tmp_path):
    animal = {"PixelSize": [100, 250], "PixelSizeUnits": "nm"}
    other = {"PixelSize": [9, 9], "PixelSizeUnits": "um"}
    case = axons(tmp_path / "one", rat3=animal, rat3_data90=other).case()
    assert case.spacing == pytest.approx((0.25, 0.1))
    own = {"PixelSize": [0.07, 0.07], "PixelSizeUnits": "um"}
    assert axons(tmp_path / "two", rat3=animal, rat3_data9=own).case().spacing == (0.07, 0.07)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ({}, r"file rat3/rat3_data9_SEM.png: no JSON file with the pixel size"),
        ({"rat3": {"PixelSize": [1, 1]}}, r"file rat3/rat3_SEM.json: .*PixelSizeUnits"),
        (
            {"rat3": {"PixelSize": [1], "PixelSizeUnits": "um"}},
            r"file rat3/rat3_SEM.json: .*\[x, y\]",
        ),
        (
            {"rat3": {"PixelSize": [1, 1], "PixelSizeUnits": "inch"}},
            r"file rat3/rat3_SEM.json: .*inch",
        ),
    ],
)
def test_an_unknown_pixel_size_is_refused(tmp_path, side, message):
    with pytest.raises(DataError, match=message):
        axons(tmp_path, **side).cases()


VOLUME = RNG.integers(0, 200, (5, 6, 7)).astype(np.uint8)
PARTS = (VOLUME > 90).astype(np.uint8) + (VOLUME > 150)
AFFINE = np.array([[1.5, 0, 0, -20], [0, 0.75, 0, 9], [0, 0, 2.0, 4], [0, 0, 0, 1]])


def volumes(tmp_path, image=VOLUME, mask=PARTS, affine=AFFINE, mask_affine=None, **facts):
    facts = {"ndim": 3, "classes": {1: "anterior", 2: "posterior"}, "spacing_unit": "mm", **facts}
    files = Originals(tmp_path, "nifti", **facts)
    mask_affine = affine if mask_affine is None else mask_affine
    files.add("image", "images/h.nii.gz", nib.Nifti1Image(image, affine))
    return files.add("mask", "labels/h.nii.gz", nib.Nifti1Image(mask, mask_affine))


def test_volumes_of_mixed_types_keep_values_and_spacing(tmp_path):
    large = VOLUME.astype(np.float32) * 8500
    case = volumes(tmp_path, image=large, mask=PARTS.astype(np.float32)).case()
    np.testing.assert_array_equal(case.image, large[None])
    np.testing.assert_array_equal(case.mask, PARTS)
    assert case.mask.dtype == np.uint8
    assert case.spacing == (1.5, 0.75, 2.0)


def test_a_mask_stored_with_other_axes_falls_on_its_image(tmp_path):
    turned = nib.orientations.axcodes2ornt("PSL")
    plain = nib.Nifti1Image(PARTS, AFFINE)
    change = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), turned)
    mask = plain.as_reoriented(change)
    assert mask.shape != PARTS.shape
    case = volumes(tmp_path, mask=np.asanyarray(mask.dataobj), mask_affine=mask.affine).case()
    np.testing.assert_array_equal(case.mask, PARTS)
    np.testing.assert_array_equal(case.image[0], VOLUME)


def test_volumes_are_turned_to_one_orientation(tmp_path):
    left = AFFINE.copy()
    left[0] = [-1.5, 0, 0, 30]
    case = volumes(tmp_path, affine=left).case()
    np.testing.assert_array_equal(case.image[0], VOLUME[::-1])
    np.testing.assert_array_equal(case.mask, PARTS[::-1])


def test_the_fourth_axis_of_a_volume_is_its_channels(tmp_path):
    image = np.stack([VOLUME, VOLUME[::-1]], axis=-1)
    case = volumes(tmp_path, image=image, channels=2).case()
    np.testing.assert_array_equal(case.image, [VOLUME, VOLUME[::-1]])


def shifted(by):
    affine = AFFINE.copy()
    affine[1, 3] += by
    return affine


def poisoned(value):
    image = VOLUME.astype(np.float32)
    image[1, 2, 3] = value
    return image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_affine": shifted(0.75)}, "file labels/h.nii.gz: mask lies 1.00 voxels away"),
        (
            {"mask": PARTS + np.float32(0.5)},
            r"file labels/h.nii.gz: mask holds \d.5.*classes are whole numbers",
        ),
        (
            {"mask": PARTS.astype(np.int16) + 256},
            r"file labels/h.nii.gz: mask holds 25\d.*classes are whole numbers",
        ),
        ({"mask": PARTS * np.float32(np.nan)}, "file labels/h.nii.gz: mask holds nan"),
        (
            {"mask": PARTS * 2},
            r"file labels/h.nii.gz: mask holds \[4\]; .*0 background, 1 anterior, 2 posterior",
        ),
        (
            {"mask": PARTS[1:]},
            r"file labels/h.nii.gz: mask has shape \(4, 6, 7\), its image \(5, 6, 7\)",
        ),
        ({"image": poisoned(np.nan)}, r"file images/h.nii.gz: 1 pixel\(s\) are NaN or infinite"),
        ({"image": poisoned(-np.inf)}, r"file images/h.nii.gz: 1 pixel\(s\) are NaN or infinite"),
        ({"channels": 4}, r"file images/h.nii.gz: image has shape \(1, 5, 6, 7\).*4 channel"),
    ],
)
def test_a_volume_that_breaks_its_contract_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=rf"toy: case '1', {message}"):
        volumes(tmp_path, **changes).cases()


def picture_pair(tmp_path, image=None, mask=None, **facts):
    files = Originals(tmp_path, "binary_mask", **facts)
    files.add("image", "i.png", grey(BLOB) if image is None else image)
    return files.add("mask", "m.png", grey(BLOB) if mask is None else mask)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no picture"]
)
@pytest.mark.parametrize("make", [picture_pair, volumes])
@pytest.mark.parametrize("which", [0, 1])
def test_an_unreadable_file_is_named(tmp_path, damage, make, which):
    files = make(tmp_path)
    path = files.rows[which][0]
    place = files.raw / path
    place.write_bytes(damage(place.read_bytes()))
    with pytest.raises(
        DataError, match=rf"toy: case '1', file {path}: cannot be read: .*attnbench fetch"
    ):
        files.cases()


def test_a_missing_file_is_named(tmp_path):
    files = picture_pair(tmp_path)
    (files.raw / "m.png").unlink()
    with pytest.raises(DataError, match=r"case '1', file m.png: cannot be read: .*No such file"):
        files.cases()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"mask": grey(BLOB[1:])}, r"file m.png: mask has shape \(11, 17\), its image \(12, 17\)"),
        ({"image": BLOB.astype(np.uint16) * 900}, "file i.png: its numbers are uint16"),
        ({"channels": 2}, "file i.png: pictures have 1 or 3 channels"),
        ({"ndim": 3}, r"file i.png: image has shape \(1, 12, 17\).*3 axes"),
    ],
)
def test_a_picture_that_breaks_its_contract_is_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=rf"toy: case '1', {message}"):
        picture_pair(tmp_path, **files).cases()


def test_an_instance_of_another_shape_is_refused(tmp_path):
    files = Originals(tmp_path, "instance_masks").add("image", "i.png", grey(BLOB))
    files.add("mask_instance", "x.png", grey(BLOB)).add("mask_instance", "y.png", grey(BLOB.T))
    with pytest.raises(
        DataError, match=r"case '1', file y.png: mask has shape \(17, 12\), its image \(12, 17\)"
    ):
        files.cases()


@pytest.mark.parametrize(
    ("role", "where", "message"),
    [("fov", BLOB[1:], r"fov has shape \(11, 17\)"), ("fov", BLOB & False, "the field of view is "
                                                                           "empty"),
     ("mask_second_rater", BLOB.T, r"mask_second_rater has shape \(17, 12\)")],
)  # fmt: skip
def test_what_comes_with_a_picture_has_to_fit_it(tmp_path, role, where, message):
    files = picture_pair(tmp_path).add(role, "extra.png", grey(where))
    with pytest.raises(DataError, match=rf"case '1', file extra.png: {message}"):
        files.cases()


def test_a_case_without_mask_or_with_two_is_refused(tmp_path):
    alone = Originals(tmp_path / "one", "binary_mask").add("image", "i.png", grey(BLOB))
    with pytest.raises(
        DataError, match="case '1': no file has the role 'mask'; its files have the roles image"
    ):
        alone.cases()
    two = picture_pair(tmp_path / "two").add("mask", "m2.png", grey(BLOB))
    with pytest.raises(DataError, match=r"case '1', file m2.png: 2 files have the role 'mask'"):
        two.cases()


def test_a_case_of_two_groups_is_refused(tmp_path):
    files = Originals(tmp_path, "binary_mask").add("image", "i.png", grey(BLOB))
    with pytest.raises(DataError, match=r"case '1': its files name the groups \['a', 'b'\]"):
        files.add("mask", "m.png", grey(BLOB), group="b").cases()


def test_an_unknown_reader_is_refused(tmp_path):
    with pytest.raises(DataError, match="no reader 'binary_masks'; did you mean 'binary_mask'"):
        Originals(tmp_path, "binary_masks").cases()
