"""Patches: cut exactly, resampled as torch's grid_sample does, drawn as promised, the same for
every model.
"""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from attnbench.data.normalise import Normalisation
from attnbench.study.groups import AugmentationSettings
from attnbench.training.plan import PatchPlan, Planner
from attnbench.training.sampler import CasePool, batches, change_intensity

CPU = torch.device("cpu")
AS_STORED = Normalisation("none")
STILL = AugmentationSettings(rotation=0, scaling=0, brightness=0, contrast=0, gamma=0, noise=0)


def planner_of(store, augmentation=STILL, foreground=0.5, patch=None, seed=0, mirror=()):
    patch, rng = patch or (8,) * store.info.ndim, np.random.default_rng(seed)
    return Planner(store, range(len(store)), patch, foreground, rng, augmentation, mirror)


def cut(pool, plan, patch):
    return pool.cut(pool.locate(plan, patch), patch)


def unmoved(case, centre):
    """The plan of one patch that is neither turned nor scaled."""
    return PatchPlan(np.array([case]), np.array([centre]), np.eye(len(centre))[None], {})


def test_unmoved_patch_is_a_cut_of_the_case(store):
    pool = CasePool(store, range(len(store)), CPU, AS_STORED)
    ndim = store.info.ndim
    for index in range(len(store)):
        centre = [side // 2 - 0.5 for side in store.shape(index)]
        images, masks = cut(pool, unmoved(index, centre), (6,) * ndim)
        window = tuple(slice(side // 2 - 3, side // 2 + 3) for side in store.shape(index))
        np.testing.assert_allclose(
            images[0].numpy(), store.image(index)[(slice(None), *window)], atol=1e-5
        )
        np.testing.assert_array_equal(masks[0].numpy(), store.mask(index)[window])


def test_patches_that_are_not_moved_lie_on_the_voxels_of_their_case(store):
    """Whatever the parity of patch and case: no voxel of the mask is doubled or lost by rounding
    halves.
    """
    for side in (7, 8):
        plan = planner_of(store, foreground=0.5, patch=(side,) * store.info.ndim).draw(200)
        first = plan.centre - (side - 1) / 2
        np.testing.assert_array_equal(first, np.round(first))


@pytest.mark.parametrize("threads", [1, 2])
def test_equals_interpolation_of_the_whole_case(store, threads):
    """The oracle is scipy's in double precision, on the whole case, one channel at a time; zero
    outside.
    """
    augmentation = AugmentationSettings(rotation=40, scaling=0.4)
    patch = (11, 8, 9)[: store.info.ndim]
    mirror = range(store.info.ndim)
    plan = planner_of(store, augmentation, patch=patch, mirror=mirror).draw(12)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    images, masks = cut(CasePool(store, range(len(store)), CPU, AS_STORED), plan, patch)
    torch.set_num_threads(before)
    axes = [np.arange(side) - (side - 1) / 2 for side in patch]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    for number, index in enumerate(plan.case):
        points = np.moveaxis(plan.centre[number] + offsets @ plan.matrix[number].T, -1, 0)
        for channel, image in zip(images[number], store.image(index), strict=True):
            expected = map_coordinates(image.astype(float), points, order=1, mode="grid-constant")
            np.testing.assert_allclose(channel.numpy(), expected, atol=1e-4)
        nearest = map_coordinates(store.mask(index), points, order=0, mode="grid-constant")
        assert (
            masks[number].numpy() == nearest
        ).mean() > 0.99  # ties between voxels may round apart


def test_rotation_keeps_physical_lengths(store):
    """In millimetres the map of an unscaled, unmirrored patch is orthogonal, whatever the
    spacing.
    """
    plan = planner_of(store, STILL.model_copy(update={"rotation": 90})).draw(50)
    for case, matrix in zip(plan.case, plan.matrix, strict=True):
        spacing = np.array(store.spacing(case))
        physical = matrix * spacing[:, None] / spacing[None, :]
        np.testing.assert_allclose(physical @ physical.T, np.eye(len(spacing)), atol=1e-12)
        assert np.linalg.det(physical) == pytest.approx(1)


def test_only_allowed_axes_are_mirrored_half_of_the_times_and_independently(store):
    last = store.info.ndim - 1
    plan = planner_of(store, mirror=(0, last)).draw(2000)
    signs = np.diagonal(plan.matrix, axis1=1, axis2=2)
    np.testing.assert_array_equal(plan.matrix, signs[:, :, None] * np.eye(last + 1))
    assert (signs[:, 1:last] == 1).all()
    both = signs[:, [0, last]] == -1
    for share, expected in ((both.mean(0), 1 / 2), (both.all(axis=1).mean(), 1 / 4)):
        np.testing.assert_allclose(share, expected, atol=5 * 0.5 / np.sqrt(2000))


def test_foreground_share_is_met_and_classes_are_drawn_evenly(store):
    plan = planner_of(store, foreground=1.0, patch=(2,) * store.info.ndim).draw(3000)
    labels = np.array(
        [
            store.mask(case)[tuple(np.floor(centre + 0.5).astype(int))]
            for case, centre in zip(plan.case, plan.centre, strict=True)
        ]
    )
    assert (labels > 0).all()
    two_classes = plan.case % 2 == 1
    share = (labels[two_classes] == 2).mean()
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(two_classes.sum())
    assert (labels[~two_classes] == 1).all()


def first_voxels(store, plan, patch):
    """First voxel of each patch, and the shape of its case, (N, ndim) each."""
    shapes = np.array([store.shape(case) for case in plan.case])
    return plan.centre - (np.array(patch) - 1) / 2, shapes


def test_a_small_case_lies_wholly_and_anywhere_inside_a_larger_patch(store):
    patch = (64, 48, 40)[: store.info.ndim]  # some cases are larger along some axes
    plan = planner_of(store, foreground=0, patch=patch).draw(6000)
    first, shapes = first_voxels(store, plan, patch)
    assert (first >= np.minimum(0, shapes - patch)).all()
    assert (first <= np.maximum(0, shapes - patch)).all()
    for case in range(len(store)):
        room = patch[0] - store.shape(case)[0]
        places, counts = np.unique(first[plan.case == case, 0], return_counts=True)
        assert set(places) == set(range(-room, 1))
        # The nearest whole voxel of a uniform place: both ends are met half as often.
        expected = counts.sum() / room
        assert abs(counts[1:-1] - expected).max() < 5 * np.sqrt(expected)


def test_a_small_case_is_shifted_until_the_drawn_foreground_is_in_the_middle_or_it_is_at_the_edge(
    store,
):
    side = 64
    plan = planner_of(store, foreground=1, patch=(side,) * store.info.ndim).draw(500)
    for case in range(len(store)):
        found = plan.centre[plan.case == case]
        for axis, length in enumerate(store.shape(case)):
            voxels = np.argwhere(store.mask(case) > 0)[:, axis]
            allowed = np.clip(voxels, length - 0.5 - side / 2, side / 2 - 0.5)
            distance = np.abs(found[:, axis, None] - allowed).min(axis=1)
            assert distance.max() <= 0.5


def test_a_case_lies_in_the_middle_of_a_larger_patch_that_is_not_changed(store):
    patch = (64,) * store.info.ndim
    plan = planner_of(store, None, foreground=1, patch=patch).draw(50)
    first, shapes = first_voxels(store, plan, patch)
    assert (np.abs(first - (shapes - patch) / 2) <= 0.5).all()


def test_patches_stay_inside(store):
    big = tuple(10 if axis else 60 for axis in range(store.info.ndim))
    plan = planner_of(store, foreground=0.5, patch=big).draw(500)
    shapes = np.array([store.shape(case) for case in plan.case])
    assert (plan.centre[:, 1:] - 5 >= -0.5 - 1e-9).all()
    assert (plan.centre[:, 1:] + 5 <= shapes[:, 1:] - 0.5 + 1e-9).all()


def test_same_seed_same_batches_another_seed_others(store):
    pool = CasePool(store, range(len(store)), CPU, AS_STORED)

    def draw(seed):
        planner = planner_of(store, AugmentationSettings(), seed=seed)
        noise = torch.Generator().manual_seed(seed)
        return [images for images, _ in batches(pool, planner, 3, 4, CPU, noise)]

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_intensity_changes_follow_their_formula():
    torch.manual_seed(0)
    images = torch.randn(3, 2, 5, 6)
    plan = {
        "brightness": torch.tensor([0.0, 0.5, -1.0]),
        "contrast": torch.tensor([1.0, 2.0, 0.5]),
        "gamma": torch.tensor([1.0, 1.0, 2.0]),
        "noise": torch.zeros(3),
    }
    changed = change_intensity(images, plan, torch.Generator())
    torch.testing.assert_close(changed[0], images[0])
    torch.testing.assert_close(changed[1], images[1] * 2 + 0.5)
    shifted = images[2] * 0.5 - 1
    low, high = shifted.min(), shifted.max()
    torch.testing.assert_close(
        changed[2], ((shifted - low) / (high - low)) ** 2 * (high - low) + low
    )


def test_noise_has_the_stated_deviation():
    images = torch.zeros(2, 1, 200, 200)
    plan = {
        name: torch.full((2,), value)
        for name, value in (("brightness", 0.0), ("contrast", 1.0), ("gamma", 1.0))
    }
    changed = change_intensity(
        images, {**plan, "noise": torch.tensor([0.0, 0.3])}, torch.Generator().manual_seed(0)
    )
    assert changed[0].std().item() == 0
    assert changed[1].std().item() == pytest.approx(0.3, rel=0.02)
