"""Thumbnails, their turns, and digests of pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from attnbench.data.scan.hashes import hash_views, orientations
from attnbench.data.scan.seen import digest
from attnbench.data.scan.thumbnail import thumbnail


@pytest.mark.parametrize("shape", [(96, 96), (50, 70), (400, 300), (96, 500)])
def test_a_picture_is_resized_as_pillow_does(texture, shape):
    image = texture(0, shape)
    low, high = np.percentile(image, (0.1, 99.9))
    stretched = np.clip((image - low) / (high - low), 0, 1)
    expected = Image.fromarray(stretched).resize((96, 96), Image.Resampling.BILINEAR)
    # Pillow weighs the last pixels at an edge a little differently.
    difference = np.abs(thumbnail(image[None])[0] / 255 - np.asarray(expected))
    assert difference[1:-1, 1:-1].max() < 0.02 and difference.max() < 0.1


def test_slices_run_along_the_shortest_axis(texture):
    volume = texture(0, (30, 12, 40))
    small = thumbnail(volume[None])
    assert small.shape == (16, 96, 96)
    np.testing.assert_array_equal(small, thumbnail(volume.transpose(1, 0, 2)[None]))
    np.testing.assert_array_equal(small, thumbnail(volume.transpose(0, 2, 1)[None]))


def test_turns_of_a_thumbnail_are_those_of_the_image(texture):
    image, turns = texture(0, (80, 130)), {str(turn): turn for turn in orientations(1)}
    assert len(turns) == 8 and len(orientations(16)) == 16
    small = thumbnail(image[None])
    for name, turned in (
        ("as it is", image),
        ("rotated by 90 degrees to the left", np.rot90(image)),
        ("rotated by 90 degrees to the right", np.rot90(image, -1)),
        ("rotated by 180 degrees", np.rot90(image, 2)),
        ("mirrored left to right", np.fliplr(image)),
        ("mirrored top to bottom", np.flipud(image)),
        ("mirrored along the diagonal", image.T),
        ("mirrored along the other diagonal", np.rot90(image, 2).T),
    ):
        got = turns[name].apply(small).astype(int)
        assert np.abs(got - thumbnail(turned[None])).max() <= 1, name


def test_hashes_are_those_of_imagehash(texture):
    import imagehash

    small = thumbnail(texture(3)[None])
    expected = imagehash.phash(Image.fromarray(small[0, ::-1])).hash
    number = [str(turn) for turn in orientations(1)].index("mirrored top to bottom")
    word = hash_views(small)[number, 0, 0]
    assert np.unpackbits(np.array([word]).view(np.uint8)).tolist() == expected.ravel().tolist()


values = st.lists(st.integers(0, 255), min_size=6, max_size=6)


@given(values=values, other=values)
def test_digests_are_equal_where_pixels_are(values, other):
    one, two = (np.array(pixels, np.uint8).reshape(1, 2, 3) for pixels in (values, other))
    assert (digest(one) == digest(two)) == (values == other)
    for dtype in (np.int16, np.float32, np.float64):
        assert digest(one.astype(dtype)) == digest(one)
    assert digest(np.asfortranarray(one)) == digest(one)
    assert digest(one.reshape(1, 3, 2)) != digest(one)


def test_zero_has_no_sign():
    assert digest(np.array([[0.0]])) == digest(np.array([[-0.0]]))
