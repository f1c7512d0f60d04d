"""The reader of pictures of any kind: what settings say a mask means, and nothing else passes."""

import csv
from itertools import pairwise

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from attnbench.catalog import Entry
from attnbench.data.read import read_cases
from attnbench.errors import DataError

RNG = np.random.default_rng(7)
SHAPE = (20, 33)
IMAGE = RNG.integers(0, 256, SHAPE).astype(np.uint8)
CLASSES = RNG.integers(0, 3, SHAPE).astype(np.uint8)
FACTS = {
    "name": "toy", "title": "Toy", "short": "Toy", "task": "a", "modality": "b", "licence": "c",
    "citation": "d", "cases": 1, "groups": 1, "groups_inferred": False,
    "mirror": {"axes": (), "reason": "e"},
}  # fmt: skip


def save(path, content, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, np.ndarray) and path.suffix == ".tif":
        tifffile.imwrite(path, content, **{"photometric": "minisblack", **how})
    else:
        picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
        picture.save(path, **how)


def read(folder, files, reader=None, blocks=None, **facts):
    """Cases of a dataset of files, each (role, name, content[, case])."""
    rows = []
    for role, name, content, *case in files:
        if content is not None:
            save(folder / name, content)
        own = case[0] if case else "1"
        rows.append((name, 1, "", role, own, f"g{own}"))
    listing = folder / "toy.files.csv"
    with listing.open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "bytes", "sha256", "role", "case", "group"), *rows])
    facts = {"ndim": 2, "channels": 1, "classes": {1: "one", 2: "two"}, **facts}
    entry = Entry(
        **FACTS,
        **facts,
        axes=tuple("abc"[: facts["ndim"]]),
        listing=listing,
        origin={"kind": "local", "folder": str(folder)},
        reader={"name": "pictures", "settings": reader or {}, "blocks": blocks},
    )
    return list(read_cases(entry, folder))


def coloured(classes, *colours):
    return np.array(colours, np.uint8)[classes]


def palette(indices, *colours):
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)
GREY = np.array([0, 128, 255], np.uint8)[CLASSES]
BY_COLOUR = {"#ff0000": 1, "#00ff00": 2}


@pytest.mark.parametrize(
    ("name", "mask", "values"),
    [
        ("m.png", GREY, {128: 1, 255: 2}),
        ("m.bmp", GREY, {128: 1, 255: 2}),
        ("m.gif", GREY, {128: 1, 255: 2}),
        ("m.tif", GREY.astype(np.uint16) * 200, {25600: 1, 51000: 2}),
        ("m.tif", CLASSES.astype(np.float32), {1: 1, 2: 2}),
        ("m.tif", CLASSES.astype(np.int16) - 1, {-1: 0, 0: 1, 1: 2}),
        ("m.png", CLASSES, {1: 1, 2: 2}),
        ("m.png", np.stack([GREY] * 3, -1), {128: 1, 255: 2}),
        ("m.png", coloured(CLASSES, BLACK, RED, GREEN), BY_COLOUR),
        ("m.png", coloured(CLASSES, (255, 255, 255), RED, GREEN), {"#ffffff": 0, **BY_COLOUR}),
        ("m.png", palette(CLASSES, BLACK, RED, GREEN), {1: 1, 2: 2}),
        ("m.png", palette(CLASSES, BLACK, RED, GREEN), BY_COLOUR),
        ("m.gif", palette(2 - CLASSES, GREEN, RED, BLACK), BY_COLOUR),
        ("m.png", coloured(CLASSES, (9, 9, 9, 0), (*RED, 255), (*GREEN, 255)), BY_COLOUR),
        ("m.png", coloured(CLASSES, (*BLACK, 255), (*RED, 255), (*GREEN, 255)), BY_COLOUR),
        ("m.png", coloured(CLASSES, (*BLACK, 0), (*RED, 0), (*GREEN, 0)), BY_COLOUR),
        ("m.png", GREY, {"#808080": 1, "#ffffff": 2}),
        ("m.png", GREY, {0: 1, 128: 0, 255: 2}),
    ],
)
def test_values_are_classes_whatever_the_file_stores(tmp_path, name, mask, values):
    (case,) = read(tmp_path, [("image", "i.png", IMAGE), ("mask", name, mask)], {"values": values})
    expected = CLASSES
    if values == {0: 1, 128: 0, 255: 2}:
        expected = np.array([1, 0, 2])[CLASSES]
    np.testing.assert_array_equal(case.mask, expected)
    np.testing.assert_array_equal(case.image[0], IMAGE)
    assert case.mask.dtype == np.uint8


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.sets(st.integers(0, 255), min_size=2, max_size=9), st.data())
def test_a_value_is_a_declared_class_or_an_error(tmp_path, values, data):
    values = sorted(values)
    declared = data.draw(st.sets(st.sampled_from(values[1:]), min_size=1))
    mask = np.array(values, np.uint8)[RNG.integers(0, len(values), SHAPE)]
    classes = {value: number for number, value in enumerate(sorted(declared), 1)}
    names = {number: f"c{number}" for number in classes.values()}
    files = [("image", "i.png", IMAGE), ("mask", "m.png", mask)]
    stray = set(np.unique(mask).tolist()) - declared - {0}
    if stray:
        with pytest.raises(DataError, match=r"file m\.png: mask holds values that are not decl"):
            read(tmp_path, files, {"values": classes}, classes=names)
    else:
        (case,) = read(tmp_path, files, {"values": classes}, classes=names)
        for value, number in classes.items():
            np.testing.assert_array_equal(case.mask == number, mask == value)


