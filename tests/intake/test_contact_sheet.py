"""The contact sheet shows what lies where, of cases that stand for all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from PIL import Image

from attnbench.data.case import RawCase
from attnbench.intake.contact_sheet import choose_cases, colour_of, draw_sheet, make_panel
from attnbench.intake.survey import facts_of

CLASSES = {1: "nucleus", 2: "vessel"}


def facts(case: str, group: str, filled: int):
    mask = np.zeros((10, 10), np.uint8)
    mask.flat[:filled] = 1
    return facts_of(RawCase(case, group, mask[None], mask, (1.0, 1.0)), CLASSES, 0)


cases = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 100)), min_size=1, max_size=60
).map(lambda drawn: [facts(f"c{n}", group, size) for n, (group, size) in enumerate(drawn)])


@given(cases)
def test_chosen_cases_are_different_and_span_all_sizes(of):
    """No chosen case is further from its rank among all than one part is long."""
    chosen = choose_cases(of)
    assert len(chosen) == min(24, len(of)) == len({case.case for case in chosen})
    sizes = sorted(case.foreground for case in of)
    part = -(-len(of) // len(chosen))
    assert chosen[0].foreground <= sizes[part - 1]
    assert chosen[-1].foreground >= sizes[-part]


def test_a_group_with_most_cases_does_not_take_all_places():
    many = [facts(f"m{n}", "large", n % 100) for n in range(300)]
    few = [facts(f"f{n}", f"g{n}", 5 * n) for n in range(20)]
    groups = [case.group for case in choose_cases(many + few)]
    assert len(set(groups)) > 12


def test_the_outline_lies_on_the_reference():
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 25:35] = 2
    panel = make_panel(RawCase("a", "a", np.zeros((1, 40, 40), np.uint8), mask, (1.0, 1.0)))
    rows, columns = np.nonzero(panel.mask == 2)
    scale = panel.mask.shape[0] / 40
    assert (rows.min(), rows.max() + 1) == (10 * scale, 20 * scale)
    assert (columns.min(), columns.max() + 1) == (25 * scale, 35 * scale)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_of_a_volume_the_slice_with_most_foreground_is_shown_upright(axis):
    """Across the coarsest axis; with axes to the right, to the front and upwards."""
    shape, spacing = [12, 14, 16], [1.0, 1.0, 1.0]
    spacing[axis] = 3.0
    mask = np.zeros(shape, np.uint8)
    box = [slice(2, 6)] * 3
    box[axis] = slice(5, 6)
    mask[tuple(box)] = 1
    mask[(0, 0, 0)] = 1
    panel = make_panel(RawCase("a", "a", mask[None], mask, tuple(spacing)))
    first, second = (other for other in range(3) if other != axis)
    height, width = panel.mask.shape
    assert width / height == pytest.approx(shape[first] / shape[second], rel=0.02)
    rows, columns = np.nonzero(panel.mask)
    # 2 to 6 from the left, and from the bottom
    assert columns.mean() / width == pytest.approx(4 / shape[first], abs=0.02)
    assert 1 - rows.mean() / height == pytest.approx(4 / shape[second], abs=0.02)


def test_pixels_that_are_not_square_are_shown_in_their_proportions():
    mask = np.zeros((20, 20), np.uint8)
    panel = make_panel(RawCase("a", "a", mask[None], mask, (1.0, 2.0)))
    assert panel.mask.shape == (180, 360)


def test_an_empty_reference_is_said():
    mask = np.zeros((20, 20), np.uint8)
    assert make_panel(RawCase("a", "a", mask[None], mask, (1.0, 1.0))).title == "a (empty)"


@pytest.mark.parametrize("width", [1200, 100])
def test_crowded_large_images_show_a_part_as_large_as_lines_need(width):
    mask = (np.indices((1200, width)).sum(0) // 4 % 2).astype(np.uint8)
    panel = make_panel(RawCase("a", "a", mask[None], mask, (1.0, 1.0)))
    assert panel.title == "a (part)"
    middle = slice(420, 780) if width > 360 else slice(None)
    np.testing.assert_array_equal(panel.mask, mask[420:780, middle])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_the_sheet_has_every_class_in_its_colour(tmp_path, dtype):
    mask = np.zeros((64, 64), np.uint8)
    mask[4:30, 4:30] = 1
    mask[36:60, 36:60] = 2
    image = np.full((1, 64, 64), 7, dtype)  # of one intensity: nothing to divide by
    case = RawCase("a", "a", image, mask, (1.0, 1.0))
    draw_sheet(tmp_path / "sheet.png", "title", [make_panel(case)] * 7, CLASSES)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).reshape(-1, 3)
    for number in CLASSES:
        wanted = np.round(np.array(to_rgb(colour_of(number))) * 255)
        assert (np.abs(pixels - wanted).max(axis=1) <= 1).sum() > 7 * 50


def test_a_large_image_is_shown_in_its_colours():
    """Thinned before it is scaled: what is smooth stays as it is."""
    rows, columns = np.indices((3000, 4000))
    image = np.stack([rows // 16, columns // 16, 0 * rows]).astype(np.uint8)
    mask = np.zeros((3000, 4000), np.uint8)
    panel = make_panel(RawCase("a", "a", image, mask, (1.0, 1.0)))
    height, width = panel.mask.shape
    assert (height, width) == (270, 360)
    down, right = np.linspace(0, 187, height)[:, None], np.linspace(0, 249, width)[None]
    expected = np.stack(np.broadcast_arrays(down, right), axis=-1)
    np.testing.assert_allclose(panel.image[..., :2] * 255, expected, atol=3)
