"""Folders of pictures as people have them: read rightly, or refused with the flag that helps.

The truth is what the test drew: every folder that is accepted is read through the real reader
and compared with it.
"""

import csv
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from attnbench.catalog import Entry
from attnbench.data.read import read_cases
from attnbench.intake.found import Options
from attnbench.intake.layouts.pictures import recognise

SHAPE = (24, 36)
N = 4


def drawn(number, classes=2, shape=SHAPE):
    """An image and its classes: blobs of 1 and 2 (and so on) that differ from case to case."""
    rng = np.random.default_rng(number)
    mask = np.zeros(shape, np.uint8)
    for value in range(1, classes):
        row, column = rng.integers(1, shape[0] - 9), rng.integers(1, shape[1] - 9)
        mask[row : row + 8, column : column + 8] = value
    return rng.integers(0, 256, shape).astype(np.uint8), mask


def save(path, content, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, np.ndarray) and path.suffix.lower().startswith(".tif"):
        how = {"photometric": "minisblack", **how}
        tifffile.imwrite(path, content, **how)
    else:
        picture = content if isinstance(content, Image.Image) else Image.fromarray(content)
        picture.save(path, **how)


def fill(folder, image="images/{}.png", mask="masks/{}.png", draw=None, classes=2, n=N):
    """`n` pairs under these names; `draw` turns the classes into what the file stores."""
    truth = {}
    for number in range(n):
        pixels, own = drawn(number, classes)
        save(folder / image.format(number), pixels)
        save(folder / mask.format(number), white(own) if draw is None else draw(own))
        truth[number] = own
    return truth


def white(mask):
    return np.where(mask > 0, 255, 0).astype(np.uint8)


def palette(indices, *colours):
    picture = Image.fromarray(indices.astype(np.uint8), mode="P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def coloured(mask, *colours):
    return np.array(colours, np.uint8)[mask]


def read(found, folder):
    """Cases of what was found, as the store would get them."""
    listing = folder.parent / "toy.files.csv"
    rows = [(r.path, 1, "", r.role, r.case, r.group) for r in found.rows]
    with listing.open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "bytes", "sha256", "role", "case", "group"), *rows])
    words = dict.fromkeys(("title", "short", "task", "modality", "licence", "citation"), "a")
    entry = Entry(
        name="toy", **words, ndim=found.ndim, channels=found.channels,
        classes=dict(found.classes), spacing=found.spacing, spacing_unit=found.spacing_unit,
        axes=found.axes, mirror={"axes": (), "reason": "e"},
        cases=len({r.case for r in found.rows}), groups=1, groups_inferred=True,
        origin={"kind": "local", "folder": str(folder)}, reader=found.reader, listing=listing,
    )  # fmt: skip
    return list(read_cases(entry, folder))


def accepted(folder, **options):
    """What was found, which nothing speaks against, and its cases."""
    found = recognise(folder, Options(**{"groups": "case", **options}))
    assert [(p.text, p.files, p.flag) for p in found.problems] == []
    return found, read(found, folder)


def same(cases, truth):
    assert len(cases) == len(truth)
    for case, expected in zip(cases, truth.values(), strict=True):
        np.testing.assert_array_equal(case.mask, expected)
        assert case.mask.any()


def problems(folder, **options):
    found = recognise(folder, Options(**{"groups": "case", **options}))
    return [f"{p.text} | {' ; '.join(p.files)} | {p.flag}" for p in found.problems]


def refused(folder, *words, **options):
    """One problem, which says all these words."""
    (problem,) = problems(folder, **options)
    for word in words:
        assert word in problem, problem


