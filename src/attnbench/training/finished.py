"""Whether a run was trained already, by another process maybe."""

from __future__ import annotations

from attnbench.errors import SealError
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.training.run import load_inputs
from attnbench.training.sealed import FILES, sealed_files
from attnbench.training.stamp import stamp_of


def why_untrained(study: Study, run: Run) -> str:
    """Why the files of a training cannot be taken for that of a run; empty where they can.

    They can where their seal holds, and is that of this very recipe, data and folds.
    """
    expected = stamp_of(run, load_inputs(study, run).hashes, {})
    try:
        sealed_files(study, run, *FILES["train"], expected=expected)
    except SealError as error:
        return str(error)
    return ""
