"""Predictions made elsewhere in a finished study, by the commands of docs/predictions.md."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

PAGE = Path(__file__).parents[2] / "docs" / "predictions.md"
# The page's study is called otherwise.
NAMES = {"wbc_study.yaml": "tiny.yaml", "wbc": "phantom2d"}


def commands():
    """The page's commands about this study, and the model that it adds."""
    section = PAGE.read_text(encoding="utf-8").partition("## Predictions made elsewhere")[2]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    for name, own in NAMES.items():
        lines = [line.replace(name, own) for line in lines]
    model = re.search(r"^  - (\{name: nnunet.*\})$", section, re.M)
    assert model
    return lines, model[1]


def other_tool(images, folder):
    """What the other tool does: everything brighter than the image's mean is class 1."""
    folder.mkdir(parents=True)
    for path in images.iterdir():
        image = nib.load(path)
        mask = (image.get_fdata() > image.get_fdata().mean()).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, image.affine), folder / path.name.replace("_0000", ""))


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_the_commands_of_the_page_put_another_tool_into_every_table(finished):
    lines, model = commands()
    assert [shlex.split(line)[:2] for line in lines] == [
        ["attnbench", "export-nnunet"],
        ["attnbench", "score-external"],
        ["snakemake", "--cores"],
    ]

    def typed(line):
        words = shlex.split(line)
        module = {"attnbench": "attnbench.cli"}.get(words[0], words[0])
        run = subprocess.run(
            [sys.executable, "-m", module, *words[1:]],
            cwd=finished.folder,
            env=finished.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert run.returncode == 0, run.stdout
        return run.stdout

    typed(lines[0])
    raw = finished.folder / "raw" / "Dataset001_phantom2d"
    for fold in (0, 1):
        folder = finished.folder / "nnunet" / "phantom2d" / f"fold{fold}"
        other_tool(raw / f"imagesTs_fold{fold}", folder)
    study = finished.folder / "tiny.yaml"
    text = study.read_text().replace("attention_gate]", f"attention_gate, {model}]")
    study.write_text(text)
    planned = finished.planned()
    assert planned["score_external"] == 2
    assert not {"train", "predict", "score", "describe", "measure", "trial"} & {*planned}
    said = typed(lines[1])
    assert "Nnunet§" in said and "Nnunet§ minus" in said and "nnU-Net v2.8, 2d" in said
    typed(lines[2])
    table = (finished.results / "tables" / "comparison.md").read_text()
    assert "Nnunet§" in table and "§ Predictions made elsewhere" in table
    # The mean over groups of the organ, from the files themselves.
    scores = []
    for path in sorted((finished.folder / "nnunet").glob("*/*/*.nii.gz")):
        mask = nib.load(path).get_fdata() > 0
        reference = nib.load(raw / "labelsTr" / path.name).get_fdata() == 1
        scores.append({"case": path.name.split(".")[0], "dice": dice(mask, reference)})
    cases = pd.read_csv(finished.results / "data/prepared/phantom2d/cases.csv")
    expected = pd.DataFrame(scores).merge(cases, on="case").groupby("group")["dice"].mean().mean()
    means = pd.read_csv(finished.results / "analysis" / "means.csv")
    row = means.query("model == 'nnunet' and metric == 'dice' and `class` == '1'").iloc[0]
    assert np.isclose(row["mean"], expected) and row["cases"] == len(scores)
    assert r"Nnunet\u00a7 made elsewhere" in (finished.results / "report.html").read_text()
    assert finished.planned() == {}
    # Of two folds one has changed.
    other = next((finished.folder / "nnunet" / "phantom2d" / "fold1").iterdir())
    other.write_bytes(next(raw.joinpath("labelsTr").glob(other.name)).read_bytes())
    assert finished.planned()["score_external"] == 1