THREE = np.array([0, 128, 255], np.uint8)
RED, GREEN, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 0)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}.png", "masks/{}.png"),
        ("img/{}.jpg", "gt/{}.png"),
        ("imgs/{}.BMP", "Labels/{}.BMP"),
        ("a/{}.png", "a/{}_mask.png"),
        ("{}.png", "{}_seg.PNG"),
        ("{}.tif", "{}-label.tif"),
        ("{}.jpg", "{}_gt.gif"),
        ("{}.png", "mask_{}.png"),
        ("Original/scan {}.png", "Ground_Truth/scan {} GroundTruth.png"),
        ("images/x{}_image.png", "masks/x{}_mask.png"),
        ("data/images/{}.TIFF", "data/annotations/{}.bmp"),
        ("p{}/image.png", "p{}/mask.png"),
        ("images/{}.png", "segmentation/{}_manual1.gif"),
        ("images/c{}.v1.png", "masks/c{}.v1.png"),
        (
            "ISIC-2017_Training_Data/ISIC_{}.jpg",
            "ISIC-2017_Training_Part1_GroundTruth/ISIC_{}_segmentation.png",
        ),
        ("train/{}.jpg", "train_masks/{}_mask.gif"),
        ("im{}.ppm", "labels-ah/im{}.ah.ppm"),
        ("images/p{0}/a.png", "masks/p{0}/a.png"),
        ("train_{}.bmp", "train_{}_anno.bmp"),
    ],
)
def test_images_and_masks_are_paired_by_their_names(tmp_path, image, mask):
    folder = tmp_path / "data"
    truth = fill(folder, image, mask)
    found, cases = accepted(folder)
    same(cases, truth)
    assert found.classes == {1: "object"}


@pytest.mark.parametrize(
    ("classes", "draw", "values"),
    [
        (2, lambda m: m, {1: 1}),
        (3, lambda m: m, {1: 1, 2: 2}),
        (3, lambda m: THREE[m], {128: 1, 255: 2}),
        (2, lambda m: Image.fromarray(m > 0), {255: 1}),
        (2, lambda m: np.stack([white(m)] * 3, -1), {255: 1}),
        (3, lambda m: coloured(m, BLACK, RED, GREEN), {"#00ff00": 2, "#ff0000": 1}),
        (2, lambda m: coloured(m, BLACK, RED), {"#ff0000": 1}),
        (3, lambda m: palette(m, BLACK, GREEN, RED), {1: 1, 2: 2}),
        (2, lambda m: palette(1 - m, RED, BLACK), {"#ff0000": 1}),
        (2, lambda m: coloured(m, (*BLACK, 0), (*RED, 255)), {"#ff0000": 1}),
        (2, lambda m: np.dstack([white(m), white(m)]), {"#ffffff": 1}),
        (2, lambda m: coloured(m, (4, 2, 4), (252, 254, 252)), {"#040204": 0, "#fcfefc": 1}),
    ],
)
def test_values_without_doubt_become_classes(tmp_path, classes, draw, values):
    folder = tmp_path / "data"
    truth = fill(folder, draw=draw, classes=classes)
    found, cases = accepted(folder)
    expected = values
    if set(map(str, values)) == {"#00ff00", "#ff0000"}:
        # Colours are numbered in the order of their codes.
        expected = {"#00ff00": 1, "#ff0000": 2}
        truth = {key: np.array([0, 2, 1])[mask] for key, mask in truth.items()}
    assert found.reader.settings["values"] == expected
    same(cases, truth)


def test_sixteen_bit_masks(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder, mask="masks/{}.tif", draw=lambda m: m.astype(np.uint16) * 65535)
    found, cases = accepted(folder)
    assert found.reader.settings["values"] == {65535: 1}
    same(cases, truth)


def test_palettes_in_another_order_in_each_file_are_read_by_colour(tmp_path):
    folder = tmp_path / "data"
    truth = {}
    for number in range(N):
        image, mask = drawn(number, 3)
        save(folder / f"images/{number}.png", image)
        order = [BLACK, RED, GREEN] if number % 2 else [GREEN, BLACK, RED]
        index = np.array([0, 1, 2] if number % 2 else [1, 2, 0], np.uint8)
        save(folder / f"masks/{number}.png", palette(index[mask], *order))
        truth[number] = mask
    _, cases = accepted(folder, classes={"#ff0000": "red", "#00FF00": "green"})
    same(cases, truth)


@pytest.mark.parametrize("names", ["masks/{1}/{0}.png", "masks_{1}/{0}.png", "{0}_{1}_mask.png",
                                   "masks/{0}_{1}.png", "{0}_seg-{1}-manual.png"])  # fmt: skip
def test_a_mask_for_each_class(tmp_path, names):
    folder = tmp_path / "data"
    truth = {}
    for number in range(N):
        image, mask = drawn(number, 3)
        save(folder / f"images/{number}.png", image)
        for value, name in ((1, "axon"), (2, "myelin")):
            save(folder / names.format(number, name), white(mask == value))
        truth[number] = mask
    found, cases = accepted(folder)
    assert found.classes == {1: "axon", 2: "myelin"}
    same(cases, truth)
    said, cases = accepted(folder, masks={"myelin": "*myelin*", "axon": "*axon*"})
    assert said.classes == {1: "myelin", 2: "axon"}
    for case, mask in zip(cases, truth.values(), strict=True):
        np.testing.assert_array_equal(case.mask > 0, mask > 0)


