"""Every command of docs/your-data.md, typed as it stands there, on a folder that a test writes."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnbench.data.store import CaseStore

pytestmark = pytest.mark.workflow
PAGE = Path(__file__).parents[2] / "docs" / "your-data.md"
# Less training and smaller networks, and nothing else.
SMALL = (
    "--config training='{steps: 3, batch: 2, validate_every: 2}'"
    " backbone='{widths: [2, 4], blocks_per_level: 1}' models='[unet, attention_gate]'"
    " folds='{outer: 2, inner: 2}' analysis='{bootstrap: 200}' metrics='[dice, hd95]'"
)


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def shown() -> str:
    """What the page says that the first command prints."""
    (block,) = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return block


def write_folder(folder: Path) -> dict[str, np.ndarray]:
    """Blood cells as the page has them: 128 cytoplasm, 255 nucleus; returns masks by case."""
    rng = np.random.default_rng(0)
    masks = {}
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for patient in range(6):
        for number in range(2):
            name = f"patient{patient:02d}_{number}"
            mask = np.zeros((32, 40), np.uint8)
            top, left = rng.integers(4, 10, 2)
            mask[top : top + 14, left : left + 14] = 128
            mask[top + 4 : top + 9, left + 4 : left + 9] = 255
            image = np.stack([200 - mask // 2, 180 - mask // 3, 190 - mask // 8], axis=-1)
            image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / "images" / f"{name}.png")
            Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
            masks[name] = mask
    return masks


def test_the_page_leads_from_a_folder_to_a_figure(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")
    masks = write_folder(checkout.folder / "wbc")
    typed = commands()
    assert [line.split()[:3] for line in typed[:2]] == [
        ["attnbench", "dataset", "add"],
        ["attnbench", "study", "new"],
    ]
    printed = []
    for line in typed:
        less = SMALL if line.startswith("snakemake") else ""
        run = subprocess.run(
            ["bash", "-ec", f"{line} {less}"],
            cwd=checkout.folder,
            env=checkout.environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, f"{line}\n{run.stdout}\n{run.stderr}"
        printed.append(run.stdout)
    assert printed[0] == shown()
    results = checkout.folder / "results" / "wbc"
    assert (results / "report.html").stat().st_size > 0
    assert (results / "figures" / "effects.png").stat().st_size > 0
    store = CaseStore.open(results / "data" / "prepared" / "wbc")
    classes = {0: 0, 1: 128, 2: 255}
    assert dict(store.info.classes) == {1: "cytoplasm", 2: "nucleus"}
    for index, case in enumerate(store.columns["case"]):
        found = np.vectorize(classes.__getitem__)(store.reference(index))
        np.testing.assert_array_equal(found, masks.pop(case))
    assert masks == {}
    # A mask that is drawn anew is noticed, and the way on is said.
    Image.new("L", (40, 32)).save(checkout.folder / "wbc" / "masks" / "patient00_0.png")
    run = checkout.snakemake_on("--configfile", "wbc_study.yaml")
    assert run.returncode != 0
    assert "masks/patient00_0.png" in run.stdout
    assert "--replace" in run.stdout
