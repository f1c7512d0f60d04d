"""A folder to start from: a first study, what to type, and what git leaves out."""

from __future__ import annotations

import shlex
from pathlib import Path

from attnbench.errors import StudyError, listed
from attnbench.files import write_text
from attnbench.intake.study_text import MODELS, first_study

STUDY = "my_study.yaml"
DATASET = "nuclei_mini"  # real images within the package: nothing is downloaded
README = f"""# What to type in this folder

    attnbench study check {STUDY}   # what it would run, and what is wrong with it
    attnbench run {STUDY}           # trains, scores, compares; after Ctrl-C the same goes on
    attnbench status {STUDY}        # done, running, failed, left, and how long it will take
    attnbench show {STUDY}          # the comparison, and where everything lies

Read `results/{DATASET}/report.html` first. Other models: `attnbench models`; other data:
`attnbench datasets`. Your own images: `attnbench dataset add FOLDER --name mine`, then
`attnbench study new --dataset mine > mine.yaml`.
"""
OWN_FILE = "my_attention.py"
OWN_MODELS = f"""\
models:  # others: attnbench models
  - unet
  - name: mine  # yours; after a change: attnbench model check ./{OWN_FILE}:MyGate
    slots: {{skip: "./{OWN_FILE}:MyGate"}}
# Plain U-Nets as large and as costly; what is it that helps: gamma0, random, conv1x1
controls: [parameters, flops]"""
IGNORED = "/results/\n/.snakemake/\n__pycache__/\n"


def write_project(folder: Path, mechanism: str | None = None) -> str:
    """Write a first study, a README and a `.gitignore`; return what to type now.

    Args:
        folder: made if it is not there.
        mechanism: text of a file with a mechanism `MyGate`, which the study then compares.

    Raises:
        StudyError: `folder` has one of these files, or is no folder; nothing is written then.
    """
    content = {
        STUDY: first_study(DATASET, (), MODELS if mechanism is None else OWN_MODELS, STUDY),
        "README.md": README,
        ".gitignore": IGNORED,
        **({} if mechanism is None else {OWN_FILE: mechanism}),
    }
    taken = [name for name in content if (folder / name).exists()]
    if taken or (folder.exists() and not folder.is_dir()):
        found = f"has {listed(taken)} already" if taken else "is a file"
        raise StudyError(f"{folder} {found}; nothing was written. Name another folder")
    for name, text in content.items():
        write_text(folder / name, text)
    there = shlex.quote(str(folder))
    return f"written: {', '.join(content)}\nthen type:\n  cd {there}\n  attnbench run {STUDY}"
