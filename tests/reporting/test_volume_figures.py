"""Volumes in figures: slices across every axis, surfaces, distances, errors of predictions."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from attnbench.reporting.contents import figure_names
from attnbench.reporting.figures import draw_figure
from attnbench.reporting.figures.panels import show_errors
from attnbench.reporting.figures.surfaces import distances, surface_of
from attnbench.reporting.slices import Plane


def ball(shape: tuple[int, int, int], spacing: tuple[float, ...], radius: float) -> np.ndarray:
    steps = [
        (np.arange(size) - size / 2 + 0.5) * step for size, step in zip(shape, spacing, strict=True)
    ]
    return sum(grid**2 for grid in np.meshgrid(*steps, indexing="ij")) <= radius**2


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0)])
def test_the_surface_of_a_ball_lies_at_its_radius_in_the_unit_of_the_spacing(spacing):
    shape = tuple(int(40 / step) for step in spacing)
    mesh = surface_of(ball(shape, spacing, 15.0), spacing)
    centre = [(size / 2 - 0.5) * step for size, step in zip(shape, spacing, strict=True)]
    radii = np.linalg.norm(mesh.points - centre, axis=1)
    assert abs(radii.mean() - 15.0) < 0.5 * max(spacing)
    assert np.abs(radii - 15.0).max() < 1.1 * max(spacing)


def test_distance_between_balls_of_one_centre_is_the_difference_of_their_radii():
    spacing = (1.0, 1.0, 1.0)
    small, large = (
        surface_of(ball((44, 44, 44), spacing, radius), spacing) for radius in (12.0, 16.0)
    )
    assert distances(small, large).mean() == pytest.approx(4.0, abs=0.3)
    assert distances(large, large).max() == 0.0


def test_a_region_that_touches_the_border_and_a_single_voxel_have_closed_surfaces():
    spacing = (1.0, 1.0, 1.0)
    for region in (np.ones((4, 5, 6), bool), np.pad(np.ones((1, 1, 1), bool), 2)):
        mesh = surface_of(region, spacing)
        edges = np.sort(
            np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]),
            axis=1,
        )
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_large_volumes_are_sampled_at_their_true_place():
    region = np.zeros((400, 20, 20), bool)
    region[100:300, 4:16, 4:16] = True
    mesh = surface_of(region, (0.5, 1.0, 1.0))
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    np.testing.assert_allclose(low, [49.75, 3.5, 3.5], atol=2.6)
    np.testing.assert_allclose(high, [149.75, 15.5, 15.5], atol=5.1)


def test_volumes_have_slices_and_a_surface_and_pictures_have_not(write_study):
    study = write_study(
        datasets=["phantom2d", "phantom3d"], models=["unet", "cbam"], cases=4, seeds=(0,)
    )
    names = figure_names(study)
    assert {"slices_phantom3d", "surface_phantom3d"} <= set(names)
    assert not {"slices_phantom2d", "surface_phantom2d"} & set(names)
    cases = pd.read_csv(study.layout.analysis / "cases.csv").query("dataset == 'phantom3d'")
    draw_figure(study, "slices_phantom3d")
    slices = pd.read_csv(study.layout.figures / "slices_phantom3d.csv")
    assert set(slices["case"]) == set(cases["case"].iloc[:2]) and set(slices["model"]) == {
        "unet",
        "cbam",
    }
    draw_figure(study, "surface_phantom3d")
    surface = pd.read_csv(study.layout.figures / "surface_phantom3d.csv")
    assert set(surface["case"]) == {cases["case"].iloc[0]}
    assert (surface["largest"] >= surface["mean"]).all() and (surface["mean"] > 0).all()
    assert set(surface["unit"]) == {"px"}


@pytest.mark.parametrize("name", ["slices_phantom3d", "surface_phantom3d"])
def test_missing_predictions_and_runs_are_said(write_study, name):
    study = write_study(datasets=["phantom3d"], models=["unet", "cbam"], cases=4, seeds=(0,))
    for path in study.layout.output.glob("runs/phantom3d/cbam/*/predictions.npz"):
        path.unlink()
    draw_figure(study, name)
    none = write_study(datasets=["phantom3d"], models=["unet"], cases=4, analysed=False)
    for path in none.layout.analysis.glob("*.csv"):
        path.unlink()
    draw_figure(none, name)
    assert pd.read_csv(none.layout.figures / f"{name}.csv").empty


def test_a_map_of_errors_tells_missed_added_and_wrong_class():
    reference = np.array([[0, 1, 1, 2]], np.uint8)
    prediction = np.array([[1, 0, 1, 1]], np.uint8)
    axes = plt.figure().subplots()
    show_errors(
        axes, np.zeros((1, 4), np.float32), prediction, reference, Plane(None, None, (4.0, 1.0))
    )
    tint = np.asarray(axes.images[-1].get_array())[0]
    added, missed, right, wrong = tint
    assert right[3] == 0 and min(added[3], missed[3], wrong[3]) > 0.5
    colours = [tuple(pixel[:3]) for pixel in (added, missed, wrong)]
    assert len(set(colours)) == 3
    plt.close("all")
