"""Every model of the zoo passes through the real workflow: prepared, split and trained by its
word alone.
"""

import json
import shutil
from pathlib import Path

import pytest

from attnbench.check import load_study

pytestmark = pytest.mark.workflow
STUDIES = Path(__file__).parents[2] / "studies"


@pytest.mark.parametrize("name", ["zoo_small", "zoo_small_3d"])
def test_every_model_trains(untouched, tmp_path, name):
    checkout = untouched.copy(tmp_path / "checkout")
    shutil.copy2(STUDIES / f"{name}.yaml", checkout.folder)
    run = checkout.snakemake_on("--configfile", f"{name}.yaml", "--until", "train")
    assert run.returncode == 0, run.stdout
    study = load_study(STUDIES / f"{name}.yaml")
    for run in study.runs():
        facts = json.loads(
            (checkout.folder / "results" / name / "runs" / str(run) / "run.json").read_text()
        )
        assert facts["model"] == run.model and facts["steps"] == study.training.steps
