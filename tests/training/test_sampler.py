"""Patches: cut exactly, resampled as torch's grid_sample does, drawn as promised, the same for every model."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from attnbench.study import AugmentationPart
from attnbench.training.plan import Planner
from attnbench.training.sampler import CasePool, batches, change_intensity

CPU = torch.device("cpu")
STILL = AugmentationPart(rotation=0, scaling=0, flip=False, brightness=0, contrast=0, gamma=0, noise=0)


def planner_of(store, augmentation=STILL, foreground=0.5, patch=None, seed=0):
    patch = patch or (8,) * store.info.ndim
    return Planner(store, range(len(store)), patch, foreground, augmentation, np.random.default_rng(seed))


def as_tensors(plan, *names):
    return [torch.from_numpy(np.asarray(getattr(plan, name))).float() for name in names]


def test_unmoved_patch_is_a_cut_of_the_case(store):
    pool = CasePool(store, range(len(store)), CPU)
    ndim = store.info.ndim
    for index in range(len(store)):
        centre = torch.tensor([[side // 2 - 0.5 for side in store.shape(index)]])
        images, masks = pool.cut(torch.tensor([index]), centre, torch.eye(ndim).unsqueeze(0), (6,) * ndim)
        window = tuple(slice(side // 2 - 3, side // 2 + 3) for side in store.shape(index))
        np.testing.assert_array_equal(images[0].numpy(), store.image(index)[(slice(None), *window)])
        np.testing.assert_array_equal(masks[0].numpy(), store.mask(index)[window])


def test_equals_grid_sample_for_any_affine_map(store):
    """The oracle resamples one padded case at a time; points outside a case are zero in both."""
    augmentation = AugmentationPart(rotation=40, scaling=0.4, flip=True)
    plan = planner_of(store, augmentation, patch=(11, 8, 9)[: store.info.ndim]).draw(12)
    pool = CasePool(store, range(len(store)), CPU)
    patch = (11, 8, 9)[: store.info.ndim]
    centre, matrix = as_tensors(plan, "centre", "matrix")
    images, masks = pool.cut(torch.from_numpy(plan.case), centre, matrix, patch)
    axes = [torch.arange(side) - (side - 1) / 2 for side in patch]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    for number, index in enumerate(plan.case):
        points = (centre[number] + offsets @ matrix[number].T).double()
        shape = torch.tensor(store.shape(index), dtype=torch.float64)
        grid = ((2 * points + 1) / shape - 1).flip(-1).unsqueeze(0)
        image = torch.from_numpy(np.array(store.image(index))).unsqueeze(0).double()
        expected = F.grid_sample(image, grid, align_corners=False, padding_mode="zeros")[0]
        torch.testing.assert_close(images[number].double(), expected, atol=1e-4, rtol=0)
        mask = torch.from_numpy(np.array(store.mask(index)))[None, None].double()
        nearest = F.grid_sample(mask, grid, mode="nearest", align_corners=False, padding_mode="zeros")[0, 0]
        assert (masks[number] == nearest).double().mean() > 0.99  # ties between voxels may round apart


def test_rotation_keeps_physical_lengths(store):
    """In millimetres the map of an unscaled, unmirrored patch is orthogonal, whatever the spacing."""
    plan = planner_of(store, STILL.model_copy(update={"rotation": 90})).draw(50)
    for case, matrix in zip(plan.case, plan.matrix, strict=True):
        spacing = np.array(store.spacing(case))
        physical = matrix * spacing[:, None] / spacing[None, :]
        np.testing.assert_allclose(physical @ physical.T, np.eye(len(spacing)), atol=1e-12)
        assert np.linalg.det(physical) == pytest.approx(1)


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


def test_patches_stay_inside_and_small_cases_are_centred(store):
    big = tuple(10 if axis else 60 for axis in range(store.info.ndim))
    plan = planner_of(store, foreground=0.5, patch=big).draw(500)
    shapes = np.array([store.shape(case) for case in plan.case])
    np.testing.assert_allclose(plan.centre[:, 0], (shapes[:, 0] - 1) / 2)
    assert (plan.centre[:, 1:] - 5 >= -0.5 - 1e-9).all()
    assert (plan.centre[:, 1:] + 5 <= shapes[:, 1:] - 0.5 + 1e-9).all()


def test_same_seed_same_batches_another_seed_others(store):
    pool = CasePool(store, range(len(store)), CPU)

    def draw(seed):
        planner = planner_of(store, AugmentationPart(), seed=seed)
        return [images for images, _ in batches(pool, planner, 3, 4, CPU, seed)]

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
    torch.testing.assert_close(changed[2], ((shifted - low) / (high - low)) ** 2 * (high - low) + low)


def test_noise_has_the_stated_deviation():
    images = torch.zeros(2, 1, 200, 200)
    plan = {name: torch.full((2,), value) for name, value in (("brightness", 0.0), ("contrast", 1.0), ("gamma", 1.0))}
    changed = change_intensity(images, {**plan, "noise": torch.tensor([0.0, 0.3])}, torch.Generator().manual_seed(0))
    assert changed[0].std().item() == 0
    assert changed[1].std().item() == pytest.approx(0.3, rel=0.02)
