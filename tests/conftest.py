"""Settings of all tests, and a small prepared dataset of cases of different shapes and spacings."""

import numpy as np
import pytest
from hypothesis import settings

from attnbench.data.case import PreparedCase
from attnbench.data.info import DatasetInfo
from attnbench.data.store import CaseStore
from attnbench.data.write import write_store

settings.register_profile("attnbench", deadline=None)
settings.load_profile("attnbench")

SHAPES = {
    2: [(40, 31), (24, 50), (33, 33), (28, 28), (36, 30), (30, 36)],
    3: [(20, 17, 12), (14, 22, 18)] * 3,
}


def make_case(number, shape, rng):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[tuple(slice(side // 4, side // 2) for side in shape)] = 1
    if number % 2:
        mask[tuple(slice(side // 2, side // 2 + 3) for side in shape)] = 2
    image = (rng.standard_normal((2, *shape)) + mask).astype(np.float32)
    spacing = (1.0, 0.5, 2.0)[: len(shape)]
    return PreparedCase(f"case{number}", f"group{number}", image, mask, mask, spacing, spacing)


def make_store(folder, ndim):
    rng = np.random.default_rng(0)
    info = DatasetInfo(
        name=f"made{ndim}d",
        title="Made",
        task="boxes",
        modality="none",
        ndim=ndim,
        channels=2,
        classes={1: "box", 2: "small box"},
        spacing_unit="mm",
        spacing=None,
        size=None,
        resampled=False,
        has_fov=False,
        has_second_rater=False,
        groups_inferred=False,
        licence="CC0",
        citation="none",
    )
    write_store(
        folder, (make_case(number, shape, rng) for number, shape in enumerate(SHAPES[ndim])), info
    )
    return CaseStore.open(folder)


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def store(request, tmp_path):
    return make_store(tmp_path / "store", request.param)
