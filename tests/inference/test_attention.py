"""Attention maps of trained runs on the cases that figures show."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attnbench.data.folds import load_folds, write_folds
from attnbench.data.store import CaseStore
from attnbench.errors import DataError, ModelError
from attnbench.files import write_csv
from attnbench.inference.attention import attend_model, regions, relative_to_mean
from attnbench.inference.trained import trained_network
from attnbench.models.attention_maps import attention_maps
from attnbench.models.names import known_models
from attnbench.study.groups import FoldsSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.run import train_run


@pytest.fixture
def study(store, tmp_path):
    name = store.info.name
    study = parse_study(
        {
            "name": "small",
            "output": str(tmp_path / "out"),
            "datasets": [{"name": name, "patch": {2: [48, 56], 3: [24, 24, 24]}[store.info.ndim]}],
            "models": ["unet", "cbam"],
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "folds": {"outer": 3, "inner": 2},
            "training": {"steps": 2, "batch": 2, "validate_every": 2},
            "compute": {"device": "cpu"},
        },
        known_models(),
    )
    target = study.layout.prepared(name)
    target.parent.mkdir(parents=True)
    store.folder.rename(target)
    write_folds(target, FoldsSettings(outer=3, inner=2), study.layout.folds(name))
    return study


def shown(study, folds=(0, 2)):
    """Two cases of each fold as `analysis/cases.csv`, and the runs that tested them."""
    name = study.datasets[0].name
    all_folds = load_folds(study.layout.folds(name), CaseStore.open(study.layout.prepared(name)))
    cases = {fold: all_folds.fold(fold).test[:2] for fold in folds}
    rows = [
        {"dataset": name, "rule": "Median", "case": case, "fold": f}
        for f, names in cases.items()
        for case in names
    ]
    write_csv(study.layout.analysis / "cases.csv", pd.DataFrame(rows))
    for fold in folds:
        train_run(study, Run(name, "cbam", fold, 0))
    return name, cases


def test_maps_lie_on_the_cases_own_grid_and_average_to_one(study):
    name, cases = shown(study)
    attend_model(study, name, "cbam")
    store = CaseStore.open(study.layout.prepared(name))
    table = pd.read_csv(study.layout.attention(name, "cbam").with_suffix(".csv"))
    assert set(zip(table["case"], table["fold"], strict=True)) == {
        (c, f) for f, names in cases.items() for c in names
    }
    with np.load(study.layout.attention(name, "cbam")) as maps:
        assert set(maps) == set(table["case"])
        for case, rows in table.groupby("case", sort=False):
            index = store.index(case)
            assert list(rows["place"]) == ["encoder0", "bottleneck1"]
            assert maps[case].dtype == np.float16
            assert maps[case].shape == (2, *store.original_shape(index))
            values = maps[case].astype(np.float64).reshape(2, -1)
            np.testing.assert_allclose(values.mean(1), 1, atol=1e-3)
            assert ((rows["mean"] > 0) & (rows["mean"] < 1)).all()  # CBAM's weights are sigmoids
            parts = [
                where.ravel()
                for where in regions(
                    store.reference(index), np.ones(maps[case].shape[1:], bool)
                ).values()
            ]
            for row, map_ in zip(
                rows[["inside", "boundary", "background"]].to_numpy(), values, strict=True
            ):
                expected = [map_[where].mean() if where.any() else np.nan for where in parts]
                np.testing.assert_allclose(row, expected, rtol=2e-3)


def test_a_map_is_the_networks_where_one_window_holds_the_image(study):
    name, cases = shown(study, folds=(0,))
    store = CaseStore.open(study.layout.prepared(name))
    attend_model(study, name, "cbam")
    patch = study.patch(name, store.info.ndim)
    with trained_network(study, Run(name, "cbam", 0, 0)) as trained, torch.no_grad():
        for case in cases[0]:
            image = torch.from_numpy(trained.image(store, store.index(case)))
            before = [
                (side - length) // 2 for side, length in zip(patch, image.shape[1:], strict=True)
            ]
            padded = torch.zeros(1, len(image), *patch)
            inside = tuple(
                slice(start, start + length)
                for start, length in zip(before, image.shape[1:], strict=True)
            )
            padded[(0, slice(None), *inside)] = image
            expected = torch.stack(
                [m[(0, 0, *inside)] for m in attention_maps(trained.network, padded).values()]
            )
            expected = expected / expected.mean(tuple(range(1, expected.dim())), keepdim=True)
            with np.load(study.layout.attention(name, "cbam")) as maps:
                np.testing.assert_allclose(maps[case], expected, rtol=2e-3)


def test_a_model_without_map_and_an_unfinished_analysis_are_named(study):
    name = study.datasets[0].name
    with pytest.raises(ModelError, match="unet has no attention map"):
        attend_model(study, name, "unet")
    with pytest.raises(DataError, match=r"cases.csv: not there.*attnbench analyse"):
        attend_model(study, name, "cbam")


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2)),
    st.randoms(),
)
def test_every_seen_voxel_lies_in_one_region(reference, random):
    seen = np.array([random.random() < 0.8 for _ in range(reference.size)]).reshape(reference.shape)
    parts = regions(reference, seen)
    for voxel in itertools.product(*map(range, reference.shape)):
        near = tuple(slice(max(0, middle - 2), middle + 3) for middle in voxel)
        mixed = len(np.unique(reference[near])) > 1
        expected = "boundary" if mixed else "inside" if reference[voxel] else "background"
        assert {name for name, where in parts.items() if where[voxel]} == (
            {expected} if seen[voxel] else set()
        )


def test_outside_the_field_of_view_nothing_counts():
    reference, fov = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    fov[:, :4] = True
    weights = np.where(fov, 0.5, 9.0).astype(np.float32)
    maps, (row,) = relative_to_mean({"skip0": weights}, reference, fov)
    assert row["mean"] == 0.5 and row["background"] == 1
    assert np.isnan(row["inside"]) and np.isnan(row["boundary"])
    assert (maps[0][fov] == 1).all()


def test_a_map_of_zeros_stays_zero():
    maps, (row,) = relative_to_mean(
        {"skip0": np.zeros((4, 4), np.float32)}, np.zeros((4, 4), np.uint8), None
    )
    assert not maps.any() and row["mean"] == 0
