"""A study against what the catalog says of its datasets: licences, and images that they share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from attnbench.catalog import Entry, LocalOrigin, entry_files, load_entry, share_images
from attnbench.catalog.entry import LicenceTerms
from attnbench.errors import StudyError, nearest

if TYPE_CHECKING:
    from attnbench.study.settings import Study

RESTRICTED: dict[LicenceTerms, str] = {
    "non_commercial": "for non-commercial use only",
    "unclear": "unclear, as what it allows is not said",
}


def refuse_unsuitable(study: Study, source: str) -> None:
    """Refuse what the catalog rules out, before anything is downloaded.

    Raises:
        StudyError: a licence that is not open was not accepted, a transfer tests on images that
            were trained on, or a key names no dataset; all at once, `source` names the file.
    """
    problems = [*_unknown_names(study), *_not_accepted(study), *_tested_on_their_own(study)]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise StudyError(f"{source}: {len(problems)} problem(s)\n{lines}")


def same_images(study: Study) -> Iterator[str]:
    """Yield a warning for any two datasets of a study that have images in common."""
    for one, other in combinations(_entries(study), 2):
        if share_images(one, other):
            yield (
                f"{one.name} and {other.name} have images in common: their results are not "
                "independent of each other"
            )


def _unknown_names(study: Study) -> Iterator[str]:
    files = entry_files(study.catalog)
    known = {*files, *(path.stem for path in files.values())}
    keys = {"accept_licences": study.accept_licences, "data.mirrors": tuple(study.data.mirrors)}
    for key, names in keys.items():
        for name in names:
            if name not in known:
                yield f"{key}: no such dataset as {name!r}; {nearest(name, known)}"


def _not_accepted(study: Study) -> Iterator[str]:
    asked = {}
    for entry in _entries(study):
        family = entry.family or entry.name
        restricted = entry.licence_terms in RESTRICTED and not isinstance(entry.origin, LocalOrigin)
        if restricted and not {entry.name, family} & {*study.accept_licences}:
            asked[family] = entry
    names = ", ".join([*study.accept_licences, *asked])
    for family, entry in asked.items():
        yield (
            f"datasets: the licence of {family} is {RESTRICTED[entry.licence_terms]}. It says: "
            f"{entry.licence} If you may use these images under it, say so in the study: "
            f"`accept_licences: [{names}]`"
        )


def _tested_on_their_own(study: Study) -> Iterator[str]:
    for number, transfer in enumerate(study.transfer):
        one, other = (load_entry(name, study.catalog) for name in (transfer.train, transfer.test))
        if share_images(one, other):
            yield (
                f"transfer[{number}]: {one.name} and {other.name} have images in common; an "
                "external test set has none that a model was trained on"
            )


def _entries(study: Study) -> list[Entry]:
    return [load_entry(dataset.name, study.catalog) for dataset in study.datasets]
