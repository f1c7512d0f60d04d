"""A user's folder of pictures as users have them, and its dataset without any guess."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = {128: "cytoplasm", 255: "nucleus"}


def write_cells(
    folder: Path, patients: int = 6, each: int = 2, side: int = 48
) -> dict[str, np.ndarray]:
    """Write images/ and masks/ of white blood cells, grey values 0, 128 and 255 in the masks.

    Returns the classes, 0, 1 and 2, that each mask holds, by the name of its case.
    """
    rng = np.random.default_rng(0)
    truth = {}
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for patient in range(patients):
        for number in range(each):
            name = f"patient{patient:02d}_{number}"
            rows, columns = np.indices((side, side))
            centre = rng.uniform(0.4, 0.6, 2) * side
            away = np.hypot(rows - centre[0], columns - centre[1]) / side
            classes = np.where(away < 0.12, 2, np.where(away < 0.3, 1, 0)).astype(np.uint8)
            image = np.stack([220 - 60 * classes, 180 - 80 * classes, 210 - 20 * classes], -1)
            image = np.clip(image + rng.normal(0, 9, image.shape), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            values = np.array([0, *CLASSES], dtype=np.uint8)[classes]
            Image.fromarray(values).save(folder / "masks" / f"{name}.png")
            truth[name] = classes
    return truth


@pytest.fixture
def cells(tmp_path):
    """The folder `wbc` below the test's own, and the classes of its cases."""
    return tmp_path / "wbc", write_cells(tmp_path / "wbc")
