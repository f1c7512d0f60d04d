"""What a study does not say comes from the catalog, is written down, and may be said otherwise."""

import pytest
import yaml

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


def split_study(datasets, **keys):
    content = {"name": "s", "models": ["unet"], "folds": {"outer": 5}}
    return check_study(content | {"datasets": datasets} | keys)


def test_every_dataset_has_as_many_runs_as_its_own_split_has_folds(tmp_path):
    rows = "".join(f"{row.case},{int(row.group) % 3}\n" for row in images_of("retina_chase"))
    (tmp_path / "own.csv").write_text(f"case,fold\n{rows}")
    study = split_study(
        [
            {"name": "retina_drive", "split": "official"},
            {"name": "retina_chase", "split": str(tmp_path / "own.csv")},
            {"name": "axon_sem", "split": "leave_one_group_out"},
            "phantom2d",
        ]
    )
    runs = [run.dataset for run in study.runs()]
    assert {name: runs.count(name) for name in runs} == {
        "retina_drive": 1, "retina_chase": 3, "axon_sem": 8, "phantom2d": 5,
    }  # fmt: skip
    # The study that a run folder keeps is resolved as it was.
    again = check_study(yaml.safe_load(study.to_yaml()))
    assert [str(run) for run in again.runs()] == [str(run) for run in study.runs()]


def images_of(dataset):
    return [row for row in load_entry(dataset).files() if row.role == "image"]


def test_folds_to_run_are_those_that_a_dataset_has():
    datasets = [
        {"name": "retina_drive", "split": "official"},
        {"name": "axon_sem", "split": "leave_one_group_out"},
        "phantom2d",
    ]
    study = split_study(datasets, folds={"outer": 5, "run": [0, 4, 7]})
    ran = {name: study.folds_to_run(name) for name in ("retina_drive", "axon_sem", "phantom2d")}
    assert ran == {"retina_drive": (0,), "axon_sem": (0, 4, 7), "phantom2d": (0, 4)}
    with pytest.raises(StudyError) as refusal:
        split_study(datasets, folds={"outer": 5, "run": [1, 9]})
    for said in ("no dataset has a fold 9", "leaves retina_drive without a fold", "fold 0 alone"):
        assert said in str(refusal.value)


def test_a_set_that_is_only_tested_trains_nothing():
    study = split_study(
        ["phantom2d", {"name": "phantom2d_faint", "test_only": True}],
        transfer=[{"train": "phantom2d", "test": "phantom2d_faint"}],
    )
    assert {run.dataset for run in study.runs()} == {"phantom2d"}
    assert [run.dataset for run in study.runs()] == ["phantom2d"] * 5


def test_the_split_of_usgra_crosses_groups_and_a_held_out_share_does_not():
    with pytest.raises(StudyError, match=r"us_usgra: \d+ group\(s\) cross the split"):
        split_study([{"name": "us_usgra", "split": "official"}])
    accepted = split_study(
        [{"name": "us_usgra", "split": "official", "accept_crossing_groups": True}]
    )
    assert accepted.split_of("us_usgra").crossing
    assert not split_study([{"name": "us_usgra", "held_out": 0.2}]).split_of("us_usgra").crossing


def test_the_split_decides_folds_and_is_no_part_of_a_recipe():
    plain = split_study(["retina_drive"]).recipe("retina_drive", "unet")
    official = split_study([{"name": "retina_drive", "split": "official"}])
    assert official.recipe("retina_drive", "unet") == plain


@pytest.mark.parametrize(
    ("datasets", "keys", "said"),
    [
        (
            [{"name": "hippocampus", "split": "official"}, {"name": "axon_sem", "split": "x.csv"}],
            {},
            ["hippocampus: ", "no official split of hippocampus", "axon_sem: x.csv: cannot be"],
        ),
        ([{"name": "phantom2d", "split": "official"}], {}, ["generated cases have no official"]),
        ([{"name": "retina_drive", "split": "oficial"}], {}, ["did you mean 'official'"]),
        ([{"name": "retina_drive", "split": "splits.txt"}], {}, [".json", ".csv"]),
        ([{"name": "retina_drive", "held_out": 1.5}], {}, ["datasets[0].held_out"]),
        ([{"name": "retina_drive", "held_out": 0}], {}, ["datasets[0].held_out"]),
        (
            [{"name": "retina_drive", "split": "official", "held_out": 0.2}],
            {},
            ["own test part"],
        ),
        (
            [{"name": "retina_drive", "split": "official", "stratify": "part"}],
            {},
            ["`stratify` balances folds that are drawn"],
        ),
        ([{"name": "retina_drive", "stratify": "site"}], {}, ["no case", "'site'", "part"]),
        (
            [{"name": "retina_drive", "split": "a.csv", "held_out": 0.2}],
            {},
            ["as a share is drawn"],
        ),
        (
            [{"name": "retina_drive", "accept_crossing_groups": True}],
            {},
            ["folds drawn here never cross"],
        ),
        (
            [{"name": "retina_drive", "split": "official", "accept_crossing_groups": True}],
            {},
            ["no group crosses"],
        ),
        ([{"name": "axon_sem", "held_out": 0.6}], {}, ["folds.outer: 5 folds need", "has 3"]),
        (
            ["retina_chase", {"name": "retina_drive", "test_only": True}],
            {},
            ["no transfer tests on it"],
        ),
        (
            ["retina_chase", {"name": "retina_drive", "test_only": True}],
            {"transfer": [{"train": "retina_drive", "test": "retina_chase"}]},
            ["no model is trained on it"],
        ),
        (
            [{"name": "retina_drive", "test_only": True}],
            {},
            ["every one is `test_only`"],
        ),
        (
            ["retina_chase", {"name": "retina_drive", "test_only": True, "held_out": 0.2}],
            {"transfer": [{"train": "retina_chase", "test": "retina_drive"}]},
            ["leaves nothing to split"],
        ),
    ],
)
def test_a_split_that_cannot_be_is_refused_before_any_download(datasets, keys, said):
    with pytest.raises(StudyError) as refusal:
        split_study(datasets, **keys)
    assert [words for words in said if words not in str(refusal.value)] == []


def test_packed_sets_without_groups_have_their_official_split_and_no_groups_to_leave_out():
    """Which part a case is of shows when the archive is read: nothing is refused before."""
    name = "medseg_abdomenus_128"
    licence = {"accept_licences": [load_entry(name).family or name]}
    official = split_study([{"name": name, "split": "official"}], **licence)
    assert [run.fold for run in official.runs()] == [0]
    beside = split_study([{"name": name, "held_out": "official"}], **licence)
    assert [run.fold for run in beside.runs()] == [0, 1, 2, 3, 4]
    with pytest.raises(StudyError, match="groups are unknown; leave_one_group_out"):
        split_study([{"name": name, "split": "leave_one_group_out"}], **licence)


def test_groups_that_are_merged_later_may_cross_only_then():
    own = {"name": "retina_drive", "split": "official", "accept_crossing_groups": True}
    study = split_study([own | {"duplicates": "merge"}])
    assert study.split_of("retina_drive").crossing
