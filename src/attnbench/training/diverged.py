"""A run whose training diverged, as its `run.json` says; read without loading torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.errors import DataError, DivergenceError
from attnbench.files import read_json
from attnbench.study.paths import STAGES

if TYPE_CHECKING:
    from attnbench.study.paths import Layout, Run


def facts_of_divergence(error: DivergenceError) -> dict[str, Any]:
    """What `run.json` and `model.pt` keep of a training that diverged.

    `step`: at which it was noticed; `after`: the last step up to which losses were finite; `says`:
    which numbers were not, and what may be done.
    """
    return {"step": error.step, "after": error.after, "says": str(error)}


def divergence_of(layout: Layout, run: Run) -> dict[str, Any] | None:
    """Return `facts_of_divergence` of a run that diverged; None of any other.

    Raises:
        DataError: `run.json` is no JSON.
    """
    path = layout.run(run) / STAGES["train"]
    if not path.is_file():
        return None
    try:
        facts = read_json(path)
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); train this run again") from error
    found: dict[str, Any] | None = facts.get("diverged") if isinstance(facts, dict) else None
    return found
