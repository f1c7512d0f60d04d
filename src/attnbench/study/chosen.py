"""Some runs of a study, by what a user names of them."""

from __future__ import annotations

from collections.abc import Iterable

from attnbench.errors import StudyError, nearest
from attnbench.study.paths import Run


def chosen(runs: Iterable[Run], **asked: str | int | None) -> list[Run]:
    """Return those of `runs` that are of the dataset, model, fold and seed asked for.

    Args:
        runs: all of them.
        asked: names of fields of `Run`, each with its value; None: any.

    Raises:
        StudyError: no run has one of the values (it says which there are), or all of them together.
    """
    everything = list(runs)
    given = {name: value for name, value in asked.items() if value is not None}
    for name, value in given.items():
        there = {getattr(run, name) for run in everything}
        if value not in there:
            found = nearest(str(value), map(str, there))
            raise StudyError(f"--{name} {value}: the study has no run of it; {found}")
    kept = [
        run for run in everything if all(getattr(run, name) == of for name, of in given.items())
    ]
    if not kept:
        said = ", ".join(f"--{name} {value}" for name, value in given.items())
        raise StudyError(f"no run of the study has {said} together")
    return kept
