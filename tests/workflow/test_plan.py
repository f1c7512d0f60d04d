"""Planning a study takes work in proportion to its runs."""

import json
import pstats
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow
RUNS_PER_SEED = 4


def calls(checkout, seeds: int, folder: Path) -> dict[tuple[str, int, str], int]:
    """How often each function is called when the study with so many seeds is planned."""
    profile = folder / f"{seeds}.profile"
    command = [
        sys.executable,
        "-m",
        "cProfile",
        "-o",
        str(profile),
        *checkout.command("-n", "--quiet", "all")[1:],
    ]
    command += ["--configfile", "tiny.yaml", "--config", f"seeds={json.dumps(list(range(seeds)))}"]
    subprocess.run(
        command, cwd=checkout.folder, env=checkout.environment, check=True, capture_output=True
    )
    return {function: numbers[1] for function, numbers in pstats.Stats(str(profile)).stats.items()}


def test_no_function_is_called_out_of_proportion(untouched, tmp_path):
    few, many = (calls(untouched, seeds, tmp_path) for seeds in (50, 100))
    busy = {function: number for function, number in few.items() if number > 50 * RUNS_PER_SEED}
    assert busy
    growth = {function: many.get(function, 0) / number for function, number in busy.items()}
    assert {function: times for function, times in growth.items() if times > 2.2} == {}


STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_ready_study_is_planned(untouched, path: Path):
    run = untouched.snakemake_on("-n", "--quiet", "all", "--configfile", str(path))
    assert run.returncode == 0, run.stdout
