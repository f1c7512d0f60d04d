"""Losses and pretrained weights in words, as far as models differ in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attnbench.study.loss import LossSettings
from attnbench.training.loss_names import facts_of_loss
from attnbench.training.losses import loss_names

if TYPE_CHECKING:
    from attnbench.reporting.results import Results


def loss_in_full(loss: LossSettings, cite: bool = True) -> str:
    """Return title, options and source of a loss; own code by its reference and fingerprint."""
    given = dict(loss.options)
    if loss.name not in loss_names():
        # Its file may be gone when a report is written: nothing is read of it.
        known = f"own code {loss.name}"
        source = f"fingerprint {loss.source[:12]}" if loss.source else ""
    else:
        facts = facts_of_loss(loss.name)
        known, source = facts.title, facts.source if cite else ""
        given = {**(facts.options or {}), **given}
    options = "".join(f", {name} {value}" for name, value in given.items())
    return f"{known}{options}{f' ({source})' if source else ''}"


def own_losses(results: Results) -> Iterator[str]:
    """Yield which models are trained by another loss than the study's, and by which."""
    labels: dict[str, list[str]] = {}
    for model in results.study.trained_models:
        if model.training and "loss" in model.training.model_fields_set:
            text = loss_in_full(model.training.loss)
            labels.setdefault(text, []).append(results.label(model.name))
    yield from (f"Loss of {', '.join(named)}: {text}." for text, named in labels.items())


def pretrained_notes(results: Results) -> Iterator[str]:
    """Yield which models start from pretrained weights, and that all others do not."""
    labels: dict[str, list[str]] = {}
    for model in results.study.trained_models:
        if model.initial:
            shown = f"{model.initial.file}, SHA-256 {(model.initial.source or 'unknown')[:12]}"
            labels.setdefault(shown, []).append(results.label(model.name))
    if not labels:
        return
    said = "; ".join(f"{', '.join(named)} ({shown})" for shown, named in labels.items())
    if sum(map(len, labels.values())) == len(results.study.trained_models) and len(labels) == 1:
        yield f"Every model starts from pretrained weights: {said}."
    else:
        yield (
            f"Models differ in their start: pretrained weights for {said}; all others start from "
            "random weights. What the former gain on the latter may be due to their start."
        )
