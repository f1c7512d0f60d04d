"""Copies with known truth: those planted are found, with what was done to them, and no others."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from attnbench.data.scan.inspect import inspect_cases
from attnbench.data.scan.seen import see

AXES = ("first", "second", "third")


def inspect(cases):
    ndim = cases[0].mask.ndim
    seen = [see(case, {1: "blob"}, AXES[:ndim]) for case in cases]
    return inspect_cases("toy", seen, {1: "blob"})


def encoded(image, quality):
    low, high = image.min(), image.max()
    stream = io.BytesIO()
    Image.fromarray(((image - low) / (high - low) * 255).astype(np.uint8)).save(
        stream, "JPEG", quality=quality
    )
    return np.asarray(Image.open(stream))


CHANGES = {
    "exact": (lambda image: image, "as it is"),
    "other dtype": (lambda image: image.astype(np.float64), "as it is"),
    "JPEG of quality 50": (lambda image: encoded(image, 50), "as it is"),
    "JPEG of quality 95": (lambda image: encoded(image, 95), "as it is"),
    "shifted": (lambda image: ndimage.shift(image, (4, -3), order=0, mode="nearest"), "as it is"),
    "smaller": (lambda image: ndimage.zoom(image, 0.8, order=1), "as it is"),
    "larger": (lambda image: ndimage.zoom(image, 1.25, order=1), "as it is"),
    "middle of it": (lambda image: image[12:-12, 15:-15], "as it is"),
    "brighter": (lambda image: 3 * image + 100, "as it is"),
    "left to right": (lambda image: image[:, ::-1], "mirrored left to right"),
    "top to bottom": (lambda image: image[::-1], "mirrored top to bottom"),
    "upside down": (lambda image: np.rot90(image, 2), "rotated by 180 degrees"),
    # The turn is what leads from the second to the first.
    "to the left": (lambda image: np.rot90(image), "rotated by 90 degrees to the right"),
    "to the right": (lambda image: np.rot90(image, -1), "rotated by 90 degrees to the left"),
    "transposed": (lambda image: image.T, "mirrored along the diagonal"),
    "other diagonal": (lambda image: np.rot90(image, 2).T, "mirrored along the other diagonal"),
}


@pytest.fixture(scope="module")
def found(texture, case_of):
    originals = [case_of(f"a{k:02d}", texture(k)) for k in range(len(CHANGES))]
    copies = [
        case_of(f"b{k:02d}", change(original.image[0]))
        for k, ((change, _), original) in enumerate(zip(CHANGES.values(), originals, strict=True))
    ]
    return inspect([*originals, *copies])


@pytest.mark.parametrize("number", range(len(CHANGES)), ids=CHANGES)
def test_a_copy_is_found_with_what_was_done_to_it(found, number):
    pairs = {(pair.case_a, pair.case_b): pair for pair in found.pairs}
    pair = pairs[f"a{number:02d}", f"b{number:02d}"]
    name, (_, turn) = list(CHANGES.items())[number]
    assert pair.turn == turn
    assert pair.kind == ("exact" if name in ("exact", "other dtype") else "near")
    assert pair.across_groups


def test_no_other_pair_is_found(found):
    assert len(found.pairs) == len(CHANGES)
    assert found.leaks == found.pairs


def test_scale_and_shift_are_those_of_the_copy(texture, case_of):
    image = texture(5, (192, 192))
    shifted = np.roll(image, 12, axis=1)
    (pair,) = inspect([case_of("a", image), case_of("b", shifted)]).pairs
    # The second is moved back: 12 of 192 pixels to the left.
    assert pair.shift == pytest.approx(-12 / 192, abs=0.004)
    assert pair.scale == pytest.approx(1, abs=0.01)
    cut = image[16:-16, 16:-16]
    (pair,) = inspect([case_of("a", cut), case_of("b", image)]).pairs
    assert pair.scale == pytest.approx(160 / 192, abs=0.01)
    assert pair.shift == pytest.approx(0, abs=0.004)


VOLUME = {
    "exact": lambda volume: volume,
    "moved": lambda volume: ndimage.shift(volume, (1, -2, 2), order=0, mode="nearest"),
    "larger": lambda volume: ndimage.zoom(volume, 1.2, order=1),
    "slices reversed": lambda volume: volume[..., ::-1],
    "mirrored": lambda volume: volume[::-1],
    "turned": lambda volume: np.rot90(volume, axes=(0, 1)),
    "axes in another order": lambda volume: volume.transpose(2, 0, 1),
}


def test_copies_of_volumes_are_found_and_no_others(texture, case_of):
    originals = [case_of(f"a{k}", texture(k, (40, 44, 24))) for k in range(len(VOLUME))]
    copies = [
        case_of(f"b{k}", change(original.image[0]))
        for k, (change, original) in enumerate(zip(VOLUME.values(), originals, strict=True))
    ]
    pairs = inspect([*originals, *copies]).pairs
    assert {(pair.case_a, pair.case_b) for pair in pairs} == {
        (f"a{k}", f"b{k}") for k in range(len(VOLUME))
    }


def test_channels_count_together(texture, case_of):
    one, two, three = (texture(seed) for seed in range(3))
    cases = [
        replace(case_of("a", one), image=np.stack([one, two])),
        replace(case_of("b", one), image=np.stack([one, two])),
        replace(case_of("c", one), image=np.stack([two, one])),
        replace(case_of("d", one), image=np.stack([three, three])),
    ]
    pairs = {(pair.case_a, pair.case_b): pair.kind for pair in inspect(cases).pairs}
    assert pairs.pop(("a", "b")) == "exact"
    # Swapped channels are other pixels of the same scene.
    assert set(pairs.values()) == {"near"} and all("d" not in pair for pair in pairs)


def test_within_a_group_a_copy_is_no_leak(texture, case_of):
    image, other = texture(0), texture(1)
    cases = [case_of("a", image, "g"), case_of("b", image, "g"), case_of("c", other, "h")]
    found = inspect(cases)
    assert [(pair.case_a, pair.case_b) for pair in found.pairs] == [("a", "b")]
    assert found.leaks == ()


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(6)))
def test_the_order_of_cases_changes_nothing(texture, case_of, order):
    images = [texture(k, (60, 70)) for k in range(4)]
    cases = [
        *(case_of(f"a{k}", image, f"g{k}") for k, image in enumerate(images)),
        case_of("b0", images[0], "g1"),
        case_of("b1", images[1][:, ::-1], "g1"),
    ]
    expected = inspect(cases)
    found = inspect([cases[position] for position in order])
    assert found.summary == expected.summary
    assert (
        [(pair.case_a, pair.case_b, pair.across_groups) for pair in found.pairs]
        == [(pair.case_a, pair.case_b, pair.across_groups) for pair in expected.pairs]
        == [("a0", "b0", True), ("a1", "b1", False)]
    )


def test_constant_images_are_odd_and_no_copies(texture, case_of):
    flat = np.full((40, 40), 7, np.uint8)
    found = inspect([case_of("a", flat), case_of("b", flat), case_of("c", texture(0))])
    assert found.pairs == ()
    assert [one.case for one in found.findings if one.kind == "constant image"] == ["a", "b"]


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_are_enough(texture, case_of, count):
    assert inspect([case_of(f"a{k}", texture(k)) for k in range(count)]).pairs == ()


def test_images_in_one_frame_are_no_copies(texture, case_of):
    """A round field of view in a black frame, that half of the images share and half have moved."""
    rows, columns = np.mgrid[:150, :150]
    cases = []
    for k in range(12):
        centre = 75 if k % 2 else 68
        inside = np.hypot(rows - centre, columns - centre) < 60
        cases.append(case_of(f"a{k:02d}", np.where(inside, 10 + texture(k, (150, 150)), 0)))
    assert inspect(cases).pairs == ()
    copy = case_of("copy", encoded(cases[4].image[0], 60))
    assert [(pair.case_a, pair.case_b) for pair in inspect([*cases, copy]).pairs] == [
        ("a04", "copy")
    ]
