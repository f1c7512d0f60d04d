"""Every command of docs/predictions.md, typed as it stands there, in a finished study."""

import re
import shlex
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnbench.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "predictions.md"
MODELS = ("unet", "attention_gate")
STUDY = """
name: wbc
catalog: [my_sets]
datasets: [{name: wbc, size: [16, 24], patch: [16, 16]}]
models: [unet, attention_gate]
backbone: {widths: [2, 4], blocks_per_level: 1}
folds: {outer: 2, inner: 2}
training: {steps: 40, batch: 4, validate_every: 40, learning_rate: 0.03, warm_up: 0}
metrics: [dice]
compute: {device: cpu}
"""


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def cell(number):
    """A blood cell: cytoplasm and nucleus, as docs/your-data.md has it."""
    rng = np.random.default_rng(number)
    mask = np.zeros((32, 40), np.uint8)
    top, left = rng.integers(4, 10, 2)
    mask[top : top + 14, left : left + 14] = 128
    mask[top + 4 : top + 9, left + 4 : left + 9] = 255
    image = np.stack([200 - mask // 2, 180 - mask // 3, 190 - mask // 8], axis=-1)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8), mask


def typed(line):
    """Run a line of the page; our own command in this process, whose start takes longest."""
    words = shlex.split(line)
    if words[0] == "attnbench" and not {"|", ">", "&&"} & set(words):
        app(words[1:], standalone_mode=False)
    else:
        subprocess.run(["bash", "-ec", line], check=True)


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """The working directory: the finished study `wbc_study.yaml`, and new images."""
    monkeypatch.chdir(tmp_path)
    for name in ("wbc/images", "wbc/masks", "new_images"):
        Path(name).mkdir(parents=True)
    for number in range(8):
        image, mask = cell(number)
        Image.fromarray(image).save(f"wbc/images/patient{number}_0.png")
        Image.fromarray(mask).save(f"wbc/masks/patient{number}_0.png")
    for number, name in enumerate("ab"):
        Image.fromarray(cell(100 + number)[0]).save(f"new_images/{name}.png")
    Path("wbc_study.yaml").write_text(STUDY)
    classes = "--class 128=cytoplasm --class 255=nucleus"
    typed(f"attnbench dataset add wbc --name wbc --groups case {classes}")
    of_dataset = "--study wbc_study.yaml --dataset wbc"
    for verb in ("fetch", "inspect", "prepare", "folds"):
        typed(f"attnbench {verb} {of_dataset}")
    for model, fold, verb in product(MODELS, (0, 1), ("train", "predict", "score")):
        typed(f"attnbench {verb} {of_dataset} --model {model} --fold {fold} --seed 0")


def masks_in(folder):
    return {path.name: np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))}


@pytest.mark.usefixtures("finished")
def test_every_command_does_what_the_page_says(capsys):
    for block in blocks("sh"):
        for line in block.splitlines():
            typed(line)
    exported = [
        masks_in(Path(f"exported/wbc/{model}/fold{fold}-seed0"))
        for model, fold in product(MODELS, (0, 1))
    ]
    names = {f"patient{number}_0.png" for number in range(8)}
    assert {*exported[0], *exported[1]} == names == {*exported[2], *exported[3]}
    again = Path("with_probabilities/wbc/unet/fold0-seed0")
    for name, mask in exported[0].items():
        assert mask.shape == (32, 40)
        np.testing.assert_array_equal(masks_in(again)[name], mask)
        each = [
            np.array(Image.open(again / f"probabilities/{name[:-4]}_class{number}.png"))
            for number in range(3)
        ]
        np.testing.assert_allclose(np.sum(each, axis=0, dtype=float), 65535, atol=2)
    predicted = [masks_in(Path(name)) for name in ("predicted", "predicted_by_all")]
    assert all(set(masks) == {"a.png", "b.png"} for masks in predicted)
    assert any(mask.any() for masks in (*exported, *predicted) for mask in masks.values())
    capsys.readouterr()
    for code in blocks("python"):
        exec(code, {})
    printed = capsys.readouterr().out
    for name, mask in exported[0].items():
        assert f"{name[:-4]} (32, 40) {np.bincount(mask.ravel(), minlength=3)}" in printed
