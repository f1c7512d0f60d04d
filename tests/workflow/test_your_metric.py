"""Every command of docs/your-metric.md, on a finished study."""

import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import yaml

from .conftest import Checkout, jobs_in

PAGE = Path(__file__).parents[2] / "docs" / "your-metric.md"
SCORED_AGAIN = {"score", "gather", "analyse"}
FOLLOWING = SCORED_AGAIN | {"tables", "figure", "report", "export", "attend"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def planned(checkout: Checkout) -> dict[str, int]:
    return jobs_in(checkout.snakemake_on("--configfile", "my.yaml", "-n"))


def test_a_metric_of_your_own_in_a_finished_study(finished):
    volume_similarity, specificity = blocks("python")
    path = finished.folder / "my_metrics.py"
    path.write_text(volume_similarity + "\n\n" + specificity)
    study = yaml.safe_load((finished.folder / "tiny.yaml").read_text())
    [named, *_] = (yaml.safe_load(block) for block in blocks("yaml"))
    (finished.folder / "my.yaml").write_text(yaml.safe_dump({**study, **named}))
    jobs = planned(finished)
    assert SCORED_AGAIN <= jobs.keys() <= FOLLOWING
    assert jobs["score"] == 4
    for line in "".join(blocks("bash")).splitlines():
        command = shlex.split(line)
        if command[0] == "snakemake":
            command = finished.command(*command[1:])
        run = subprocess.run(
            command, cwd=finished.folder, env=finished.environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
    scores = pd.read_csv(finished.results / "scores.csv")
    assert set(scores["metric"]) == {"dice", "volume_similarity"}
    assert scores.groupby("metric")["case"].nunique().nunique() == 1
    protocol = (finished.results / "tables" / "protocol.csv").read_text()
    assert "Own code: ./my_metrics.py:volume_similarity, " in protocol
    assert planned(finished) == {}
    path.write_text(path.read_text() + "\n\n# A comment.\n")
    assert planned(finished) == {}
    path.write_text(path.read_text().replace("1 - abs(a - b)", "1 - 2 * abs(a - b)"))
    assert planned(finished) == jobs
