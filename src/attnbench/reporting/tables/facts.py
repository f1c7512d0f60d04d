"""The datasets and the protocol: facts of the study, before any result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from attnbench.catalog import load_entry
from attnbench.catalog.suitable import RESTRICTED
from attnbench.files import read_json
from attnbench.models.matching import TOLERANCE
from attnbench.reporting.format import NOTHING, count
from attnbench.reporting.losses import loss_in_full
from attnbench.reporting.splits import dataset_notes
from attnbench.reporting.tables.render import Block, Cell, Column, Row, Table, plain_row
from attnbench.reporting.units import (
    UNKNOWN,
    groups_in_words,
    groups_known,
    is_own,
    origin_of_groups,
    unit_of_evidence,
)
from attnbench.reporting.words import display_unit
from attnbench.scoring.definitions import METRICS, EmptyValue, stated_rule
from attnbench.shift.kinds import requested_kinds
from attnbench.study.describe import describe, in_words
from attnbench.study.groups import COPIES, SCHEMES
from attnbench.study.loss import DEFAULT_LOSS
from attnbench.study.models import ModelSettings
from attnbench.study.split import SPLIT_KEYS

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.settings import Study

_DATASET_COLUMNS = (
    "dataset", "title", "task", "modality", "ndim", "channels", "classes", "cases", "groups",
    "groups_inferred", "groups_unknown", "spacing", "size", "spacing_unit", "licence",
    "licence_terms", "citation", "content_hash",
)  # fmt: skip
_IN_FULL = 3


def tabulate_datasets(results: Results) -> Table:
    """Show every dataset with classes, cases, groups, grid and licence; citations in the notes."""
    rows = [_facts(results, name) for name in results.every_dataset]
    labels = [results.dataset_label(name) for name in results.every_dataset]
    labelled = list(zip(labels, rows, strict=True))
    return Table(
        name="datasets",
        caption="Datasets: what they show, how many cases, and under which licence",
        columns=(
            *(Column(name, r"p{0.13\linewidth}") for name in ("Dataset", "Modality", "Classes")),
            *map(Column, ("Cases", "Groups")),
            Column("Grid", r"p{0.13\linewidth}"),
            Column("Licence", r"p{0.24\linewidth}"),
        ),
        blocks=(Block("", tuple(_dataset_row(label, row) for label, row in labelled)),),
        notes=(
            *_group_notes(results, labels),
            *(f"{label}: {text}" for label, row in labelled if (text := _source(label, row))),
            *(
                f"{label}: not prepared yet, cases are not counted"
                for label, row in labelled
                if not row["cases"]
            ),
        ),
        frame=pd.DataFrame(rows, columns=list(_DATASET_COLUMNS)),
    )  # fmt: skip


def _facts(results: Results, dataset: str) -> dict[str, Any]:
    """Return facts of a dataset: from its prepared store, before that from its catalog entry."""
    path = results.layout.prepared(dataset) / "dataset.json"
    entry = load_entry(dataset, results.study.catalog)
    if path.exists():
        known = read_json(path)
    else:
        known = {key: getattr(entry, key, None) for key in _DATASET_COLUMNS}
        known["groups"], known["groups_unknown"] = entry.count_groups(), not entry.groups_known
    known["licence_terms"] = entry.licence_terms
    facts = {key: known.get(key) for key in _DATASET_COLUMNS}
    for key in ("spacing", "size"):
        facts[key] = "x".join(f"{side:g}" for side in known.get(key) or ())
    classes = ", ".join(map(str, known["classes"].values()))
    return {**facts, "dataset": dataset, "classes": classes}


def _dataset_row(label: str, row: dict[str, Any]) -> Row:
    unit = display_unit(row["spacing_unit"] or "")
    grid = f"{row['spacing'].replace('x', ' × ')} {unit}" if row["spacing"] else "as acquired"
    if row["size"]:
        grid = f"{row['size'].replace('x', ' × ')} pixels"
    return plain_row(
        label,
        ", ".join([*stated(row["modality"]), f"{row['ndim']}-D"]),
        row["classes"],
        count(row["cases"]) if row["cases"] else NOTHING,
        Cell(
            _groups(row),
            mark="*" if row["groups_inferred"] and not row["groups_unknown"] else "",
        ),
        grid,
        _licence(row),
    )


def _groups(row: dict[str, Any]) -> str:
    if row["groups_unknown"]:
        return UNKNOWN
    return count(row["groups"]) if row["groups"] else NOTHING


def data_in_short(results: Results) -> str:
    """Return in a line what the data are: cases, groups and classes; above three sets a count."""
    named = [(name, _facts(results, name)) for name in results.every_dataset]
    if len(named) > _IN_FULL:
        cases = sum(row["cases"] or 0 for _, row in named)
        return f"Data: {len(named)} datasets, {count(cases)} cases (datasets, below)."
    return f"Data: {'; '.join(_in_short(results, *one) for one in named)}."


def _in_short(results: Results, name: str, row: dict[str, Any]) -> str:
    label, classes = results.dataset_label(name), row["classes"].split(", ")
    title = [] if row["title"] == label or not is_own(name) else stated(row["title"])
    shown = ", ".join(classes) if len(classes) <= _IN_FULL else f"1 to {len(classes)}"
    size = (
        f"{count(row['cases'])} cases, {groups_in_words(results.study, name, row['groups'])}"
        if row["cases"]
        else "not prepared yet"
    )
    return f"{label}{f' ({title[0]})' if title else ''}, {size}; classes {shown}"


def _group_notes(results: Results, labels: list[str]) -> Iterator[str]:
    """Yield what groups are, how those with a mark became known, and where there are none."""
    study = results.study
    named = list(zip(results.every_dataset, labels, strict=True))
    if any(groups_known(study, name) for name, _ in named):
        yield "Groups (patients, animals, slides) are never split across drawn folds."
    guessed: dict[str, list[str]] = {}
    for name, label in named:
        if load_entry(name, study.catalog).groups_inferred and (
            origin := origin_of_groups(study, name)
        ):
            guessed.setdefault(origin, []).append(label)
    for origin, of in guessed.items():
        yield f"* {', '.join(of)}: {origin}, not stated by its authors."


def _source(label: str, row: dict[str, Any]) -> str:
    """Return title and citation of a dataset, as far as they are stated and say more than it."""
    title = [] if row["title"] == label else stated(row["title"])
    return ". ".join(text.rstrip(".") for text in (*title, *stated(row["citation"])))


def stated(text: str | None) -> list[str]:
    """Return a text of the catalog in a list, empty where nobody stated any."""
    return [text] if text and text != "not stated" else []


def _licence(row: dict[str, Any]) -> str:
    restricted = RESTRICTED.get(row["licence_terms"])
    return f"{restricted.capitalize()}. {row['licence']}" if restricted else row["licence"]


def tabulate_protocol(results: Results) -> Table:
    """Show the shared recipe, what differs from it, the metrics' rules and the statistics."""
    shared, models = tuple(_shared_rows(results)), tuple(_model_rows(results))
    return Table(
        name="protocol",
        caption="Protocol, the same for every model except where a row names one",
        columns=(Column("Setting", r"p{0.24\linewidth}"), Column("Value", r"p{0.72\linewidth}")),
        blocks=tuple(
            Block(title, tuple(plain_row(*row) for row in rows))
            for title, rows in (("", shared), ("Models that differ", models))
            if rows
        ),
        notes=(),
        frame=pd.DataFrame([*shared, *models], columns=["setting", "value"]),
    )


