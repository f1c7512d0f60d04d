"""What a study does not say comes from the catalog, is written down, and may be said otherwise."""

import pytest

from attnbench.catalog import load_entry
from attnbench.check import check_study, warnings_of
from attnbench.errors import StudyError

DATASETS = ["hippocampus", "phantom3d", "us_usgra"]


def study_of(datasets=DATASETS, **augmentation):
    content = {"name": "s", "datasets": datasets, "models": ["unet"], "folds": {"outer": 2}}
    return check_study(content | {"training": {"augmentation": augmentation}})


def axes_of(study):
    return [dataset.mirror_axes for dataset in study.datasets]


def test_images_are_mirrored_along_the_axes_that_the_catalog_allows():
    study = study_of()
    assert axes_of(study) == [load_entry(name).mirror.axes for name in DATASETS]
    assert axes_of(study)[0] == () and axes_of(study)[2] == (1,)
    assert warnings_of(study) == []


@pytest.mark.parametrize(
    ("flip", "axes"),
    [(True, [(0, 1, 2), (0, 1, 2), (0, 1)]), (False, [(), (), ()]), ([1], [(1,), (1,), (1,)])],
)
def test_a_study_may_say_otherwise_for_all_datasets(flip, axes):
    assert axes_of(study_of(flip=flip)) == axes


def test_a_datasets_own_axes_come_before_those_of_all():
    own = {"name": "hippocampus", "mirror_axes": [2]}
    assert axes_of(study_of([own, "phantom3d"], flip=False)) == [(2,), ()]


def test_an_axis_that_the_catalog_leaves_out_is_warned_of_by_name_and_reason():
    first, second = warnings_of(study_of(flip=True))
    assert first.startswith(
        "hippocampus is mirrored along left-right (axis 0), posterior-anterior (axis 1), "
        "inferior-superior (axis 2), "
    )
    assert first.count("change places") == 1
    assert second.startswith("us_usgra is mirrored along depth (axis 0)")


def test_a_models_own_axes_are_warned_of_too():
    own = {"name": "cbam", "training": {"augmentation": {"flip": True}}}
    content = {"name": "s", "datasets": ["us_usgra"], "models": ["unet", own]}
    (warning,) = warnings_of(check_study(content))
    assert warning.startswith("us_usgra is mirrored along depth (axis 0)")


def test_the_axes_are_part_of_the_recipe_however_they_were_said():
    recipe = study_of().recipe("hippocampus", "unet")
    said = study_of([{"name": "hippocampus", "mirror_axes": []}]).recipe("hippocampus", "unet")
    assert recipe["dataset"]["mirror_axes"] == []
    assert recipe == said
    assert recipe != study_of(flip=True).recipe("hippocampus", "unet")


def test_the_study_that_is_written_down_says_the_same():
    import yaml

    study = study_of()
    assert check_study(yaml.safe_load(study.to_yaml())) == study


@pytest.mark.parametrize("flip", [[2], [0, 0]])
def test_an_axis_that_is_not_there_or_twice_is_refused(flip):
    with pytest.raises(StudyError, match=r"us_usgra has no axis 2.*flip|more than once"):
        study_of(flip=flip)


def test_a_budget_that_is_short_for_its_rate_is_warned_of():
    def warned(**training):
        content = {"name": "s", "datasets": ["phantom2d"], "models": ["unet", "cbam"]}
        return warnings_of(check_study(content | {"training": training}))

    assert warned(steps=150) == [] and warned(steps=1500, learning_rate=0.001) == []
    (warning,) = warned(steps=140)
    assert "140 steps are few" in warning and "0.01 takes 150 steps or more" in warning
    # SGD's momentum makes a step another thing; the bound was measured with AdamW.
    assert warned(steps=140, optimiser="sgd") == []
    (warning,) = warned(steps=600, sweep={"learning_rate": [0.001, 0.002, 0.01]})
    assert "a learning rate of 0.001 and 0.002" in warning


def test_only_the_models_whose_own_rate_is_too_small_are_named():
    own = {"name": "cbam", "training": {"learning_rate": 0.0001}}
    content = {"name": "s", "datasets": ["phantom2d"], "models": ["unet", own]}
    (warning,) = warnings_of(check_study(content))
    assert "1000 steps of cbam are few" in warning


def test_mirroring_at_test_time_without_an_axis_is_warned_of():
    content = {"name": "s", "datasets": ["phantom2d"], "models": ["unet"]}
    content |= {"inference": {"mirroring": True}, "training": {"augmentation": {"flip": False}}}
    (warning,) = warnings_of(check_study(content))
    assert warning.startswith("phantom2d: `inference.mirroring`")
