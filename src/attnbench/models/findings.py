"""What the checks of a mechanism found, in lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from attnbench.models.contract import CHECKS, Finding
from attnbench.models.names import facts_of
from attnbench.models.registry import Mechanism
from attnbench.study.names import CONTROLS

_NEEDS = {
    "gamma0": "`scale`, parameters that start at zero and make it the identity",
    "uniform": "`logits`, what makes its softmax over positions uneven",
}
_WIDTH = 100


def about(entry: Mechanism) -> str:
    """One line on a mechanism: its label, slots, gate, axes and options."""
    gate = {None: "no gating signal", "coarse": "gating signal one level deeper"}
    options = ", ".join(entry.options()) or "none"
    slots = ", ".join(entry.slots)
    axes = " and ".join(f"{ndim}-D" for ndim in entry.ndims)
    signal = gate.get(entry.gate, "gating signal at its own resolution")
    return f"{entry.name}: {entry.short!r}; slots: {slots}; {signal}; {axes}; options: {options}"


def lines_of(finding: Finding) -> Iterator[str]:
    """A line on what was promised and whether it holds; if not, what was tried, found, and to do.

    >>> list(lines_of(Finding("repeats itself", "2-D", "twice", "fails", "3 of 4", "seed it")))[2]
    '         found: 3 of 4'
    """
    word = {"ok": "ok", "warning": "warning", "fails": "FAILS"}[finding.verdict]
    yield f"{word:8} {finding.form}  {finding.promise}"
    if finding.verdict != "ok":
        for label, text in (
            ("tried", finding.tried),
            ("found", finding.found),
            ("to do", finding.advice),
        ):
            yield from wrap(
                f"{label}: {text}", _WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 16
            )


def summary(entry: Mechanism, findings: Sequence[Finding]) -> str:
    """How many checks passed, and which controls the mechanism can have."""
    counts = dict.fromkeys(("ok", "warning", "fails"), 0)
    for finding in findings:
        counts[finding.verdict] += 1
    untried = len(CHECKS) * len({finding.form for finding in findings}) - len(findings)
    lacks = facts_of(entry.name).lacks
    controls = ", ".join(control for control in CONTROLS if control not in lacks)
    lines = [
        f"{len(findings)} checks: {counts['ok']} ok, {counts['warning']} warnings, "
        f"{counts['fails']} fail" + (f", {untried} not tried" if untried else ""),
        f"controls: {controls}",
        *(f"no {control}: it would have to declare {_NEEDS[control]}" for control in lacks),
    ]
    return "\n".join(lines)
