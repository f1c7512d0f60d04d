"""Whether a run was trained already, by another process maybe."""

from __future__ import annotations

from attnbench.files import read_json
from attnbench.study.paths import STAGES, Run
from attnbench.study.settings import Study
from attnbench.training.run import load_inputs


def is_trained(study: Study, run: Run) -> bool:
    """Whether the files of a training are there, of this very recipe, data and folds."""
    folder = study.layout.run(run)
    path = folder / STAGES["train"]
    if not all((folder / name).is_file() for name in ("model.pt", "history.csv", path.name)):
        return False
    expected = {f"{name}_hash": value for name, value in load_inputs(study, run).hashes.items()}
    return expected.items() <= read_json(path).items()
