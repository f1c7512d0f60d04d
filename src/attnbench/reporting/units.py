"""What counts as a unit of evidence, in words: groups where they are known, else cases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attnbench.catalog import catalog_names, load_entry
from attnbench.reporting.format import count

if TYPE_CHECKING:
    from attnbench.study.settings import Study

UNKNOWN = "unknown"
"""Stands where a number of groups would, which is that of the cases and says nothing."""


def is_own(dataset: str) -> bool:
    """Return whether a dataset is the user's, and not one that the package comes with."""
    return dataset not in catalog_names()


def groups_known(study: Study, dataset: str) -> bool:
    """Return whether it is known which cases of a dataset belong together."""
    return load_entry(dataset, study.catalog).groups_known


def unit_of_evidence(study: Study, datasets: Iterable[str]) -> str:
    """Return `group`, or `case` where groups of none of `datasets` are known."""
    return "group" if any(groups_known(study, name) for name in datasets) else "case"


def new_units(study: Study, datasets: Iterable[str]) -> str:
    """Return whom claims are about: patients, or cases where groups are unknown."""
    known = {groups_known(study, name) for name in datasets}
    if known == {False}:
        return "cases"
    return "patients" if known == {True} else "patients (cases, where groups are unknown)"


def groups_cell(study: Study, dataset: str, groups: float) -> str:
    """Return a number of groups as it stands in a table."""
    return count(groups) if groups_known(study, dataset) else UNKNOWN


def groups_in_words(study: Study, dataset: str, groups: float) -> str:
    """Return a number of groups as it stands behind one of cases: `12 groups`."""
    if not groups_known(study, dataset):
        return "groups unknown"
    return f"{groups:.0f} group{'' if groups == 1 else 's'}"


def origin_of_groups(study: Study, dataset: str) -> str:
    """Return how groups became known; empty where the authors state them, or nobody does."""
    entry = load_entry(dataset, study.catalog)
    if not entry.groups_known:
        return ""
    if is_own(dataset):
        if entry.groups_inferred:
            return "guessed from file names when the data were added"
        return "as stated by whoever added the data"
    return "inferred from the images" if entry.groups_inferred else ""
