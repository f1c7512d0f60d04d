"""Every command of docs/your-metric.md, on a finished study."""

import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import yaml

PAGE = Path(__file__).parents[2] / "docs" / "your-metric.md"
SCORED_AGAIN = {"score", "gather", "analyse"}
FOLLOWING = SCORED_AGAIN | {"tables", "figure", "report", "export", "attend"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_a_metric_of_your_own_in_a_finished_study(finished):
    path, study = finished.folder / "my_metrics.py", finished.folder / "tiny.yaml"
    path.write_text("\n\n".join(blocks("python")))
    named = yaml.safe_load(blocks("yaml")[0])
    study.write_text(yaml.safe_dump({**yaml.safe_load(study.read_text()), **named}))
    jobs = finished.planned()
    assert SCORED_AGAIN <= jobs.keys() <= FOLLOWING
    assert jobs["score"] == 4
    for line in "".join(blocks("bash")).replace("my.yaml", study.name).splitlines():
        command = shlex.split(line)
        if command[0] == "snakemake":
            command = finished.command(*command[1:])
        run = subprocess.run(
            command, cwd=finished.folder, env=finished.environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
    scores = pd.read_csv(finished.results / "scores.csv")
    cases = scores.groupby("metric")["case"].nunique().to_dict()
    assert cases == {"dice": 96, "volume_similarity": 96}
    protocol = (finished.results / "tables" / "protocol.csv").read_text()
    assert "Own code: ./my_metrics.py:volume_similarity, " in protocol
    assert finished.planned() == {}
    path.write_text(path.read_text().replace("1 - abs(a - b)", "1 - 2 * abs(a - b)"))
    again = finished.planned()
    assert SCORED_AGAIN <= again.keys() <= FOLLOWING
    assert again["score"] == 4
