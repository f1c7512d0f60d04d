"""Every command of docs/your-model.md, typed as it stands there, on the files that stand there."""

import csv
import re
import subprocess
from pathlib import Path

import pytest

from attnbench.study.reading import read_yaml

pytestmark = pytest.mark.workflow
PAGE = Path(__file__).parents[2] / "docs" / "your-model.md"
# Less training, a smaller network, one fold and two of its controls, and nothing else.
SMALL = (
    "training='{steps: 3, batch: 2, patch_2d: [16, 16], validate_every: 2}'"
    " backbone='{widths: [8, 16], blocks_per_level: 1}' controls='[gamma0, parameters]'"
    " datasets='[{name: phantom2d, size: [32, 32]}]'"
    " folds='{outer: 2, inner: 2, run: [0]}' analysis='{bootstrap: 200}' metrics='[dice]'"
)


def written(language: str) -> list[str]:
    """The blocks of a language on the page, above the section on external networks."""
    page = PAGE.read_text(encoding="utf-8").partition("## External networks")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


def test_the_page_leads_from_a_gate_to_a_figure_and_a_change_of_it_to_its_runs(untouched, tmp_path):
    checkout = untouched.copy(tmp_path / "checkout")
    (gate,), (study,), (block,) = written("python"), written("yaml"), written("sh")
    assert len([line for line in gate.splitlines() if line.strip()]) <= 18
    (checkout.folder / "my_attention.py").write_text(gate)
    (checkout.folder / "my_study.yaml").write_text(study)
    typed = block.splitlines()
    assert [line.split()[0] for line in typed] == ["attnbench", "attnbench", "snakemake"]
    for line in typed:
        less = f"--config {SMALL}" if line.startswith("snakemake") else ""
        run = subprocess.run(
            ["bash", "-ec", f"{line} {less}"],
            cwd=checkout.folder,
            env=checkout.environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, f"{line}\n{run.stdout}\n{run.stderr}"
    results = checkout.folder / "results" / "my_gate"
    for figure in ("effects", "attention_phantom2d"):
        assert (results / "figures" / f"{figure}.png").stat().st_size > 0
    methods = (results / "methods.md").read_text()
    (source,) = {
        placement["source"]
        for model in read_yaml(results / "study.yaml")["models"]
        for placement in model["slots"].get("skip", [])
    }
    assert f"My gate (`./my_attention.py:MyGate`, source {source[:12]})" in methods
    with (results / "tables" / "gates.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["mechanism"] for row in rows} == {"My gate"}
    assert {(row["model"], row["scale"] == "0.0") for row in rows} == {
        ("my_gate", False),
        ("my_gate-gamma0", True),
    }
    path = checkout.folder / "my_attention.py"
    path.write_text(path.read_text().replace("width=8", "width=12"))
    plan = subprocess.run(
        ["bash", "-ec", f"{typed[-1]} -n --config {SMALL}"],
        cwd=checkout.folder,
        env=checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert plan.returncode == 0, plan.stdout
    trained = re.findall(r"^Job \d+: train (\S+) on phantom2d", plan.stdout, re.M)
    assert sorted(trained) == ["my_gate", "my_gate-gamma0", "my_gate-parameters"]
