"""Channels that a study takes, against Pillow and plain indexing."""

import numpy as np
import pytest
from PIL import Image

from attnbench.check import check_study
from attnbench.data.channels import choose_channels
from attnbench.errors import StudyError


def test_grey_is_pillows_luminance_up_to_rounding():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(rgb).convert("L"), np.int64)
    grey = choose_channels(np.moveaxis(rgb, -1, 0), "grey")
    assert grey.shape == (1, 64, 64) and grey.dtype == np.uint8
    assert np.abs(grey[0] - expected).max() <= 1
    assert (grey[0] == expected).mean() > 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_equal_channels_are_their_own_grey_whatever_the_type(dtype):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    one = np.linspace(0, top, 50).astype(dtype).reshape(5, 10)
    grey = choose_channels(np.stack([one] * 3), "grey")
    assert grey.dtype == dtype
    np.testing.assert_allclose(grey[0], one, rtol=1e-6)


def test_numbers_take_channels_in_their_order():
    image = np.arange(24).reshape(4, 2, 3)
    np.testing.assert_array_equal(choose_channels(image, (2, 0)), image[[2, 0]])
    assert choose_channels(image, None) is image


def study(dataset, **others):
    return check_study({"name": "s", "datasets": dataset, "models": ["unet"], **others})


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            {"name": "retina_drive", "channels": [0, 3]},
            r"retina_drive\.channels: there is no channel 3; the dataset has 3, 0 to 2",
        ),
        (
            {"name": "hippocampus", "channels": "grey"},
            r"hippocampus\.channels: grey is made of red, green and blue; the dataset has 1",
        ),
        ({"name": "retina_drive", "channels": [1, 1]}, "a channel stands there more than once"),
        ({"name": "retina_drive", "channels": []}, r"channels"),
        ({"name": "retina_drive", "interpolation": "cubic"}, "`interpolation` says how images"),
    ],
)
def test_channels_that_are_not_there_are_refused(dataset, message):
    with pytest.raises(StudyError, match=message):
        study([dataset])


def test_a_transfer_counts_the_channels_that_are_taken():
    both = [{"name": "retina_drive", "channels": "grey"}, {"name": "retina_chase"}]
    transfer = [{"train": "retina_drive", "test": "retina_chase"}]
    with pytest.raises(StudyError, match="retina_chase has 3 channels, retina_drive 1"):
        study(both, transfer=transfer)
    assert study([both[0], both[1] | {"channels": [1]}], transfer=transfer)


def test_the_catalog_says_how_intensities_are_normalised_unless_the_study_does():
    names = ["msd_spleen", "nuclei_dsb2018", {"name": "hippocampus", "normalisation": "percentile"}]
    found = study(names)
    assert [found.normalisation(part.name) for part in found.datasets] == [
        "ct",
        "z_score",
        "percentile",
    ]
    assert '"normalisation": "ct"' in str(found.recipe("msd_spleen", "unet")).replace("'", '"')
