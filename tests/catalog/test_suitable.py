"""What the catalog rules out is refused in words, before anything is asked of any server."""

from __future__ import annotations

import pytest
import yaml

from attnbench.catalog import load_entry
from attnbench.check import check_study, warnings_of
from attnbench.errors import StudyError


def check(*datasets, **keys):
    return check_study({"name": "s", "datasets": list(datasets), "models": ["unet"]} | keys)


@pytest.mark.parametrize("name", ["medseg_kvasir_128", "medseg_promise12_512"])
def test_a_licence_that_is_not_open_is_refused_with_its_text(name):
    family = name.rpartition("_")[0]
    with pytest.raises(StudyError) as refused:
        check("phantom2d", name)
    assert load_entry(name).licence in str(refused.value)
    assert f"`accept_licences: [{family}]`" in str(refused.value)


def test_it_is_accepted_by_the_name_of_dataset_or_family():
    for word in ("medseg_kvasir_128", "medseg_kvasir"):
        assert check("medseg_kvasir_128", accept_licences=[word]).accept_licences == (word,)
    with pytest.raises(StudyError, match="medseg_kvasir"):
        check("medseg_kvasir_256", accept_licences=["medseg_kvasir_128"])


def test_every_licence_is_named_at_once_and_what_was_accepted_is_kept():
    with pytest.raises(StudyError) as refused:
        check(
            "medseg_kvasir_128", "medseg_kvasir_256", "medseg_yeaz_128", "medseg_wbc_128",
            "medseg_bbbc010_128", accept_licences=["medseg_bbbc010"],
        )  # fmt: skip
    assert "2 problem(s)" in str(refused.value), "one for a set, in however many sizes"
    assert "`accept_licences: [medseg_bbbc010, medseg_kvasir, medseg_yeaz]`" in str(refused.value)
    assert "wbc" not in str(refused.value)


def test_a_users_own_files_are_not_downloaded_and_ask_for_nothing(tmp_path):
    entry = {
        "name": "mine", "short": "M", "title": "t", "task": "t", "modality": "m", "ndim": 2,
        "channels": 1, "classes": {1: "a"}, "axes": ["a", "b"], "cases": 9, "groups": 9,
        "mirror": {"axes": [], "reason": "r"}, "groups_inferred": False, "licence": "l",
        "licence_terms": "non_commercial", "citation": "c", "reader": "binary_mask",
        "origin": {"kind": "local", "folder": "."},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(entry), encoding="utf-8")
    assert check("mine", catalog=[str(tmp_path)]).accept_licences == ()


@pytest.mark.parametrize(
    "keys", [{"accept_licences": ["hipocampus"]}, {"data": {"mirrors": {"hipocampus": "/mnt"}}}]
)
def test_names_that_no_dataset_has_are_refused(keys):
    with pytest.raises(StudyError, match=r"no such dataset as 'hipocampus'.*'hippocampus'"):
        check("phantom2d", **keys)


SHARING = [
    ("retina_drive", "medseg_drive_512"),
    ("medseg_drive_512", "retina_drive"),
    ("medseg_wbc_128", "medseg_wbc_256"),
    ("hippocampus", "msd_hippocampus"),
]


@pytest.mark.parametrize(("one", "other"), SHARING)
def test_datasets_with_the_same_images_are_warned_of(one, other):
    (warning,) = warnings_of(check(one, other))
    assert one in warning and other in warning and "images in common" in warning


@pytest.mark.parametrize(("one", "other"), SHARING)
def test_a_transfer_to_the_same_images_is_refused(one, other):
    with pytest.raises(StudyError, match=rf"transfer\[0\]: {one} and {other} have images"):
        check(one, other, transfer=[{"train": one, "test": other}])


def test_other_images_are_neither_warned_of_nor_refused():
    study = check(
        "retina_drive", "retina_chase", transfer=[{"train": "retina_drive", "test": "retina_chase"}]
    )
    assert warnings_of(study) == []
