"""Metrics beyond medpy's against MONAI, surface-distance, scikit-image and slow explicit
versions.
"""

import itertools
import math

import numpy as np
import pytest
import surface_distance
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from medpy.metric import binary
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from scipy.ndimage import binary_erosion
from skimage.morphology import skeletonize

from attnbench.scoring.case import score_masks
from attnbench.scoring.structure import count_lesions, skeleton
from attnbench.study.groups import ScoringSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning:monai"),
    pytest.mark.filterwarnings(
        "ignore:.*namespace is deprecated:DeprecationWarning:surface_distance"
    ),
]


LARGER = {"hd_percentile": "larger"}


def _score(metric, prediction, reference, spacing=None, unit="mm", **rules):
    masks = prediction.astype(np.uint8), reference.astype(np.uint8)
    spacing = spacing or (1.0,) * reference.ndim
    scoring = ScoringSettings.model_validate(rules)
    return score_masks(*masks, spacing, unit, [1], [metric], scoring=scoring)[0]["value"]


def _tensor(mask):
    return torch.from_numpy(mask)[None, None].float()


def _balls(spacing):
    """Two overlapping balls of radius 9 and 10 mm, 2 mm apart."""
    grids = np.indices([round(40 / side) for side in spacing])
    grids = grids * np.reshape(spacing, (3, 1, 1, 1))
    first = sum((grid - 20) ** 2 for grid in grids) < 100
    return sum(
        (grid - centre) ** 2 for grid, centre in zip(grids, (22, 20, 20), strict=True)
    ) < 81, first


@pytest.mark.parametrize("seed", range(40))
def test_larger_hd95_and_nsd_equal_monai(seed, random_pair):
    prediction, reference, spacing = random_pair(seed)
    masks = _tensor(prediction), _tensor(reference)
    options = {"include_background": True, "spacing": spacing}
    hd95 = compute_hausdorff_distance(*masks, percentile=95, **options).item()
    for metric in ("hd95", "hd95_penalised"):
        found = _score(metric, prediction, reference, spacing, **LARGER)
        assert found == pytest.approx(hd95, rel=1e-5)
    own = {"mm": 1.5, "um": 0.05, "px": 3.0}
    for rules in ({}, {"nsd_tolerance": own}):
        for unit, tolerance in (own if rules else {"mm": 1.0, "um": 0.2, "px": 2.0}).items():
            nsd = compute_surface_dice(*masks, class_thresholds=[tolerance], **options).item()
            found = _score("nsd", prediction, reference, spacing, unit, **rules)
            assert found == pytest.approx(nsd, rel=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.0, 1.6)])
def test_larger_hd95_and_nsd_are_close_to_surface_distance_on_smooth_bodies(spacing):
    prediction, reference = _balls(spacing)
    areas = surface_distance.compute_surface_distances(reference, prediction, spacing)
    theirs = surface_distance.compute_robust_hausdorff(areas, 95)
    assert _score("hd95", prediction, reference, spacing, **LARGER) == pytest.approx(
        theirs, abs=max(spacing) / 2
    )
    for tolerance in (1.0, 1.5):
        theirs = surface_distance.compute_surface_dice_at_tolerance(areas, tolerance)
        found = _score("nsd", prediction, reference, spacing, nsd_tolerance={"mm": tolerance})
        assert found == pytest.approx(theirs, abs=0.1)


def _nearest(mask, other, spacing):
    """Distance of every surface voxel of `mask` to the nearest of `other`, over all pairs."""
    ours, theirs = (np.argwhere(m & ~binary_erosion(m)) * spacing for m in (mask, other))
    return np.linalg.norm(ours[:, None] - theirs[None], axis=-1).min(axis=1)


@pytest.mark.parametrize("seed", range(0, 24, 3))
def test_percentile_and_tolerance_follow_the_settings_over_all_pairs_of_voxels(seed, random_pair):
    prediction, reference, spacing = random_pair(seed)
    sides = _nearest(prediction, reference, spacing), _nearest(reference, prediction, spacing)
    pooled = np.concatenate(sides)
    expected = {
        "pooled": np.percentile(pooled, 95),
        "larger": max(np.percentile(side, 95) for side in sides),
    }
    for rule, value in expected.items():
        found = _score("hd95", prediction, reference, spacing, hd_percentile=rule)
        assert found == pytest.approx(value)
    for tolerance in (0.31, 1.27, 4.13):
        found = _score("nsd", prediction, reference, spacing, nsd_tolerance={"mm": tolerance})
        assert found == pytest.approx((pooled <= tolerance).mean())


@pytest.mark.parametrize("seed", range(20))
def test_volume_error_is_medpys_without_sign(seed, random_pair):
    prediction, reference, _ = random_pair(seed)
    assert _score("volume_error", prediction, reference) == pytest.approx(
        abs(binary.ravd(prediction, reference))
    )