def _shared_rows(results: Results) -> Iterator[tuple[str, str]]:
    study = results.study
    unused = _unused_patches(results)
    if study.training.accumulate == 1:
        unused["accumulate"] = None
    training = dict(describe(study.training.model_copy(update=unused)))
    # These have rows of their own.
    del training["augmentation"], training["loss"]
    yield "Datasets", ", ".join(map(results.dataset_label, results.every_dataset))
    yield "Models", ", ".join(map(results.label, results.models))
    yield "Baseline", results.baseline_label
    yield "Backbone", in_words(study.backbone)
    for dataset in study.datasets:
        # Axes, by name, intensities, copies and splits have rows of their own; not resampled is
        # not interpolated.
        label = results.dataset_label(dataset.name)
        elsewhere = ["mirror_axes", "normalisation", "duplicates", *SPLIT_KEYS]
        if not (dataset.spacing or dataset.size):
            elsewhere.append("interpolation")
        said = dataset.model_copy(update=dict.fromkeys(elsewhere))
        if text := in_words(said):
            yield f"Dataset: {label}", text
        if notes := " ".join(dataset_notes(results, dataset)):
            yield f"Split: {label}", notes
    yield "Copies of an image in another group", "; ".join(_copies(results))
    unit = unit_of_evidence(study, results.every_dataset)
    yield "Folds", f"{in_words(study.folds)}; split by {unit}, never across folds"
    yield "Seeds", ", ".join(map(str, study.seeds))
    yield "Training", "; ".join(f"{label} {text}" for label, text in training.items())
    yield "Augmentation", in_words(study.training.augmentation)
    yield "Intensities", "; ".join(_intensities(results))
    yield "Mirrored along", "; ".join(_mirror_axes(results))
    yield "Prediction", _prediction(results)
    yield "Loss", loss_in_full(study.training.loss, cite=study.training.loss != DEFAULT_LOSS)
    yield "Precision", dict(describe(study.compute))["precision"]
    asked = dict(describe(study))
    # Kinds may share a key, whose row has what is asked of each.
    for key in dict.fromkeys(kind.key for kind in requested_kinds(study).values()):
        label = key.replace("_", " ")
        # What is a key of a dataset is said there.
        if label in asked:
            yield label.capitalize(), asked[label]
    units = (load_entry(dataset.name, study.catalog).spacing_unit for dataset in study.datasets)
    printed: dict[str, str] = {unit: display_unit(unit) for unit in units}
    for metric in study.metrics:
        rule = stated_rule(metric, study.scoring, printed)
        yield f"Metric: {METRICS[metric].label}", rule + _empty(metric) + _whose(metric)
    yield (
        "Statistics",
        f"{in_words(study.analysis)}; groups weighted alike; sign-flip permutation test over "
        "groups, corrected resampled t test over folds, Holm's correction",
    )


