"""`attnbench study new`: a study that is accepted as it is, and sized to the data."""

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attnbench.catalog import Reader, load_entry, read_entry
from attnbench.check import check_study
from attnbench.errors import StudyError
from attnbench.intake.entry_text import Statements, entry_content, entry_text
from attnbench.intake.found import Found
from attnbench.intake.study_text import patch_for, study_text
from attnbench.intake.write import write_entry


def dataset(catalog: Path, ndim: int, groups: int | None, cases: int = 400):
    axes = ("top-bottom", "left-right") if ndim == 2 else ("left-right", "back-front", "up")
    found = Found("pictures", (), Reader(name="pictures"), ndim, 1, {1: "cell"}, axes)
    found = found if ndim == 2 else Found(**{**vars(found), "spacing_unit": "mm"})
    content = entry_content("wbc", found, Statements(), Path("/data"), cases, groups)
    return write_entry(catalog, "wbc", entry_text(content, "typed"), [], {})


grids = st.integers(2, 3).flatmap(
    lambda ndim: st.lists(
        st.tuples(
            st.tuples(*[st.integers(1, 700)] * ndim),
            st.tuples(*[st.floats(0.05, 6.0)] * ndim),
        ),
        min_size=1,
        max_size=5,
    )
)


@given(grids, st.one_of(st.none(), st.integers(3, 400)))
def test_it_is_accepted_whatever_the_data(tmp_path_factory, grids, groups):
    catalog = tmp_path_factory.mktemp("my 'own' sets")
    ndim = len(grids[0][0])
    entry = dataset(catalog, ndim, groups)
    text = study_text(entry, [catalog], grids)
    study = check_study(yaml.safe_load(text), "text")
    assert [item.name for item in study.datasets] == ["wbc"]
    patch = study.patch("wbc", ndim)
    assert math.prod(patch) <= 96**2 * (1.5 if ndim == 3 else 1)


@pytest.mark.parametrize(
    ("sides", "patch"),
    [
        ((565, 584), (96, 96)),
        ((40, 300), (40, 96)),
        ((9, 9), (16, 16)),
        ((64, 64, 8), (24, 32, 16)),
    ],
)
def test_a_patch_is_no_longer_than_a_case_by_more_than_a_step(sides, patch):
    found = patch_for(sides)
    assert all(own % 8 == 0 for own in found)
    assert all(own <= max(16, side + 4) for own, side in zip(found, sides, strict=True))
    assert sorted(found) == sorted(patch)


def test_cases_of_different_spacing_are_resampled_to_their_median(tmp_path):
    entry = dataset(tmp_path, 3, 20)
    grids = [((100, 100, 20), (1.0, 1.0, z)) for z in (2.0, 2.5, 5.0)]
    study = yaml.safe_load(study_text(entry, [tmp_path], grids))
    assert study["datasets"][0]["spacing"] == [1.0, 1.0, 2.5]


def test_cases_of_one_spacing_stay_on_their_grid(tmp_path):
    entry = dataset(tmp_path, 3, 20)
    study = yaml.safe_load(study_text(entry, [tmp_path], [((50, 50, 20), (0.7, 0.7, 3.0))] * 3))
    assert "spacing" not in study["datasets"][0]


@pytest.mark.parametrize("groups", [1, 2])
def test_too_few_groups_are_told_with_the_way_out(tmp_path, groups):
    with pytest.raises(StudyError, match=f"{groups} groups?; .*--blocks"):
        study_text(dataset(tmp_path, 2, groups), [tmp_path], [])


def test_a_dataset_of_the_catalog_needs_no_folder():
    study = check_study(yaml.safe_load(study_text(load_entry("retina_drive"), [], [])), "text")
    assert study.catalog == ()


def test_the_entry_that_tests_write_is_as_a_user_has_it(tmp_path):
    dataset(tmp_path, 2, None)
    assert read_entry(tmp_path / "wbc.yaml").count_groups() == 400


@pytest.mark.parametrize(
    ("parts", "offered"),
    [(("train", "test"), True), (("train", ""), False), (("train", "train"), False)],
)
def test_the_split_of_the_authors_is_offered_where_every_case_has_its_part(
    tmp_path, parts, offered
):
    dataset(tmp_path, 2, 4, cases=4)
    labels = "".join(f"c{number},{parts[number % 2]}\n" for number in range(4))
    (tmp_path / "wbc.cases.csv").write_text(f"case,part\n{labels}")
    text = study_text(read_entry(tmp_path / "wbc.yaml"), [tmp_path], [])
    assert ("split: official" in text) == offered
    assert "split" not in yaml.safe_load(text)["datasets"][0]