@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_cldice_equals_the_papers_formula_on_whole_images(seed):
    rng = np.random.default_rng(seed)
    reference = np.zeros((40, 50), bool)
    for row in rng.integers(3, 37, 3):
        reference[row - 1 : row + 2, 4:45] = True
    reference[3:37, rng.integers(6, 40)] = True
    prediction = np.roll(reference, int(rng.integers(0, 3)), axis=1) & (
        rng.random(reference.shape) > 0.02
    )
    thin = skeletonize(prediction), skeletonize(reference)
    precision = (thin[0] & reference).sum() / thin[0].sum()
    sensitivity = (thin[1] & prediction).sum() / thin[1].sum()
    expected = 2 * precision * sensitivity / (precision + sensitivity)
    assert _score("cldice", prediction, reference) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(
    arrays(bool, array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6)), st.integers(1, 3)
)
def test_skeleton_reaches_every_component_and_ignores_the_margin(mask, margin):
    thin = skeleton(mask)
    assert not (thin & ~mask).any()
    np.testing.assert_array_equal(np.pad(thin, margin), skeleton(np.pad(mask, margin)))
    for component in _components(mask):
        assert any(thin[voxel] for voxel in component)


def test_cldice_of_vanishing_skeletons_and_of_separate_masks():
    block = np.zeros((4, 4, 4), bool)
    block[1:3, 1:3, 1:3] = True
    assert not skeletonize(block).any()
    assert _score("cldice", block, block) == 1
    assert _score("cldice", np.roll(block, 2, axis=0), block) == 0


def _components(mask, connectivity="full"):
    """Sets of voxels that are connected, diagonals included unless by `faces`; by flood fill."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    steps = [step for step in itertools.product((-1, 0, 1), repeat=mask.ndim) if any(step)]
    if connectivity == "faces":
        steps = [step for step in steps if sum(map(abs, step)) == 1]
    while left:
        found, front = set(), [left.pop()]
        while front:
            voxel = front.pop()
            found.add(voxel)
            near = {tuple(np.add(voxel, step).tolist()) for step in steps} & left
            left -= near
            front += near
        yield found


@pytest.mark.parametrize("connectivity", ["full", "faces"])
@settings(max_examples=60, deadline=None)
@given(
    array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7).flatmap(
        lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
    )
)
def test_metrics_of_lesions_equal_counting_by_flood_fill(connectivity, masks):
    masks = [mask.copy() for mask in masks]
    for mask in masks:
        mask.flat[0] |= not mask.any()
    shares = []
    for mask, other in (masks, masks[::-1]):
        components = _components(mask, connectivity)
        touched = [any(other[voxel] for voxel in component) for component in components]
        shares.append(sum(touched) / len(touched))
    expected = {
        "lesion_precision": shares[0],
        "lesion_sensitivity": shares[1],
        "lesion_f1": 0 if 0 in shares else 2 / sum(1 / share for share in shares),
        "lesion_fp": sum(
            not any(masks[1][voxel] for voxel in component)
            for component in _components(masks[0], connectivity)
        ),
    }
    for metric, value in expected.items():
        found = _score(metric, *masks, lesion_connectivity=connectivity)
        assert found == pytest.approx(value), metric


def _lesions():
    """Three lesions of which a prediction finds two; two of its four voxels touch diagonally."""
    reference = np.zeros((9, 9), bool)
    reference[1, 1] = reference[7, 7] = reference[4:7, 0:3] = True
    prediction = np.zeros_like(reference)
    prediction[4, 0] = prediction[0, 8] = prediction[7, 7] = prediction[8, 8] = True
    return prediction, reference


def test_lesions_are_counted_not_voxels():
    assert count_lesions(*_lesions(), "full") == (3, 2, 3, 2)
    assert count_lesions(*_lesions(), "faces") == (3, 2, 4, 2)
    assert _score("lesion_f1", *_lesions()) == pytest.approx(2 / (3 / 2 + 3 / 2))
    assert _score("lesion_fp", *_lesions()) == 1
    assert _score("lesion_fp", *_lesions(), lesion_connectivity="faces") == 2


def test_every_lesion_is_a_false_positive_where_the_reference_has_none():
    prediction, reference = _lesions()
    for rule, number in (("full", 3), ("faces", 4)):
        found = _score("lesion_fp", prediction, reference & False, lesion_connectivity=rule)
        assert found == number == len(list(_components(prediction, rule)))


def test_nsd_forgives_exactly_the_tolerance():
    reference = np.zeros((30, 30), bool)
    reference[10:20, 10:20] = True
    assert _score("nsd", np.roll(reference, 2, axis=0), reference, unit="px") == 1
    assert _score("nsd", np.roll(reference, 3, axis=0), reference, unit="px") < 1


def test_both_hd95_differ_where_the_directions_do():
    reference = np.zeros((1, 60), bool)
    reference[0, :40] = True
    prediction = np.zeros_like(reference)
    prediction[0, :3] = True
    larger = _score("hd95", prediction, reference, **LARGER)
    assert larger == pytest.approx(37 - 39 * 0.05)
    assert _score("hd95", prediction, reference) < larger
    assert not math.isnan(_score("hd", prediction, reference))
