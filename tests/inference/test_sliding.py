"""Sliding-window inference against MONAI's, and the way back to a case's own grid."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attnbench.inference.sliding import (
    on_own_grid,
    predict_probabilities,
    slide,
    window_starts,
    window_weight,
)


@given(st.integers(1, 300), st.integers(2, 64))
def test_windows_cover_everything_inside_and_overlap_by_half(side, window):
    starts = window_starts(side, window)
    assert starts[0] == 0
    assert all(start + window <= max(side, window) for start in starts)
    covered = np.zeros(max(side, window), dtype=bool)
    for start in starts:
        covered[start : start + window] = True
    assert covered.all()
    assert all(after - before <= window / 2 + 1 for before, after in itertools.pairwise(starts))


@pytest.mark.parametrize("shape", [(20, 33), (16, 16), (7, 40), (18, 9, 21)])
def test_window_free_network_gives_the_same_as_one_pass(shape):
    """A pointwise network does not see windows, so tiling must not change its answer."""
    torch.manual_seed(0)
    ndim = len(shape)
    network = (nn.Conv2d if ndim == 2 else nn.Conv3d)(2, 3, kernel_size=1).eval()
    image = torch.randn(2, *shape)
    with torch.no_grad():
        expected = network(image.unsqueeze(0)).softmax(dim=1)[0]
    torch.testing.assert_close(
        next(predict_probabilities(network, [image], (16,) * ndim)), expected
    )


def test_equals_monai_where_windows_lie_alike():
    from monai.inferers import sliding_window_inference

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 5, padding=2)
    ).eval()
    image = torch.randn(1, 32, 48)
    (ours,) = predict_probabilities(network, [image], (16, 16))
    with torch.no_grad():
        monai = sliding_window_inference(
            image.unsqueeze(0),
            (16, 16),
            4,
            lambda x: network(x).softmax(1),
            overlap=0.5,
            mode="gaussian",
            sigma_scale=0.125,
        )
    torch.testing.assert_close(ours, monai[0], atol=2e-3, rtol=0)


@pytest.mark.parametrize(("mirror", "ndim"), [((0, 1), 2), ((1,), 2), ((0, 2), 3)])
def test_mirrored_prediction_is_the_mean_over_every_mirror_image(mirror, ndim):
    torch.manual_seed(0)
    network = (nn.Conv2d if ndim == 2 else nn.Conv3d)(1, 3, kernel_size=3, padding=1).eval()
    image = torch.randn(1, *[8] * ndim)  # one window: the loop below knows nothing of windows
    expected = []
    for signs in itertools.product((1, -1), repeat=ndim):
        if any(sign == -1 and axis not in mirror for axis, sign in enumerate(signs)):
            continue
        view = (..., *[slice(None, None, sign) for sign in signs])
        turned = torch.from_numpy(image.numpy()[view].copy())
        with torch.no_grad():
            probabilities = network(turned.unsqueeze(0)).softmax(dim=1)[0]
        expected.append(probabilities.numpy()[view])
    assert len(expected) == 2 ** len(mirror)
    (ours,) = predict_probabilities(network, [image], [8] * ndim, mirror=mirror)
    np.testing.assert_allclose(ours.numpy(), np.mean(expected, axis=0), atol=1e-6)


def test_mirroring_changes_nothing_for_a_network_that_does_not_see_sides():
    """Its kernels are symmetric, so it answers a mirrored image with its answer mirrored."""
    torch.manual_seed(0)
    network = nn.Conv2d(1, 3, kernel_size=3, padding=1).eval()
    with torch.no_grad():
        kernel = network.weight + network.weight.flip(2)
        network.weight.copy_(kernel + kernel.flip(3))
    image = torch.randn(1, 30, 21)
    (plain,) = predict_probabilities(network, [image], (16, 16))
    (mirrored,) = predict_probabilities(network, [image], (16, 16), mirror=(0, 1))
    torch.testing.assert_close(mirrored, plain)


def test_weight_is_symmetric_and_largest_at_the_centre():
    weight = window_weight((8, 12), torch.device("cpu"))
    torch.testing.assert_close(weight, weight.flip(0, 1))
    assert weight.argmax() == torch.tensor(3 * 12 + 5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_images_predicted_together_equal_each_alone(ndim):
    """Batches of windows reach across images of different size; order and values stay."""
    torch.manual_seed(0)
    network = (nn.Conv2d if ndim == 2 else nn.Conv3d)(1, 2, kernel_size=3, padding=1).eval()
    images = [
        torch.randn(1, *shape[:ndim])
        for shape in [(9, 30, 8), (8, 8, 8), (40, 12, 9), (3, 8, 17), (8, 9, 8)]
    ]
    together = list(predict_probabilities(network, images, (8,) * ndim))
    assert len(together) == len(images)
    for image, probabilities in zip(images, together, strict=True):
        (alone,) = predict_probabilities(network, [image], (8,) * ndim)
        torch.testing.assert_close(probabilities, alone)
        torch.testing.assert_close(probabilities.sum(dim=0), torch.ones(image.shape[1:]))


def test_large_windows_are_evaluated_few_at_once_and_give_what_each_alone_gives():
    torch.manual_seed(0)
    network = nn.Conv2d(1, 3, 3, padding=1).eval()
    sizes = []

    def together(batch):
        sizes.append(batch.shape)
        return network(batch)

    def alone(batch):
        return torch.cat([network(window[None]) for window in batch])

    for window, images in (
        ((512, 256), [torch.randn(1, 600, 600)]),
        ((8, 8), [torch.randn(1, 40, 40)] * 2),
    ):
        (found, *_), (expected, *_) = (
            list(slide(evaluate, images, window)) for evaluate in (together, alone)
        )
        torch.testing.assert_close(found, expected)
    voxels = [np.prod(shape) for shape in sizes]
    assert max(voxels) == 512 * 256
    assert max(shape[0] for shape in sizes if shape[-1] == 8) > 1


def test_resampled_case_comes_back_on_its_own_grid():
    """A half-plane prepared at half the resolution is predicted on the full grid with its border
    in place.
    """
    inside = torch.zeros(16, 16)
    inside[:, 8:] = 1
    mask = on_own_grid(torch.stack([1 - inside, inside]), (32, 32)).argmax(dim=0).numpy()
    expected = np.zeros((32, 32), dtype=np.uint8)
    expected[:, 16:] = 1
    np.testing.assert_array_equal(mask, expected)
