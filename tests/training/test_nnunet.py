"""nnU-Net's changes of a patch: each against a slow version for one plane by another library, on
as many patches as it says, and drawn ahead.
"""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional as F

from attnbench.data.normalise import Normalisation
from attnbench.study.groups import NnunetAugmentation
from attnbench.training.nnunet import (
    Intensity,
    blurred,
    coarsened,
    contrasted,
    draw_intensity,
    gamma_changed,
    planes_of_rotation,
)
from attnbench.training.plan import Planner
from attnbench.training.sampler import CasePool, batches

CPU = torch.device("cpu")
SET = NnunetAugmentation(set="nnunet")
SHAPES = [(21, 16), (9, 12, 7)]


@pytest.fixture(params=SHAPES, ids=["2d", "3d"])
def planes(request):
    return 2 * torch.randn(4, *request.param, generator=torch.Generator().manual_seed(0)) + 3


def uniform(*shape, low, high):
    return torch.from_numpy(np.random.default_rng(1).uniform(low, high, shape)).float()


def test_blur_is_a_gaussian_along_every_axis_with_its_own_sigma(planes):
    sigma = uniform(4, planes.dim() - 1, low=0.5, high=1)
    for plane, widths, ours in zip(planes, sigma, blurred(planes, sigma), strict=True):
        expected = plane.numpy()
        for axis, width in enumerate(widths.tolist()):
            expected = gaussian_filter1d(expected, width, axis, mode="mirror", radius=3)
        np.testing.assert_allclose(ours.numpy(), expected, atol=1e-5)


def test_low_resolution_is_nearest_down_and_linear_up(planes):
    zoom = uniform(4, 1, low=0.5, high=1)
    mode = {2: "bilinear", 3: "trilinear"}[planes.dim() - 1]
    changed = coarsened(planes, zoom, range(1, planes.dim()))
    for plane, share, ours in zip(planes, zoom[:, 0], changed, strict=True):
        size = [round(side * share.item()) for side in plane.shape]
        small = F.interpolate(plane[None, None], size, mode="nearest-exact")
        expected = F.interpolate(small, plane.shape, mode=mode)[0, 0]
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_contrast_is_about_the_mean_and_keeps_the_range(planes):
    factor = uniform(4, 1, low=0.75, high=1.25)
    for plane, by, ours in zip(planes, factor[:, 0], contrasted(planes, factor), strict=True):
        expected = ((plane - plane.mean()) * by + plane.mean()).clamp(plane.min(), plane.max())
        torch.testing.assert_close(ours, expected)


def test_gamma_bends_the_scale_and_keeps_mean_and_deviation(planes):
    gamma = uniform(4, 1, low=0.7, high=1.5)
    changed = gamma_changed(planes, gamma)
    for plane, by, ours in zip(planes, gamma[:, 0], changed, strict=True):
        bent = ((plane - plane.min()) / (plane.max() - plane.min())) ** by
        expected = (bent - bent.mean()) / bent.std() * plane.std() + plane.mean()
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    constant = torch.full_like(planes, 3.0)
    torch.testing.assert_close(gamma_changed(constant, gamma), constant)


def test_each_change_concerns_its_share_of_the_patches_and_stays_in_its_range():
    count, channels = 4000, 2
    drawn = draw_intensity(SET, np.random.default_rng(0), count, channels, 3)
    for name, values in drawn.items():
        chance, neutral = getattr(SET, name), 0 if name in ("noise", "blur") else 1
        changed = values[values != neutral]
        assert chance.low <= changed.min() and changed.max() <= chance.high
        half = name in ("blur", "resolution")
        share = 1 - 0.5**channels if half else 1  # of a patch's channels one at least
        found = (values != neutral).any(axis=(1, 2)).mean()
        assert abs(found - chance.share * share) < 5 * np.sqrt(0.25 / count), name
    below = drawn["gamma"][drawn["gamma"] != 1] < 1
    assert abs(below.mean() - 0.5) < 5 * np.sqrt(0.25 / len(below))
    # The noise of a patch is as strong in every channel, its blur is not.
    assert drawn["noise"].shape[1] == 1 or (drawn["noise"][:, 0] == drawn["noise"][:, 1]).all()
    both = drawn["blur"][(drawn["blur"] != 0).all(axis=(1, 2))]
    assert len(np.unique(both)) == both.size


@pytest.mark.parametrize(
    ("patch", "planes", "degrees"),
    [
        ((64, 64), [(0, 1)], 180),
        ((96, 48), [(0, 1)], 15),
        ((32, 48, 32), [(0, 1), (0, 2), (1, 2)], 30),
        ((64, 64, 16), [(0, 1)], 180),
        ((16, 64, 64), [(1, 2)], 180),
    ],
)
def test_an_elongated_patch_is_turned_less_and_a_flat_one_in_its_plane(patch, planes, degrees):
    found, chance = planes_of_rotation(SET, patch)
    assert found == planes
    assert (chance.low, chance.high) == (-degrees, degrees)


def test_a_batch_is_changed_in_the_planes_that_were_drawn_and_in_no_other():
    count, channels, batch = 60, 2, 4
    parameters = draw_intensity(SET, np.random.default_rng(0), count, channels, 2)
    concerned = np.zeros((count, channels), dtype=bool)
    for name, values in parameters.items():
        values = np.broadcast_to(values, (count, channels, values.shape[-1]))
        concerned |= (values != (0 if name in ("noise", "blur") else 1)).any(axis=2)
    assert 0.2 < concerned.mean() < 0.9
    change = Intensity(parameters, batch, (16, 12), CPU, torch.Generator().manual_seed(0)).change
    images = torch.randn(count, channels, 16, 12)
    for number in range(count // batch):
        now = slice(number * batch, (number + 1) * batch)
        changed = change(images[now].clone(), number) != images[now]
        np.testing.assert_array_equal(changed.any(-1).any(-1).numpy(), concerned[now])


def test_patches_of_this_set_are_turned_and_scaled_in_one_of_five_and_come_again(store):
    ndim = store.info.ndim

    def planner():
        rng = np.random.default_rng(0)
        return Planner(store, range(len(store)), (8,) * ndim, 0.5, rng, SET, (0,))

    plan = planner().draw(4000)
    size = np.abs(np.linalg.det(plan.matrix)) ** (1 / ndim)
    scaled = np.abs(size - 1) > 1e-9
    assert abs(scaled.mean() - 0.2) < 5 * np.sqrt(0.16 / 4000)
    assert size.min() >= 0.7 and size.max() <= 1.4
    unscaled = plan.matrix / size[:, None, None]
    turned = np.abs(np.abs(unscaled) - np.eye(ndim)).max(axis=(1, 2)) > 1e-6
    assert abs(turned.mean() - 0.2) < 5 * np.sqrt(0.16 / 4000)
    pool = CasePool(store, range(len(store)), CPU, Normalisation("none"))
    first, again = (
        [
            images
            for images, _ in batches(pool, planner(), 6, 3, CPU, torch.Generator().manual_seed(0))
        ]
        for _ in range(2)
    )
    assert len(first) == 6
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