@pytest.mark.parametrize("layout", ["folders", "numbers"])
def test_a_mask_for_each_object_is_joined(tmp_path, layout):
    folder = tmp_path / "data"
    for number in range(N):
        image, _ = drawn(number)
        name = "images/{0}" if layout == "folders" else "benign ({0})"
        where = f"{number:08x}/" if layout == "folders" else ""
        save(folder / f"{where}{name.format(number)}.png", image)
        for thing in range(number + 2):
            mask = np.zeros(SHAPE, np.uint8)
            mask[2 : 2 + number + 2, 3 * thing + 1 : 3 * thing + 3] = 255
            path = f"{where}masks/{thing * 7919 + number:08x}.png"
            if layout == "numbers":
                path = f"benign ({number})_mask{f'_{thing}' if thing else ''}.png"
            save(folder / path, mask)
    found, cases = accepted(folder)
    assert found.reader.settings["masks"] == {"mask_instance": 1}
    for number, case in enumerate(cases):
        assert case.mask.sum() == (number + 2) * (number + 2) * 2  # objects, rows, columns


def test_train_validation_and_test_become_the_label_part(tmp_path):
    folder = tmp_path / "data"
    truth = {}
    for number, part in enumerate(("train", "train", "val", "test")):
        image, mask = drawn(number)
        # The same file names in every part: cases get names of their own.
        save(folder / f"{part}/images/{number % 2}.png", image)
        save(folder / f"{part}/masks/{number % 2}.png", white(mask))
        truth[f"{part}-{number % 2}"] = mask
    found, cases = accepted(folder)
    parts = {case: labels["part"] for case, labels in found.labels.items()}
    assert sorted(parts.values()) == ["test", "train", "train", "validation"]
    for case in cases:
        (own,) = [m for name, m in truth.items() if name == case.case or (name.split("-")[1]
                  == case.case and parts[case.case].startswith(name.split("-")[0]))]  # fmt: skip
        np.testing.assert_array_equal(case.mask, own)


def test_rubbish_of_operating_systems_is_left_out(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder)
    for name in ("images/._0.png", "masks/._0.png", "images/Thumbs.db", ".DS_Store",
                 "__MACOSX/images/0.png", "images/desktop.ini"):  # fmt: skip
        save(folder / name, b"rubbish")
    (folder / "readme.txt").write_text("about")
    found, cases = accepted(folder)
    same(cases, truth)
    assert any("readme.txt" in note for note in found.notes)


def test_names_with_spaces_and_both_spellings_of_an_umlaut(tmp_path):
    folder = tmp_path / "data"
    truth = {}
    for number in range(N):
        image, mask = drawn(number)
        name = f"Größe {number} é"
        save(folder / f"images/{unicodedata.normalize('NFD', name)}.png", image)
        save(folder / f"masks/{unicodedata.normalize('NFC', name)}.png", white(mask))
        truth[number] = mask
    _, cases = accepted(folder)
    same(cases, truth)


def test_links_are_followed_and_dead_ones_named(tmp_path):
    folder, store = tmp_path / "data", tmp_path / "store"
    truth = fill(store)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
        for path in (store / kind).iterdir():
            (folder / kind / path.name).symlink_to(path)
    _, cases = accepted(folder)
    same(cases, truth)
    (store / "masks" / "2.png").unlink()
    assert any("links that lead to nothing | masks/2.png" in p for p in problems(folder))


def test_a_wrong_ending_is_said_and_the_content_read(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder)
    (folder / "images/1.png").rename(folder / "images/1.jpg")
    found, cases = accepted(folder)
    same(cases, truth)
    assert any("images/1.jpg is PNG" in note for note in found.notes)


