"""Every command of docs/losses.md, on the files that the page shows: a loss of one's own and
pretrained weights, from a study to its tables.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
from pathlib import Path

import pytest
import torch

from attnbench.models.build import build_model
from attnbench.training.loss_names import facts_of_loss
from attnbench.training.losses import loss_names

pytestmark = pytest.mark.workflow
PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
# Less training and smaller networks, and nothing else.
SMALL = (
    " --config 'training={steps: 3, batch: 2, patch_2d: [16, 16], validate_every: 2,"
    " loss: dice_focal}' 'backbone={widths: [2, 4], blocks_per_level: 1}'"
    " 'folds={outer: 2, inner: 2, run: [0]}' 'controls=[]' 'analysis={bootstrap: 200}'"
    " 'metrics=[dice]'"
    " 'datasets=[{name: phantom2d, size: [32, 32]}]'"
)


def block(language: str, first: str) -> str:
    """The block of a language that begins with this line."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    (found,) = (text for text in blocks if text.startswith(first))
    return found


def test_the_table_names_every_loss_with_its_options():
    for name in loss_names():
        (row,) = re.findall(rf"^\| `{name}` \|[^|]+\|([^|]*)\|[^|]+\|$", PAGE, re.M)
        options = facts_of_loss(name).options
        assert "as `focal`" in row or all(f"`{option}`" in row for option in options)
        assert len(re.findall(rf"^\| `{name}` \|", PAGE, re.M)) == 2


def test_the_page_leads_from_an_own_loss_and_weights_to_a_table(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")
    folder = checkout.folder
    (folder / "my_losses.py").write_text(block("python", "# my_losses.py"))
    (folder / "my.yaml").write_text(block("yaml", "# my.yaml"))
    torch.manual_seed(0)
    wide = build_model("unet", 2, 1, 3)
    small = build_model("unet", 2, 1, 4, widths=(2, 4), blocks_per_level=1)
    check, run = block("sh", "attnbench study check").splitlines()

    def typed(line: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=folder,
            env=checkout.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}"
        return done.stdout

    torch.save(wide.state_dict(), folder / "weights.pt")
    said = typed(check)
    assert "warning: cbam on phantom2d starts from weights.pt: " in said
    assert "missing in the file (slots." in said
    assert "2 of another shape (head.weight, head.bias)" in said

    torch.save(small.state_dict(), folder / "weights.pt")
    results = Path("results/mine")
    wanted = [f"tables/{name}.md" for name in ("comparison", "protocol")]
    made = " ".join(str(results / name) for name in (*wanted, "methods.md", "figures/learning.png"))
    typed(f"{run} {made} {SMALL}")
    results = folder / results
    table = (results / "tables" / "comparison.md").read_text().replace("\\_", "_")
    own = "Attention gate (loss ./my_losses.py:smoothed (amount 0.2))"
    assert f"Recipes differ in keys of their own: {own}" in table
    assert "differ in their start: pretrained weights for CBAM (weights.pt, SHA-256 " in table
    methods = " ".join((results / "methods.md").read_text().split())
    assert "Dice + focal, equal weights, gamma 2.0, alpha None (Zhu et al., AnatomyNet" in methods
    assert "own code ./my_losses.py:smoothed, amount 0.2 (fingerprint " in methods
    count = len(small.state_dict())
    assert re.search(rf"CBAM took {count} of \d+ tensors from its file", methods)
    runs = results / "runs" / "phantom2d"
    start = json.loads((runs / "cbam" / "fold0-seed0" / "run.json").read_text())["initial"]
    assert start["loaded"] == count and start["file"] == "weights.pt"
    for model, parts in (("unet", (True, False)), ("attention_gate", (False, False))):
        with (runs / model / "fold0-seed0" / "history.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert all(row["loss"] for row in rows)
        columns = ("loss_dice", "loss_cross_entropy")
        assert {tuple(bool(row[name]) for name in columns) for row in rows} == {parts}
    assert (results / "figures" / "learning.png").stat().st_size > 0

    file = folder / "my_losses.py"
    file.write_text(
        file.read_text().replace("label_smoothing=amount", "label_smoothing=amount / 2")
    )
    planned = typed(f"{run} -n {SMALL}")
    trained = re.findall(r"train ([\w-]+) on phantom2d", planned)
    assert set(trained) == {"attention_gate"}, planned
