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
