"""An inspection in words, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.data.scan.inspect import Inspection

_SHOWN = 10


def in_words(inspection: Inspection) -> Iterator[str]:
    """Yield the lines that say what was found: leaks first, then the rest, ten of each kind."""
    summary, leaks = inspection.summary, inspection.leaks
    yield f"{summary.dataset}: {summary.cases} cases of {summary.groups} groups inspected"
    within = [pair for pair in inspection.pairs if not pair.across_groups]
    yield f"copies in different groups: {len(leaks) or 'none'}"
    yield from _listed([str(pair) for pair in leaks])
    yield f"copies within a group, which are no leak: {len(within) or 'none'}"
    yield from _listed([str(pair) for pair in within])
    if not summary.complete:
        yield (
            f"  so many images are alike that only the nearest were compared (hashes that differ "
            f"in up to {summary.reach:.1f} of 64 bits): copies with a larger shift or scale may be "
            "missing"
        )
    kinds = dict.fromkeys(finding.kind for finding in inspection.findings)
    for kind in kinds:
        own = [finding for finding in inspection.findings if finding.kind == kind]
        yield f"{kind}: {len(own)}"
        yield from _listed([f"{one.case}: {one.text}" if one.case else one.text for one in own])
    if not kinds:
        yield "nothing else stands out"


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN} more"