def test_channels_are_told_and_said(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder)
    image, _ = drawn(1)
    save(folder / "images/1.png", np.stack([image] * 3, -1))
    found, cases = accepted(folder)
    assert found.channels == 1
    assert any("1 RGB image(s) are grey" in guess.value for guess in found.guesses)
    same(cases, truth)
    save(folder / "images/1.png", np.stack([image, image // 2, image // 3], -1))
    found, _ = accepted(folder)
    assert found.channels == 3
    assert any("3 grey image(s) among 1 in colours" in guess.value for guess in found.guesses)
    _, cases = accepted(folder, channels=1)
    assert [case.image.shape[0] for case in cases] == [1] * N
    refused(folder, "--channels 2, but the images have 3", channels=2)
    save(folder / "images/1.png", np.dstack([image] * 3 + [image]))
    found, _ = accepted(folder)
    assert any("opacity (alpha) of images is left out: images/1.png" in n for n in found.notes)


def test_empty_masks_are_counted(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder)
    save(folder / "masks/3.png", np.zeros(SHAPE, np.uint8))
    found, cases = accepted(folder)
    assert any("1 of 4 masks are empty: masks/3.png" in note for note in found.notes)
    same(cases[:3], {n: truth[n] for n in range(3)})
    assert not cases[3].mask.any()


@pytest.mark.parametrize("turned", [True, False])
def test_shapes_tell_whether_exif_was_obeyed(tmp_path, turned):
    folder = tmp_path / "data"
    exif = Image.Exif()
    exif[0x0112] = 6
    truth = {}
    for number in range(N):
        image, mask = drawn(number)
        save(folder / f"images/{number}.jpg", image, exif=exif, quality=95)
        truth[number] = np.rot90(mask, -1) if turned else mask
        save(folder / f"masks/{number}.png", white(truth[number]))
    found, cases = accepted(folder)
    assert found.reader.settings["orientation"] == ("apply" if turned else "ignore")
    same(cases, truth)


def test_pages_are_asked_for(tmp_path):
    folder = tmp_path / "data"
    for number in range(N):
        stack = [drawn(10 * number + page) for page in range(3)]
        save(folder / f"images/{number}.tif", np.stack([image for image, _ in stack]))
        save(folder / f"masks/{number}.tif", np.stack([mask for _, mask in stack]))
    refused(folder, "several pages", "images/0.tif: 3 pages", "--pages slices")
    found, cases = accepted(folder, pages="slices")
    assert (found.ndim, len(found.axes), cases[0].mask.shape) == (3, 3, (3, *SHAPE))
    _, cases = accepted(folder, pages="cases")
    assert len(cases) == 3 * N
    np.testing.assert_array_equal(cases[4].mask, drawn(11)[1])
    fill(folder, mask="masks/{}.tif")
    refused(folder, "--pages slices, but no file has more than one page", pages="slices",
            images="*.png")  # fmt: skip


def test_one_image_is_cut_into_blocks(tmp_path):
    folder = tmp_path / "data"
    image, mask = drawn(0, shape=(40, 200))
    mask[::5] = 1
    save(folder / "slide.png", image)
    save(folder / "slide_mask.png", mask)
    refused(folder, "one image only", "--blocks N --gap PIXELS", groups=None)
    refused(folder, "--blocks needs --gap", blocks=4)
    _, cases = accepted(folder, blocks=4, gap=8, groups=None)
    assert len({case.group for case in cases}) == 4
    assert sum(case.mask.shape[1] for case in cases) == 200 - 3 * 8
    np.testing.assert_array_equal(cases[0].mask, mask[:, :44])


def test_the_size_of_a_pixel_from_the_files(tmp_path):
    folder = tmp_path / "data"
    fill(folder)

    def write(number, density):
        (folder / f"images/{number}.png").unlink(missing_ok=True)
        how = {"resolution": (density, density), "resolutionunit": "CENTIMETER"}
        save(folder / f"images/{number}.tif", drawn(number)[0], **how if density else {})

    for number in range(N):
        write(number, 20000)
    found, _ = accepted(folder)
    assert (found.spacing, found.spacing_unit) == ((0.5, 0.5), "um")
    write(2, 10000)
    found, cases = accepted(folder)
    assert [case.spacing[0] for case in cases] == pytest.approx([0.5, 0.5, 1.0, 0.5])
    assert any("0.5 to 1 um" in guess.value for guess in found.guesses)
    write(3, 0)
    refused(folder, "some images say the size of a pixel", "images/3.tif: ?", "--spacing")
    found, _ = accepted(folder, spacing=(0.7, 0.7), spacing_unit="um")
    assert found.spacing == (0.7, 0.7)
    refused(folder, "--spacing has 3 numbers", spacing=(1, 1, 1))


def soft(mask):
    values = white(mask)
    values[mask > 0] = np.linspace(20, 255, int((mask > 0).sum()))
    return values


def with_few(value, pixels):
    def draw(mask):
        values = white(mask)
        values.reshape(-1)[np.flatnonzero(mask)[:pixels]] = value
        return values

    return draw


def outline(mask):
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = (
        mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    )
    return white(mask & ~inner & 1)


def large(mask):
    whole = np.zeros_like(mask)
    whole[2:22, 3:33] = 1
    return whole


def half(mask):
    return np.dstack([white(mask)] * 3 + [np.where(mask > 0, 90, 255).astype(np.uint8)])


def numbered(mask):
    values = np.zeros(SHAPE, np.uint16)
    for thing in range(int(mask.argmax()) % 9 + 5):
        values[2:20, 2 * thing + 1] = thing + 1
    return values


@pytest.mark.parametrize(
    ("draw", "words", "answer"),
    [
        (soft, ("softened borders", "--threshold N", "#", "%"), {"threshold": 127}),
        (with_few(254, 0.3), None, None),
        (lambda m: outline(large(m)), ("outlines", "--fill", "masks/0.png"), {"outlines": "fill"}),
        (lambda m: 255 - white(m), ("93%", "inverted", "--class 0=NAME --class 255=background"),
         {"classes": {"0": "thing", "255": "background"}}),
        (lambda m: coloured(m, (*BLACK, 0), (*BLACK, 255)), ("alpha channel carries", "#000000"),
         {"classes": {"#000000": "thing"}}),
        (half, ("half transparent",), None),
        (numbered, ("numbered objects", "--threshold 0"), {"threshold": 0}),
        (lambda m: np.zeros(SHAPE, np.uint8), ("every mask is empty",), None),
        (lambda m: white(m) // 2 + 60, ("no pixel of any mask is background", "60", "187"),
         {"classes": {"60": "background", "187": "thing"}}),
        (lambda m: np.dstack([drawn(9)[0]] * 2 + [white(m)]), ("values", "--class"), None),
    ],
    ids=["soft", "few", "outline", "inverted", "alpha", "half", "numbered", "empty", "grey",
         "rainbow"],
)  # fmt: skip
def test_masks_in_doubt_are_asked_about(tmp_path, draw, words, answer):
    folder = tmp_path / "data"
    if words is None:
        draw, words, answer = with_few(254, 1), ("255", "254"), {"threshold": 127}
        fill(folder, mask="masks/{}.png", draw=lambda m: draw(large(m)))
    else:
        fill(folder, mask="masks/{}.tif" if draw is numbered else "masks/{}.png", draw=draw)
    refused(folder, *words)
    if answer:
        _, cases = accepted(folder, **answer)
        assert all(case.mask.any() and not case.mask.all() for case in cases)


def some_in_ones(folder, ones, whites):
    """Masks of 0 and 1, then masks of 0 and 255, then an empty one."""
    truth = {}
    for number in range(ones + whites + 1):
        image, mask = drawn(number)
        mask = mask if number < ones + whites else np.zeros_like(mask)
        save(folder / f"images/{number}.png", image)
        save(folder / f"masks/{number}.png", mask if number < ones else white(mask))
        truth[number] = mask
    return truth


def test_a_threshold_that_empties_marked_masks_is_refused(tmp_path):
    folder = tmp_path / "data"
    truth = some_in_ones(folder, 3, 2)
    (text,) = problems(folder, threshold=127)
    assert "wholly under --threshold 127" in text
    assert "| masks/0.png: at most 1 ; masks/1.png: at most 1 ; masks/2.png: at most 1 |" in text
    assert "--threshold 0" in text and "repair" in text
    _, cases = accepted(folder, threshold=0)
    for case, mask in zip(cases, truth.values(), strict=True):
        np.testing.assert_array_equal(case.mask, mask)


def test_a_mask_of_background_alone_is_empty_and_not_under_the_threshold(tmp_path):
    """Background 60, marked 187: a mask of nothing but 60 is an empty one."""
    folder = tmp_path / "data"
    truth = fill(folder, draw=lambda m: white(m) // 2 + 60)
    save(folder / "masks/2.png", np.full(SHAPE, 60, np.uint8))
    _, cases = accepted(folder, threshold=127)
    assert [case.mask.any() for case in cases] == [True, True, False, True]
    np.testing.assert_array_equal(cases[0].mask, truth[0])


@pytest.mark.parametrize("rgb", [False, True])
def test_binary_masks_of_two_kinds_are_asked_about(tmp_path, rgb):
    folder = tmp_path / "data"
    truth = some_in_ones(folder, 2, 3)
    if rgb:
        for path in sorted((folder / "masks").iterdir()):
            save(path, np.dstack([np.asarray(Image.open(path))] * 3))
    (text,) = problems(folder)
    assert "2 hold only 1 and 3 hold only 255" in text
    assert "| masks/0.png ; masks/1.png |" in text
    assert "--class 1=NAME --class 255=NAME" in text
    found, cases = accepted(folder, classes={"1": "lesion", "255": "lesion"})
    assert found.classes == {1: "lesion"}
    for case, mask in zip(cases, truth.values(), strict=True):
        np.testing.assert_array_equal(case.mask, mask)
    found, cases = accepted(folder, classes={"1": "benign", "255": "malignant"})
    assert [int(case.mask.max()) for case in cases] == [1, 1, 2, 2, 2, 0]
    _, cases = accepted(folder, threshold=0)
    assert [case.mask.any() for case in cases] == [True] * 5 + [False]


def test_masks_of_one_class_in_two_kinds_are_cut_at_zero(tmp_path):
    folder = tmp_path / "data"
    for number in range(N):
        image, mask = drawn(number, 3)
        save(folder / f"images/{number}.png", image)
        save(folder / f"masks/axon/{number}.png", white(mask == 1))
        save(folder / f"masks/myelin/{number}.png", (mask == 2).astype(np.uint8))
    refused(folder, "4 hold only 1 and 4 hold only 255", "--threshold 0")
    _, cases = accepted(folder, threshold=0)
    for number, case in enumerate(cases):
        np.testing.assert_array_equal(case.mask, drawn(number, 3)[1])


def test_two_classes_that_never_meet_are_classes_where_they_count_on(tmp_path):
    """One kind of lesion in each image, 1 or 2: labels, and no other way to save one class."""
    folder = tmp_path / "data"
    for number in range(N):
        image, mask = drawn(number)
        save(folder / f"images/{number}.png", image)
        save(folder / f"masks/{number}.png", mask * (1 + number % 2))
    found, cases = accepted(folder)
    assert found.classes == {1: "class_1", 2: "class_2"}
    assert [int(case.mask.max()) for case in cases] == [1, 2, 1, 2]


def test_lossy_masks_are_asked_about(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder, mask="masks/{}.jpg")
    found = problems(folder)
    assert any("masks are JPEG" in p and "masks/3.jpg" in p and "--threshold" in p for p in found)
    _, cases = accepted(folder, threshold=127)
    for case, expected in zip(cases, truth.values(), strict=True):
        assert (case.mask != expected).mean() < 0.02


def test_white_stored_as_zero_is_asked_about(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder)
    for number, mask in truth.items():
        (folder / f"masks/{number}.png").unlink()
        save(folder / f"masks/{number}.tif", white(mask), photometric="miniswhite")
    assert any("store white as 0" in p and "masks/0.tif" in p for p in problems(folder))
    _, cases = accepted(folder, classes={"0": "thing", "255": "background"})
    same(cases, truth)


def test_an_image_turned_on_its_head_is_asked_about(tmp_path):
    folder = tmp_path / "data"
    exif = Image.Exif()
    exif[0x0112] = 3
    fill(folder, image="images/{}.jpg")
    save(folder / "images/1.jpg", drawn(1)[0], exif=exif)
    refused(folder, "EXIF", "images/1.jpg", "cannot be told from the shapes")


def test_every_bad_file_is_named_at_once(tmp_path):
    folder = tmp_path / "data"
    fill(folder, n=9)
    whole = (folder / "images/1.png").read_bytes()
    save(folder / "images/1.png", whole[: len(whole) // 2])
    save(folder / "images/2.png", b"")
    save(folder / "masks/3.png", b"not a picture")
    save(folder / "masks/4.png", b"version https" + b"://git-lfs.github.com/spec/v1\noid")
    frames = [Image.fromarray(np.full(SHAPE, value, np.uint8)) for value in (0, 200)]
    frames[0].save(folder / "images/5.png", save_all=True, append_images=frames[1:])
    save(folder / "masks/6.png", white(drawn(6)[1])[1:])
    save(folder / "masks/7.png", white(drawn(7)[1]).T.copy())
    unreadable, shapes = problems(folder)
    for name in ("images/1.png", "images/2.png: the file is empty", "masks/3.png: no picture",
                 "masks/4.png: it is a pointer of Git LFS", "images/5.png: animated"):  # fmt: skip
        assert name in unreadable
    assert "masks/6.png: (23, 36), images/6.png: (24, 36)" in shapes
    assert "masks/7.png: (36, 24)" in shapes


def test_what_does_not_match_is_named_on_both_sides(tmp_path):
    folder = tmp_path / "data"
    fill(folder, n=6)
    (folder / "masks/1.png").unlink()
    (folder / "masks/2.png").rename(folder / "masks/other.png")
    bare, lost = problems(folder)
    assert bare.startswith("images without a mask | images/1.png ; images/2.png")
    assert lost.startswith("masks without an image | masks/other.png")


def test_two_masks_for_one_image_are_asked_about(tmp_path):
    folder = tmp_path / "data"
    truth = fill(folder)
    fill(folder, mask="labels2/{}.png", draw=lambda m: white(1 - m))
    refused(folder, "two masks", "labels2", "--masks")
    _, cases = accepted(folder, masks={"": "masks", "second_rater": "labels2"})
    same(cases, truth)
    np.testing.assert_array_equal(cases[0].second_rater, 1 - truth[0])
    save(folder / "masks/1_seg.png", white(truth[1]))
    assert any("two masks" in problem and "masks/1_seg.png" in problem
               for problem in problems(folder, masks={"": "masks"}))  # fmt: skip


def test_two_images_of_one_name_are_refused(tmp_path):
    folder = tmp_path / "data"
    fill(folder)
    save(folder / "images/1.bmp", drawn(1)[0])
    found = problems(folder)
    assert any("images/1.bmp" in p and "images/1.png" in p for p in found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"masks": {"": "mask"}}, ("no picture fits --masks 'mask'",)),
        ({"images": "photos", "masks": {"": "masks"}}, ("no picture fits --images 'photos'",)),
        ({"masks": {"a": "masks", "b": "*s/1.png"}}, ("fit several of the --masks",)),
        ({"classes": {"7": "thing"}}, ("thing (7) occurs in no mask", "hold 0, 255")),
        ({"classes": {"255": "a thing"}}, ("'a thing'", "lower case")),
        ({"classes": {"#ff0000": "thing"}}, ("no --class names", "#ffffff")),
        ({"classes": {"255": "a", "#ff0000": "b"}}, ("all numbers or all colours",)),
        ({"classes": {"white": "a"}}, ("'white' is no value",)),
        ({"classes": {"0": "background"}}, ("the background only",)),
        ({"threshold": 255}, ("nothing in any mask is brighter than --threshold 255",)),
        ({"threshold": 9, "classes": {"1": "a", "2": "b"}}, ("--threshold gives one class",)),
        ({"blocks": 1, "gap": 2}, ("it takes two",)),
        ({"gap": 2}, ("with --blocks",)),
    ],
)
def test_a_flag_that_cannot_be_is_refused(tmp_path, options, words):
    folder = tmp_path / "data"
    fill(folder)
    found = problems(folder, **options)
    assert any(all(word in problem for word in words) for problem in found), found


def test_a_class_without_any_pixel_in_its_masks_is_refused(tmp_path):
    folder = tmp_path / "data"
    for number, mask in fill(folder, mask="masks/a/{}.png").items():
        save(folder / f"masks/b/{number}.png", np.zeros_like(mask))
    refused(folder, "class b occurs in no mask", "masks/b/0.png")


def test_pictures_without_masks_and_other_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    assert recognise(tmp_path / "empty", Options()) is None
    fill(tmp_path / "plain", mask="images/{}b.png")
    refused(tmp_path / "plain", "no mask among them", "--masks")
    volumes = tmp_path / "volumes"
    for number in range(3):
        save(volumes / f"{number}.nii.gz", b"x")
    save(volumes / "preview.png", drawn(0)[0])
    assert recognise(volumes, Options()) is None
    assert recognise(volumes, Options(layout="pictures")) is not None
