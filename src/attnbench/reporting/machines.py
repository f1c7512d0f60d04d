"""What has to be said wherever runs of different machines are compared, which the study accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnbench.analysis.machines import FACTS_IN_WORDS, machines_in_words

if TYPE_CHECKING:
    from attnbench.reporting.results import Results


def machine_notes(results: Results) -> list[str]:
    """Return a sentence per fact in which the machines of the runs differ; empty if in none."""
    frame = results.frame("machines")
    return [
        f"Runs of different {FACTS_IN_WORDS[str(fact)]} are compared, as the study accepts "
        f"(`analysis.accept_mixed`): {'; '.join(machines_in_words(rows))}. Part of a difference "
        "may be one of machines."
        for fact, rows in frame.groupby("fact", sort=False)
        if len(set(rows["value"])) > 1
    ]
