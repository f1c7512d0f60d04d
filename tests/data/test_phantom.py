"""The embedded phantoms: what a study may rely on when it says how hard a case was."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy import ndimage, stats

from attnbench.catalog import load_entry
from attnbench.data.phantom import Difficulty, Settings, generate, phantom_case
from attnbench.errors import CatalogError

ORGAN, LESION, VESSEL = 1, 2, 3
PHANTOMS = ("phantom2d", "phantom2d_faint", "phantom3d")
SETTINGS = {name: Settings.of(load_entry(name)) for name in PHANTOMS}
MIDDLE = Difficulty(blur=0.8, contrast=4.0, clutter=0.5)
EASY = Difficulty(blur=0.3, contrast=10.0, clutter=0.0)


@pytest.fixture(scope="module", params=PHANTOMS)
def settings(request):
    return SETTINGS[request.param]


@pytest.fixture(scope="module")
def sample(settings):
    """Three cases of each of the first twelve groups."""
    return [phantom_case(settings, group, case) for group in range(12) for case in range(3)]


def flat_field(case):
    """The image with its slow multiplicative field divided out, as an analyst would who does not
    know it.
    """
    image = case.image[0].astype(float)
    background = ndimage.binary_erosion(case.mask == 0, iterations=3)
    sigma = 0.15 * min(image.shape)
    weight = ndimage.gaussian_filter(background.astype(float), sigma)
    field = ndimage.gaussian_filter(np.where(background, image, 0), sigma) / np.maximum(
        weight, 1e-6
    )
    return image / field


def measured_width(settings, group, blur):
    """Width in pixels of the organ's edge: its step in intensity over the steepest slope against
    depth.
    """
    case = phantom_case(replace(settings, lesion_absent=1.0), group, 0, replace(EASY, blur=blur))
    edge = ndimage.distance_transform_edt(case.mask != VESSEL) > 3
    depth = ndimage.distance_transform_edt(case.mask > 0) - ndimage.distance_transform_edt(
        case.mask == 0
    )
    depth -= 0.5 * np.sign(depth)
    near = edge & (np.abs(depth) < 6)
    image = flat_field(case)
    edges = np.arange(-6, 6.5, 1.0)
    profile = stats.binned_statistic(depth[near], image[near], "mean", bins=edges).statistic
    slope = np.nanmax(np.diff(profile)) / (np.nanmean(profile[-4:]) - np.nanmean(profile[:4]))
    return 1 / slope


def measured_contrast(case):
    """Difference between organ and background in standard deviations of the background."""
    image = flat_field(case)
    organ = ndimage.binary_erosion(case.mask == ORGAN, iterations=2)
    background = ndimage.binary_erosion(case.mask == 0, iterations=3)
    noise = image[background] - ndimage.gaussian_filter(image, 3)[background]
    return (np.median(image[organ]) - np.median(image[background])) / noise.std()


def test_the_catalog_gets_what_it_promises(settings):
    name = next(name for name in PHANTOMS if SETTINGS[name] is settings)
    entry = load_entry(name)
    small = entry.model_copy(
        update={
            "reader": entry.reader.model_copy(
                update={"settings": {**entry.reader.settings, "groups": 3}}
            )
        }
    )
    cases = list(generate(small))
    assert len({case.case for case in cases}) == len(cases) == 3 * settings.cases_per_group
    assert len({case.group for case in cases}) == 3
    for case in cases:
        assert case.image.shape == (1, *settings.size)
        assert case.image.dtype == np.float32
        assert np.isfinite(case.image).all()
        assert case.mask.shape == settings.size
        assert case.mask.dtype == np.uint8
        assert set(np.unique(case.mask)) <= {0, *entry.classes}
        assert case.spacing == entry.spacing
        for fact in ("blur", "contrast", "clutter"):
            low, high = getattr(settings, fact)
            assert low <= case.facts[fact] <= high


def test_a_case_is_the_same_whatever_else_is_generated(settings):
    name = next(name for name in PHANTOMS if SETTINGS[name] is settings)
    streamed = list(islice(generate(load_entry(name)), settings.cases_per_group + 2))[-1]
    alone = phantom_case(replace(settings, groups=2, cases_per_group=2), 1, 1)
    np.testing.assert_array_equal(streamed.image, alone.image)
    np.testing.assert_array_equal(streamed.mask, alone.mask)
    assert (streamed.case, streamed.group, streamed.facts) == (alone.case, alone.group, alone.facts)


def test_cases_and_seeds_differ(settings):
    first = phantom_case(settings, 0, 0)
    for other in (
        phantom_case(settings, 0, 1),
        phantom_case(settings, 1, 0),
        phantom_case(replace(settings, seed=settings.seed + 1), 0, 0),
    ):
        assert (first.mask != other.mask).any()
        assert first.facts["blur"] != other.facts["blur"]
        assert abs(stats.pearsonr(first.image.ravel(), other.image.ravel()).statistic) < 0.9


def test_difficulty_changes_the_image_and_never_the_reference(settings):
    own = phantom_case(settings, 0, 0)
    forced = phantom_case(settings, 0, 0, MIDDLE)
    np.testing.assert_array_equal(own.mask, forced.mask)
    assert forced.facts == {"blur": 0.8, "contrast": 4.0, "clutter": 0.5}
    again = phantom_case(settings, 0, 0, Difficulty(**own.facts))
    np.testing.assert_array_equal(own.image, again.image)


def test_the_edge_is_as_wide_as_the_stated_blur_says(settings):
    blurs = (0.4, 0.9, 1.4, 2.0)
    widths = np.mean(
        [[measured_width(settings, group, blur) for blur in blurs] for group in range(6)], axis=0
    )
    assert (np.diff(widths) > 0).all()
    assert stats.linregress(blurs, widths).rvalue > 0.95


def test_the_measured_contrast_is_the_stated_one(settings):
    contrasts = (2.0, 4.0, 6.0)
    measured = [
        [
            measured_contrast(phantom_case(settings, group, 0, Difficulty(0.4, c, 0.0)))
            for c in contrasts
        ]
        for group in range(6)
    ]
    np.testing.assert_allclose(np.mean(measured, axis=0), contrasts, rtol=0.25)


def test_clutter_adds_objects_away_from_everything_annotated(settings):
    for group in range(4):
        images = [
            phantom_case(settings, group, 0, replace(MIDDLE, clutter=clutter)).image[0]
            for clutter in (0.0, 0.3, 0.31, 1.0)
        ]
        bare, some, slightly_more, all_decoys = (image - images[0] for image in images)
        assert not bare.any()
        sums = [np.abs(difference).sum() for difference in (some, slightly_more, all_decoys)]
        assert sums[0] < sums[1] < sums[2]
        deep = ndimage.distance_transform_edt(phantom_case(settings, group, 0).mask > 0) > 4
        assert np.abs(all_decoys[deep]).max(initial=0) < 0.05 * np.abs(all_decoys).max()


def test_facts_are_spread_and_independent_of_group_and_of_each_other(settings):
    facts = np.array(
        [
            list(Difficulty.draw(settings.rng(group, 2, case, 1), settings).facts().values())
            for group in range(100)
            for case in range(4)
        ]
    )
    for column, bounds in zip(
        facts.T, (settings.blur, settings.contrast, settings.clutter), strict=True
    ):
        assert (
            stats.kstest(column, stats.uniform(bounds[0], bounds[1] - bounds[0]).cdf).pvalue > 0.001
        )
        assert stats.f_oneway(*column.reshape(100, 4)).pvalue > 0.001
    off_diagonal = np.corrcoef(facts.T)[np.triu_indices(3, 1)]
    assert np.abs(off_diagonal).max() < 4 / np.sqrt(len(facts))


def test_the_classes_are_what_they_are_called(sample):
    voxels = np.array(
        [[np.sum(case.mask == label) for label in (ORGAN, LESION, VESSEL)] for case in sample]
    )
    organ, lesion, vessel = voxels.T
    assert (organ > lesion).all()
    assert np.median(organ) > 4 * np.median(lesion)
    assert (vessel > 0).all()
    assert 0.6 < np.mean(lesion > 0) < 1  # some references are empty on purpose


def test_vessels_are_thin_and_lesions_lie_in_the_organ(sample):
    for case in sample:
        vessel = case.mask == VESSEL
        radii = ndimage.distance_transform_edt(vessel)[vessel]
        assert np.median(radii) <= 1.5
        assert np.quantile(radii, 0.9) <= 3  # forks and crossings
        assert (ndimage.binary_dilation(vessel) & (case.mask == ORGAN)).any()
        surroundings = ndimage.binary_dilation(case.mask == LESION, iterations=2) & (
            case.mask != LESION
        )
        if surroundings.any():
            assert np.mean(case.mask[surroundings] > 0) > 0.5


def test_cases_of_a_group_look_alike(sample):
    for measure in (
        lambda case: np.log(np.median(case.image)),
        lambda case: float(np.sum(case.mask > 0)) ** 0.5,
    ):
        values = np.array([measure(case) for case in sample]).reshape(-1, 3)
        assert stats.f_oneway(*values).pvalue < 0.01
        assert values.var(axis=1, ddof=1).mean() < values.mean(axis=1).var(ddof=1)


def test_settings_that_do_not_fit_are_refused():
    entry = load_entry("phantom2d")

    def with_settings(**changes):
        settings = {**entry.reader.settings, **changes}
        return entry.model_copy(
            update={"reader": entry.reader.model_copy(update={"settings": settings})}
        )

    with pytest.raises(CatalogError, match=r"(?s)phantom2d.*blurr"):
        Settings.of(with_settings(blurr=[0, 1]))
    with pytest.raises(CatalogError, match="ndim 2"):
        Settings.of(with_settings(size=[8, 8, 8]))