def _unused_patches(results: Results) -> dict[str, None]:
    """Return the patches of the shared recipe that no dataset is trained by, with None."""
    study = results.study
    used = {
        load_entry(dataset.name, study.catalog).ndim
        for dataset in study.datasets
        if dataset.patch is None
    }
    return {f"patch_{ndim}d": None for ndim in (2, 3) if ndim not in used}


def _copies(results: Results) -> Iterator[str]:
    """Yield what is done about copies of images in other groups, dataset by dataset."""
    for dataset in results.study.datasets:
        generated = load_entry(dataset.name, results.study.catalog).generated
        none = " (its images are generated: there are none)" if generated else ""
        yield f"{results.dataset_label(dataset.name)}: {COPIES[dataset.duplicates]}{none}"


def _mirror_axes(results: Results) -> Iterator[str]:
    """Yield the axes that each dataset is mirrored along, by the catalog's names."""
    for name in results.datasets:
        entry = load_entry(name, results.study.catalog)
        axes = (entry.axes[axis] for axis in results.study.mirror_axes(name, entry.ndim))
        yield f"{results.dataset_label(name)}: {', '.join(axes) or 'no axis'}"


def _intensities(results: Results) -> Iterator[str]:
    """Yield how the intensities of each dataset are normalised, once for those that agree."""
    labels: dict[str, list[str]] = {}
    for name in results.datasets:
        text = SCHEMES[results.study.normalisation(name)]
        labels.setdefault(text, []).append(results.dataset_label(name))
    yield from (f"{', '.join(named)}: {text}" for text, named in labels.items())