def test_the_error_counts_the_pixels_of_a_stray_value(tmp_path):
    mask = GREY.copy()
    mask[0, :7] = 77
    with pytest.raises(DataError, match=r"7 pixel\(s\) of 77; declared are 0 = 0, 128 = 1, 255"):
        read(tmp_path, [("image", "i.png", IMAGE), ("mask", "m.png", mask)],
             {"values": {128: 1, 255: 2}})  # fmt: skip


HALF = coloured(CLASSES, (*BLACK, 0), (*RED, 100), (*GREEN, 255))


@pytest.mark.parametrize(
    ("mask", "reader", "message"),
    [
        (coloured(CLASSES, BLACK, RED, GREEN), {}, "mask is in colours; declare them"),
        (coloured(CLASSES, BLACK, RED, GREEN), {"threshold": 127}, "mask is in colours"),
        (CLASSES, {}, r"pixel\(s\) of [12].*declared are 0 = 0, 255 = 1"),
        (coloured(CLASSES, (*BLACK, 0), (*BLACK, 255), (*BLACK, 255)), {}, "alpha.*varies"),
        (coloured(CLASSES, (*BLACK, 0), (*BLACK, 255), (*BLACK, 255)), {"threshold": 1}, "alpha"),
        (HALF, {"values": BY_COLOUR}, r"\d+ half transparent"),
        (GREY, {"values": {128: 1, "#ffffff": 2}}, "all numbers or all colours"),
        (GREY, {"values": {"#ff00": 1}}, "'#ff00' is no colour"),
        (GREY, {"values": {128: 1, 255: 700}}, r"classes are 0 \(background\) to 255"),
        (GREY, {"treshold": 3}, "no setting 'treshold'; did you mean 'threshold'"),
        (GREY, {"pages": "slides"}, "pages is 'slides'; did you mean 'slices'"),
        (GREY[1:], {"values": {128: 1, 255: 2}}, r"mask has shape \(19, 33\), its image"),
        (GREY, {"masks": {"mask_one": 1}}, "no file has one of the roles mask_one"),
    ],
)
def test_a_mask_that_is_not_as_declared_is_refused(tmp_path, mask, reader, message):
    files = [("image", "i.png", IMAGE), ("mask", "m.png", mask)]
    with pytest.raises(DataError, match=message):
        read(tmp_path, files, reader)


def test_a_mask_for_each_class_and_several_for_one(tmp_path):
    white = [np.where(value == CLASSES, 255, 0).astype(np.uint8) for value in (1, 2)]
    left, right = white[0].copy(), white[0].copy()
    left[:, 16:], right[:, :16] = 0, 0
    files = [("image", "i.png", IMAGE), ("mask_a", "l.png", left), ("mask_a", "r.png", right),
             ("mask_b", "b.png", white[1])]  # fmt: skip
    (case,) = read(tmp_path, files, {"masks": {"mask_a": 1, "mask_b": 2}, "values": {255: 1}})
    np.testing.assert_array_equal(case.mask, CLASSES)


def test_a_threshold_is_a_cut_of_brightness(tmp_path):
    mask = RNG.integers(0, 256, SHAPE).astype(np.uint8)
    files = [("image", "i.png", IMAGE), ("mask", "m.png", mask)]
    (case,) = read(tmp_path, files, {"threshold": 99}, classes={1: "one"})
    np.testing.assert_array_equal(case.mask, mask > 99)


