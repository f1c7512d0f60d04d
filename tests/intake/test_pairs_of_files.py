"""Images and masks are paired by name: rightly, or with a problem, and never wrongly."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from attnbench.intake.found import Options
from attnbench.intake.pairs import list_files, matches, pair_files
from attnbench.intake.roles import find_roles

letters = st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="/")
tokens = ("a", "scan", "1", "2", "12", "img", "mask", "left", "L", "x1", "train", "image", "c3")
words = st.sampled_from(tokens)
stems = st.one_of(
    st.text(letters, min_size=1, max_size=8),
    st.lists(words, min_size=1, max_size=4).map("_".join),
    st.lists(words, min_size=1, max_size=4).map("-".join),
)


def files_of(roles):
    """Image and all files of every case."""
    for own in roles.of.values():
        yield own["image"][0], [path for paths in own.values() for path in paths]


@given(
    st.lists(stems, min_size=2, max_size=8, unique=True),
    st.sampled_from(
        [
            ("images/{}.png", "masks/{}.png"),
            ("images/{}.png", "masks/{}_seg.png"),
            ("{}.jpg", "{}_mask.png"),
            ("{}.png", "mask_{}.png"),
            ("a/img/{}.tif", "b/gt/{}.tif"),
        ]
    ),
)
def test_no_mask_goes_to_another_image(names, layout):
    assume(not any(name.startswith(".") for name in names))
    image, mask = layout
    # In one folder, an image called a mask is one by its name; its values are asked about later.
    said = re.compile("mask|label|seg|gt|truth|anno|reference|manual|contour|outline|matte|lbl")
    assume("/" in image or not any(said.search(name.lower()) for name in names))
    owner = {mask.format(name): image.format(name) for name in names}
    assume(len({*owner, *owner.values()}) == 2 * len(names))
    found = pair_files([*owner.values(), *owner])
    roles = find_roles(found, Options())
    if found.problems or roles.problems:
        return
    assert {image: [path for path in own if path != image] for image, own in files_of(roles)} == {
        image: [mask] for mask, image in owner.items()
    }


units = ("patient", "frame", "img", "image", "scan", "slice", "P", "Visit", "photo")
numbered = st.builds(
    lambda unit, gap, number: f"{unit}{gap}{number}",
    st.sampled_from(units), st.sampled_from(["", " ", "_", "-"]), st.integers(0, 3),
)  # fmt: skip
counted = st.one_of(
    st.lists(numbered, min_size=1, max_size=3).map("_".join),
    st.lists(numbered, min_size=1, max_size=3).map(" ".join),
    st.lists(st.integers(0, 3).map(str), min_size=1, max_size=3).map("_".join),
)


@given(
    st.lists(counted, min_size=1, max_size=12, unique=True),
    st.sampled_from(
        [
            ("images/{}.png", "masks/{}.png"),
            ("frames/{}.tif", "gt/{}.png"),
            ("images/{}.png", "masks/{}_mask.png"),
            ("{}.png", "{}_mask.png"),
            ("{}.png", "mask {}.png"),
            ("train/images/{}.png", "train/masks/{}.png"),
            ("{}/image.png", "{}/mask.png"),
        ]
    ),
    st.randoms(),
)
def test_equal_names_pair_whatever_their_words_and_numbers(names, layout, random):
    """`1_2` beside `2_1`, `patient0_frame1`, `Patient 1 scan 2`: always by the very name."""
    if "/image" in layout[0] and "{}/" in layout[0]:
        assume(len({name.replace(" ", "_").replace("-", "_") for name in names}) == len(names))
        assume(len(names) > 1)
    image, mask = layout
    owner = {image.format(name): (mask.format(name),) for name in names}
    paths = [*owner, *(path for (path,) in owner.values())]
    found = pair_files(random.sample(paths, len(paths)))
    assert found.problems == ()
    assert {pair.images[0]: pair.masks[""] for pair in found.pairs} == owner


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/1_2.png", "masks/2_1.png"),
        ("images/Patient 1 scan 2.png", "masks/Patient 2 scan 1.png"),
        ("images/P1_image2.png", "masks/P2_image1.png"),
        ("images/frame7.png", "masks/Visit 7 patient 3.png"),
        ("images/patient0_frame1.png", "masks/patient1_frame0_seg.png"),
        ("images/p1/a.png", "masks/p2/a.png"),
        ("train/images/5.png", "test/masks/5.png"),
    ],
)
def test_a_mask_never_goes_to_another_name_where_its_own_image_is_missing(image, mask):
    others = ["images/p2/b.png", "masks/p2/b.png", "images/p2/c.png", "masks/p2/c.png"]
    found = pair_files([image, mask, *others])
    assert {pair.images[0]: pair.masks[""] for pair in found.pairs} == {
        other: (other.replace("images", "masks"),) for other in others[::2]
    }
    said = {problem.text: problem for problem in found.problems}
    assert said["images without a mask"].files == (image,)
    assert said["masks without an image"].files == (mask,)
    assert all("move these files out of the folder" in p.flag for p in found.problems)


def test_masks_in_a_folder_of_one_image_stay_in_it():
    paths = [f"{n}/{what}.png" for n in (1, 2, 3) for what in ("images/" + str(n), "masks/1",
                                                               "masks/2")]  # fmt: skip
    found = pair_files(paths)
    assert not found.problems
    assert {p.images[0]: {f for own in p.masks.values() for f in own} for p in found.pairs} == {
        f"{n}/images/{n}.png": {f"{n}/masks/1.png", f"{n}/masks/2.png"} for n in (1, 2, 3)
    }


def test_a_mask_that_fits_several_images_is_named_with_them():
    found = pair_files(["images/1.png", "images/1.bmp", "masks/1.png"])
    (text,) = [p.files for p in found.problems if "equally well" in p.text]
    assert text == ("masks/1.png: images/1.png, images/1.bmp",)


def test_pictures_without_masks_get_the_flags_of_their_own_folders():
    paths = [f"{folder}/{n}.tif" for folder in ("images", "axon", "b/Myelin 2") for n in range(3)]
    (problem,) = pair_files(paths).problems
    assert "--masks axon='axon/*.tif'" in problem.flag
    assert "--masks myelin_2='b/Myelin 2/*.tif'" in problem.flag
    said = pair_files(paths, masks={"axon": "axon/*.tif", "myelin_2": "b/Myelin 2/*.tif"})
    assert [(p.images, len(p.masks)) for p in said.pairs] == [
        ((f"images/{n}.tif",), 2) for n in range(3)
    ]
    (flat,) = pair_files(["a.png", "b.png"]).problems
    assert "--masks axon='axon/*.png' --masks myelin='myelin/*.png'" in flat.flag


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True), st.randoms())
def test_the_order_of_files_does_not_matter(numbers, random):
    paths = [f"images/{n}.png" for n in numbers] + [f"masks/{n}_gt.png" for n in numbers]
    shuffled = random.sample(paths, len(paths))
    found = pair_files(shuffled)
    assert found == pair_files(paths)
    assert {pair.name: pair.masks[""] for pair in found.pairs} == {
        str(n): (f"masks/{n}_gt.png",) for n in numbers
    }


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("a/masks/1.png", "masks", True),
        ("a/masks/1.png", "masks/", True),
        ("a/masks/1.png", "./a", True),
        ("a/masks2/1.png", "masks", False),
        ("a/1_axon.png", "*_axon.png", True),
        ("a/1_axon.png", "a/*.png", True),
        ("a/1_axon.png", "b/*.png", False),
        ("a/1.png", "a/1.png", True),
        ("a/1.png", "1", False),
    ],
)
def test_a_folder_or_a_glob_says_which_files_are_meant(path, pattern, fits):
    assert matches(path, pattern) == fits


def test_hidden_files_are_not_listed(tmp_path):
    names = ["a.png", ".a.png", "._a.png", "x/Thumbs.db", ".git/b.png", "c.PNG", "d.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    files = list_files(tmp_path, (".png",))
    assert files.wanted == ("a.png", "c.PNG")
    assert files.others == ("d.txt",)
