"""Tables that only the page has: models, slopes of difficulty, environment and hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.files import read_json
from attnbench.reporting.format import NOTHING, count, interval, p_value, scaled
from attnbench.reporting.frames import read_frame, records
from attnbench.reporting.tables.facts import model_differences
from attnbench.reporting.tables.render import Block, Table
from attnbench.reporting.words import display_measure, display_name
from attnbench.scoring.definitions import METRICS, main_metrics

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.models import ModelSettings
    from attnbench.study.settings import Study

_DIGITS = 4


def tabulate_models(results: Results) -> Table:
    """Every model with what differs from the shared backbone, parameters and FLOPs per dataset."""
    frame = results.frame("cost")
    sizes = {(row["dataset"], row["model"]): row for row in records(frame)}
    return Table(
        name="models",
        caption="Models: their own settings, size and operations",
        head=("Model", "Role", "Own settings", "Parameters", "FLOPs"),
        align=("l", "l", "l", "r", "r"),
        blocks=tuple(
            Block(
                results.dataset_label(dataset),
                tuple(
                    _model_row(results, model, sizes.get((dataset, model.name), {}))
                    for model in results.study.models
                ),
            )
            for dataset in results.datasets
        ),
        notes=(
            "FLOPs: one forward pass of one training patch. Settings are those that differ from "
            "the shared backbone, or of a control from its variant.",
        ),
        frame=frame,
    )


def _model_row(results: Results, model: ModelSettings, size: dict[str, Any]) -> tuple[str, ...]:
    role = "control" if model.control else "variant"
    return (
        results.label(model.name),
        "baseline" if model.name == results.baseline else role,
        model_differences(results.study, model) or NOTHING,
        *(scaled(size.get(key, float("nan"))) for key in ("parameters", "flops")),
    )


def slopes(study: Study) -> Table:
    """Slope of the benefit over every measure of difficulty, by the first main metric."""
    metric = main_metrics(study.metrics)[0]
    frame = read_frame(study, "difficulty")
    frame = frame[frame["metric"] == metric]
    lacking = [
        "No slope yet: it needs a model beside the baseline and cases of measured difficulty."
    ] * frame.empty
    return Table(
        name="slopes",
        caption=f"Gain in {METRICS[metric].label} per standard deviation of a measure of "
        "difficulty",
        head=("Measure", "Model", "Slope", "p (Holm)", "Cases", "Groups"),
        align=("l", "l", "r", "r", "r", "r"),
        blocks=tuple(
            Block(
                display_name(part.name),
                tuple(_slope(row) for row in records(frame[frame["dataset"] == part.name])),
            )
            for part in study.datasets
        ),
        notes=(
            "Contrast, sharpness, size and compactness are high in easy cases; blur and clutter "
            "in hard ones.",
            *lacking,
        ),
        frame=frame,
    )


def _slope(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        display_measure(row["measure"], bool(row["known_truth"])),
        display_name(row["model"]),
        interval(row["slope"], row["low"], row["high"], _DIGITS, sign=True),
        p_value(row["p_holm"]),
        count(row["cases"]),
        count(row["groups"]),
    )


def environment(study: Study) -> Table:
    """What the runs ran with; a value that differs between runs is listed with the number of
    runs that had it.
    """
    facts = _run_facts(study)
    seen: dict[str, list[str]] = {}
    for fact in facts:
        for key, value in (fact.get("versions") or {}).items():
            seen.setdefault(f"{key} version", []).append(str(value))
        for key in ("device", "precision"):
            seen.setdefault(key.capitalize(), []).append(str(fact.get(key)))
    rows = tuple((key, _distinct(values)) for key, values in seen.items())
    return Table(
        name="environment",
        caption="Environment of the runs",
        head=("What", "Value"),
        align=("l", "l"),
        blocks=(Block("", rows),),
        notes=(f"{len(facts)} of {len(list(study.runs()))} runs have been trained.",),
        frame=pd.DataFrame(rows, columns=["what", "value"]),
    )


def _distinct(values: list[str]) -> str:
    words = list(dict.fromkeys(values))
    return (
        words[0]
        if len(words) == 1
        else "; ".join(f"{word} ({values.count(word)} runs)" for word in words)
    )


def hashes(study: Study) -> Table:
    """Per run: hashes of data, folds and recipe, and of the weights."""
    keys = ("data_hash", "folds_hash", "recipe_hash", "weights_sha256")
    rows = tuple(
        (
            display_name(fact["dataset"]), display_name(fact["model"]), str(fact["fold"]), str(fact["seed"]),
            *(str(fact.get(key) or NOTHING)[:12] for key in keys),
        )
        for fact in _run_facts(study)
    )  # fmt: skip
    return Table(
        name="hashes",
        caption="Runs and their hashes",
        head=("Dataset", "Model", "Fold", "Seed", "Data", "Folds", "Recipe", "Weights"),
        align=("l", "l", "r", "r", "l", "l", "l", "l"),
        blocks=(Block("", rows),),
        notes=("First 12 characters of each SHA-256; whole ones are in every run's run.json.",),
        frame=pd.DataFrame(rows),
    )


def _run_facts(study: Study) -> list[dict[str, Any]]:
    """Facts of every trained run."""
    paths = [study.layout.run(run) / "run.json" for run in study.runs()]
    return [read_json(path) for path in paths if path.exists()]