def test_sixteen_bits_floats_and_colours_of_images_stay(tmp_path):
    values = {"values": {128: 1, 255: 2}}
    deep = RNG.integers(0, 65536, (*SHAPE, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "i.tif", deep, photometric="rgb")
    (case,) = read(tmp_path, [("image", "i.tif", None), ("mask", "m.png", GREY)], values,
                   channels=3)  # fmt: skip
    np.testing.assert_array_equal(case.image, np.moveaxis(deep, -1, 0))
    real = RNG.normal(size=SHAPE).astype(np.float32)
    (case,) = read(tmp_path, [("image", "f.tif", real), ("mask", "m.png", GREY)], values)
    np.testing.assert_array_equal(case.image[0], real)


def test_colours_become_one_channel_only_where_asked(tmp_path):
    rgb = RNG.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    files = [("image", "i.png", rgb), ("mask", "m.png", GREY)]
    values = {128: 1, 255: 2}
    with pytest.raises(DataError, match=r"file i\.png: is in colours, the catalog says 1 channel"):
        read(tmp_path, files, {"values": values})
    (case,) = read(tmp_path, files, {"values": values, "grey": True})
    np.testing.assert_array_equal(case.image[0], np.asarray(Image.fromarray(rgb).convert("L")))
    alike = np.stack([IMAGE] * 3, -1)
    (case,) = read(tmp_path, [("image", "a.png", alike), files[1]], {"values": values})
    np.testing.assert_array_equal(case.image[0], IMAGE)
    (case,) = read(tmp_path, [("image", "g.png", IMAGE), files[1]], {"values": values}, channels=3)
    np.testing.assert_array_equal(case.image, np.stack([IMAGE] * 3))


def test_several_images_are_channels_in_the_order_of_the_list(tmp_path):
    other = IMAGE[::-1].copy()
    files = [("image", "b.png", IMAGE), ("image", "a.png", other), ("mask", "m.png", GREY)]
    reader = {"values": {128: 1, 255: 2}}
    (case,) = read(tmp_path, files, reader, channels=2)
    np.testing.assert_array_equal(case.image, np.stack([IMAGE, other]))
    files[1] = ("image", "a.png", other[1:])
    with pytest.raises(DataError, match="channels of one case have different shapes"):
        read(tmp_path, files, reader, channels=2)


STACK = RNG.integers(0, 60000, (4, *SHAPE)).astype(np.uint16)
MASKS = np.stack([CLASSES, CLASSES[::-1], CLASSES[:, ::-1], np.zeros_like(CLASSES)])


def test_pages_are_asked_and_are_slices_channels_or_cases(tmp_path):
    files = [("image", "i.tif", STACK), ("mask", "m.tif", MASKS)]
    values = {"values": {1: 1, 2: 2}}
    with pytest.raises(DataError, match=r"file i\.tif: holds 4 pages; say in reader.settings"):
        read(tmp_path, files, values)
    (case,) = read(tmp_path, files, {**values, "pages": "slices"}, ndim=3)
    np.testing.assert_array_equal(case.image[0], STACK)
    np.testing.assert_array_equal(case.mask, MASKS)
    cases = read(tmp_path, files, {**values, "pages": "cases"})
    assert [case.case for case in cases] == ["1-p001", "1-p002", "1-p003", "1-p004"]
    assert {case.group for case in cases} == {"g1"}
    for case, image, mask in zip(cases, STACK, MASKS, strict=True):
        np.testing.assert_array_equal(case.image[0], image)
        np.testing.assert_array_equal(case.mask, mask)
    one = [files[0], ("mask", "c.png", CLASSES)]
    (case,) = read(tmp_path, one, {**values, "pages": "channels"}, channels=4)
    np.testing.assert_array_equal(case.image, STACK)


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.integers(2, 5), st.integers(0, 20), st.integers(40, 200), st.booleans())
def test_blocks_share_no_pixel_and_keep_their_gap(tmp_path, count, gap, length, tall):
    shape = (length, 32) if tall else (32, length)
    where = np.arange(32 * length).reshape(shape)
    axis = 0 if tall else 1
    fine = length - gap * (count - 1) >= 16 * count
    mask = np.ones(shape, np.uint8)
    mask[:2] = 2
    mask[:, :2] = 2
    files = [("image", "i.tif", where.astype(np.uint16)), ("mask", "m.tif", mask)]
    reader, blocks = {"values": {1: 1, 2: 2}}, {"count": count, "gap": gap}
    if length > 32 and not fine:
        with pytest.raises(DataError, match="do not fit"):
            read(tmp_path, files, reader, blocks)
        return
    cases = read(tmp_path, files, reader, blocks)
    assert [case.group for case in cases] == [f"1-b{n:02d}" for n in range(1, count + 1)]
    places = [case.image[0].astype(int) for case in cases]
    lines = [np.unique(p // length if not tall else p // 32) for p in places] if tall else [
        np.unique(p % length) for p in places]  # fmt: skip
    for first, second in pairwise(lines):
        assert second.min() - first.max() - 1 == gap
    assert lines[0].min() == 0
    assert lines[-1].max() == length - 1
    sizes = {line.size for line in lines}
    assert max(sizes) - min(sizes) <= 1
    assert all(case.image.shape[1 + (1 - axis)] == 32 for case in cases)


def test_outlines_are_filled_where_asked(tmp_path):
    rows, columns = np.mgrid[:60, :80]
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 400
    inner = (rows - 30) ** 2 + (columns - 40) ** 2 < 324
    ring = np.where(disc & ~inner, 255, 0).astype(np.uint8)
    image = RNG.integers(0, 256, ring.shape).astype(np.uint8)
    files = [("image", "i.png", image), ("mask", "m.png", ring)]
    (case,) = read(tmp_path, files, {"values": {255: 1}, "fill": True}, classes={1: "one"})
    np.testing.assert_array_equal(case.mask, disc)
    (case,) = read(tmp_path, files, {"values": {255: 1}}, classes={1: "one"})
    np.testing.assert_array_equal(case.mask, ring > 0)


@pytest.mark.parametrize("turn", range(2, 9))
def test_exif_turns_an_image_as_pillow_does(tmp_path, turn):
    from PIL import ImageOps

    picture = Image.fromarray(IMAGE)
    exif = Image.Exif()
    exif[0x0112] = turn
    picture.save(tmp_path / "i.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "i.jpg") as opened:
        stored, shown = np.asarray(opened), np.asarray(ImageOps.exif_transpose(opened))
    values = {"values": {1: 1, 2: 2}}
    mask = CLASSES if shown.shape == SHAPE else np.ascontiguousarray(CLASSES.T)
    files = [("image", "i.jpg", None), ("mask", "m.png", mask)]
    with pytest.raises(DataError, match=f"orientation {turn}"):
        read(tmp_path, files, values)
    (case,) = read(tmp_path, files, {**values, "orientation": "apply"})
    np.testing.assert_array_equal(case.image[0], shown)
    files[1] = ("mask", "n.png", CLASSES)
    (case,) = read(tmp_path, files, {**values, "orientation": "ignore"})
    np.testing.assert_array_equal(case.image[0], stored)


def test_the_size_of_a_pixel_may_be_each_files_own(tmp_path):
    save(tmp_path / "i.tif", IMAGE, resolution=(1e4, 2e4), resolutionunit="CENTIMETER")
    files = [("image", "i.tif", None), ("mask", "m.png", CLASSES)]
    reader = {"values": {1: 1, 2: 2}, "spacing": "file"}
    (case,) = read(tmp_path, files, reader, spacing_unit="um")
    assert case.spacing == pytest.approx((0.5, 1.0))  # 20,000 and 10,000 pixels in a centimetre
    with pytest.raises(DataError, match="does not say the size of a pixel"):
        read(tmp_path, [("image", "i.png", IMAGE), files[1]], reader, spacing_unit="um")


def test_a_field_of_view_and_a_second_rater(tmp_path):
    inside = (CLASSES > 0).astype(np.uint8)
    files = [("image", "i.png", IMAGE), ("mask", "m.png", GREY), ("fov", "f.png", inside * 255),
             ("mask_second_rater", "s.png", GREY[::-1].copy())]  # fmt: skip
    (case,) = read(tmp_path, files, {"values": {128: 1, 255: 2}})
    np.testing.assert_array_equal(case.fov, inside > 0)
    np.testing.assert_array_equal(case.second_rater, CLASSES[::-1])
    files[2] = ("fov", "g.png", GREY)
    with pytest.raises(DataError, match="a field of view has two values"):
        read(tmp_path, files, {"values": {128: 1, 255: 2}})
