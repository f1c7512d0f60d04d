"""What docs/api.md and its notebook show is run as it stands there, in an empty folder."""

import json
import re
from pathlib import Path

import matplotlib
import pytest

DOCS = Path(__file__).parents[1] / "docs"
SCRIPTS = dict(
    re.findall(
        r"<!-- script: (\S+) -->\n```python\n(.*?)```",
        (DOCS / "api.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)
NOTEBOOK = json.loads((DOCS / "notebooks" / "first_steps.ipynb").read_text(encoding="utf-8"))


def run(source: str) -> None:
    exec(compile(source, "<docs>", "exec"), {"__name__": "__main__"})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")


def test_own_scores_are_compared(capsys):
    run(SCRIPTS["compare_my_scores.py"])
    # Mean and Student's interval of the six patients' mean differences, by hand.
    assert "Dice +0.032 [+0.024, +0.040]" in capsys.readouterr().out


def test_a_run_is_trained_and_predicts(capsys, tmp_path):
    run(SCRIPTS["train_and_predict.py"])
    printed = capsys.readouterr().out
    assert "HD95" in printed and "(256, 256) (2, 256, 256)" in printed
    assert (tmp_path / "scratch/runs/nuclei_mini/cbam/fold0-seed0/model.pt").is_file()


def test_the_notebook_runs_and_was_run(capsys):
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    # One after the other in one namespace, as a kernel does.
    run("\n".join("".join(cell["source"]) for cell in cells))
    printed = capsys.readouterr().out
    shown = "".join("".join(out.get("text", "")) for cell in cells for out in cell["outputs"])
    assert printed.splitlines()[:2] == shown.splitlines()[:2]


def test_outputs_of_the_notebook_are_small_and_name_no_machine():
    text = json.dumps(NOTEBOOK["cells"])
    assert len(text) < 60_000
    assert not re.search(r"/(home|root|work|tmp|Users)/", text)