def _prediction(results: Results) -> str:
    """Return how probabilities are made of windows and mirror images, in words."""
    study = results.study
    windows = "overlapping windows of a training patch, weighted by a Gaussian"
    if not study.inference.mirroring:
        return f"{windows}; no mirroring at test time"
    entries = {name: load_entry(name, study.catalog) for name in results.datasets}
    passes = (
        f"{results.dataset_label(name)} {2 ** len(study.mirror_axes(name, entry.ndim))}"
        for name, entry in entries.items()
    )
    mirrored = f"mean over mirror images along the axes of training, in passes: {', '.join(passes)}"
    return f"{windows}; {mirrored}"


def _model_rows(results: Results) -> Iterator[tuple[str, str]]:
    for model in results.study.models:
        if text := model_differences(results.study, model):
            yield f"Model: {results.label(model.name)}", text


def model_differences(study: Study, model: ModelSettings) -> str:
    """Return in words what makes a model other than the shared backbone; empty if nothing.

    A control whose name says it all has none: it is its variant but for the control.
    """
    base = ModelSettings(name=model.name)
    variants = [other for other in study.models if other.name == model.control_of]
    for variant in variants:
        control = {"control": model.control, "control_of": model.control_of}
        base = variant.model_copy(update=control)
    return in_words(model, base)


def described(results: Results) -> Iterator[dict[str, Any]]:
    """Yield what is known of every model on every dataset that has been described."""
    for dataset in results.datasets:
        for model in results.models:
            path = results.layout.model(dataset, model)
            if path.is_file():
                yield read_json(path)


def control_notes(results: Results) -> list[str]:
    """Return a note on each control that is not of its target's size, or is the plain U-Net."""
    datasets: dict[str, list[str]] = {}
    for facts in described(results):
        if note := _control_note(facts):
            shown = f"{results.label(facts['model'])}: {note}"
            datasets.setdefault(shown, []).append(results.dataset_label(facts["dataset"]))
    everywhere = len(results.datasets)
    return [
        f"{note}." if len(names) == everywhere else f"{note} ({', '.join(names)})."
        for note, names in datasets.items()
    ]


def _control_note(facts: dict[str, Any]) -> str:
    if facts.get("coincides"):
        return "coincides with the U-Net, no other widths being nearer"
    own, instead = facts.get("mechanism_parameters"), facts.get("stand_in_parameters")
    if own is None or instead is None or abs(instead - own) <= TOLERANCE["parameters"] * own:
        return ""
    return f"{instead:,} parameters in the place of the mechanism's {own:,}; it cannot be nearer"


def _empty(metric: str) -> str:
    """Return the rule of a metric for masks without a voxel of the class."""
    known = METRICS[metric]
    worth = {
        "Both masks empty": known.both_empty,
        "only the prediction empty": known.prediction_empty,
        "only the reference empty": known.reference_empty,
    }
    if set(worth.values()) == {"computed"}:
        return " Empty masks change nothing."
    return f" {'; '.join(f'{case}: {_worth(value)}' for case, value in worth.items())}."


def _whose(metric: str) -> str:
    """Where a metric that is own code stands, and the start of its fingerprint."""
    known = METRICS[metric]
    if known.code is None:
        return ""
    return f" Own code: {known.code}, {(known.source or 'not planned')[:12]}."


def _worth(value: EmptyValue) -> str:
    if isinstance(value, str):
        return {"diagonal": "the image's diagonal", "computed": "as always"}[value]
    # NaN alone differs from itself.
    return "undefined" if value != value else f"{value:g}"
