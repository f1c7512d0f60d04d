"""What has to be said beside every comparison: whose recipe differs, and who was not done yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.reporting.losses import pretrained_notes
from attnbench.reporting.results import records
from attnbench.study.describe import given_in_words
from attnbench.study.groups import TrainingSettings
from attnbench.training.budget import short_budgets

if TYPE_CHECKING:
    from attnbench.reporting.results import Results

_OF_PATCHES = ("steps", "batch", "foreground", "augmentation")


def recipe_notes(results: Results) -> list[str]:
    """Return sentences on what models do not share of the recipe; empty if they share it all."""
    return [*_swept(results), *_own(results), *_in_parts(results), *pretrained_notes(results)]


def _swept(results: Results) -> Iterator[str]:
    for key, values in (results.study.training.sweep or {}).items():
        grid = ", ".join(f"{value:.12g}" for value in values)
        yield (
            f"Recipes differ: every model, controls included, has the {key.replace('_', ' ')} that "
            f"did best of {grid} on the inner validation of each fold, which no score here is from."
        )


def _own(results: Results) -> Iterator[str]:
    of_models: dict[str, list[str]] = {}
    patches = False
    for model in results.study.models:
        if model.training:
            of_models.setdefault(given_in_words(model.training), []).append(model.name)
            patches |= bool(model.training.model_fields_set.intersection(_OF_PATCHES))
    if of_models:
        said = "; ".join(
            f"{', '.join(map(results.label, names))} ({text})" for text, names in of_models.items()
        )
        other = ", and training patches are not the same for all models" if patches else ""
        yield f"Recipes differ in keys of their own: {said}; all other keys are shared{other}."


def _in_parts(results: Results) -> Iterator[str]:
    """Yield that batches were taken in parts, and that the budget is the same all the same."""
    study = results.study
    names = [
        model.name
        for model in study.trained_models
        if study.training.overridden_by(model.training or TrainingSettings()).accumulate > 1
    ]
    if names:
        yield (
            f"Batches were taken in parts, where memory is short, by {_listed(results, names)}: "
            "number and order of patches, steps and learning rates are those of whole batches, and "
            "so are the gradients but for rounding; training times are not, since every patch "
            "passes forward twice."
        )


def _listed(results: Results, names: Sequence[str]) -> str:
    every = len(names) == len(results.study.trained_models)
    return "every model" if every else ", ".join(map(results.label, names))


def undertrained_notes(results: Results) -> list[str]:
    """Return a sentence per dataset on the models whose runs still improved at the end."""
    rows = records(results.frame("cost"))
    rising: dict[str, list[str]] = {}
    for row in rows:
        if row["rising"] > 0:
            said = f"{results.label(row['model'])} in {row['rising']:.0f} of {row['told']:.0f} runs"
            rising.setdefault(row["dataset"], []).append(said)
    notes = [
        f"{results.dataset_label(dataset)} still improved at the end of training (validation Dice "
        f"of the last quarter above that of the third by more than "
        f"{results.study.analysis.margin:g}): {', '.join(models)}; more steps may change the "
        "comparison."
        for dataset, models in rising.items()
    ]
    untold = [
        results.dataset_label(row["dataset"])
        for row in rows
        if row["runs"] - row["diverged"] > row["told"]
    ]
    if untold:
        notes.append(
            f"{', '.join(dict.fromkeys(untold))}: too few validations to tell whether models still "
            "improved at the end of training; lower `training.validate_every`."
        )
    return notes


def undertrained_in_short(results: Results) -> list[str]:
    """Return sentences on runs that still improved at the end, and on budgets that are short."""
    counts: dict[str, tuple[int, int]] = {}
    for row in records(results.frame("cost")):
        rising, told = counts.get(row["dataset"], (0, 0))
        counts[row["dataset"]] = (rising + int(row["rising"]), told + int(row["told"]))
    said = [
        f"{rising} of {told} runs on {results.dataset_label(dataset)}"
        for dataset, (rising, told) in counts.items()
        if rising
    ]
    improved = [f"Longer training: {', '.join(said)} still improved at the end (costs)."]
    return [*improved * bool(said), *_short_budgets(results)]


def _short_budgets(results: Results) -> Iterator[str]:
    """Yield what `study check` warns of: budgets that are too short for their learning rate."""
    labels: dict[tuple[int, float, int], list[str]] = {}
    for budget in short_budgets(results.study):
        key = (budget.steps, max(budget.rates), budget.enough)
        labels.setdefault(key, []).append(results.dataset_label(budget.dataset))
    for (steps, rate, enough), named in labels.items():
        yield (
            f"Enough training: {steps} steps are few for a learning rate of {rate:g}, which takes "
            f"{enough} or more ({', '.join(dict.fromkeys(named))})."
        )
