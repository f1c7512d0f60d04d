"""Model cards: what the trainings of a model on a dataset are, in Hugging Face's form.

Mitchell et al.: Model Cards for Model Reporting. FAT* 2019, arXiv:1810.03993.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from attnbench.catalog import Entry, load_entry
from attnbench.files import read_json
from attnbench.reporting.exports.front_matter import front_matter
from attnbench.reporting.exports.licences import NO_ADVICE, Meaning, meaning_for_weights
from attnbench.reporting.exports.references import (
    UNET,
    Reference,
    bibliography,
    collect_references,
)
from attnbench.reporting.format import decimals, interval
from attnbench.reporting.losses import loss_in_full
from attnbench.reporting.recipes import undertrained_notes
from attnbench.reporting.results import ALL, records
from attnbench.reporting.splits import dataset_notes, split_in_words
from attnbench.reporting.tables.facts import (
    model_differences,
    stated,
    tabulate_protocol,
)
from attnbench.reporting.tables.render import to_md, without_tags
from attnbench.reporting.units import groups_in_words, groups_known, origin_of_groups
from attnbench.reporting.words import display_unit
from attnbench.scoring.definitions import METRICS
from attnbench.study.describe import describe, in_words
from attnbench.study.groups import SCHEMES
from attnbench.training.sealed import facts_of_run
from attnbench.training.stamp import device_in_words

if TYPE_CHECKING:
    from attnbench.reporting.results import Results
    from attnbench.study.paths import Run

_INTENDED = (
    "Research on methods: to compare networks, to check the scores above, or to start from these "
    "weights on data alike. It is no medical device. Nobody has examined whether its masks are "
    "good enough for a diagnosis, a treatment or any other decision about a person; do not use "
    "them for one."
)
_LOADING = """```python
import attnbench

study = attnbench.load_study("{study}")
predictions = attnbench.predict(study, "{dataset}", "{model}", fold={fold}, seed={seed})
```
`attnbench export-model` writes the network for programs without AttnBench (docs/predictions.md),
docs/files.md says what is in `model.pt`."""


@dataclass(frozen=True)
class Shared:
    """What all cards of a study are written from: its results, protocol and references."""

    results: Results
    protocol: Mapping[str, str]
    references: Sequence[Reference]

    @classmethod
    def of(cls, results: Results) -> Shared:
        """Collect it once: a study may have hundreds of cards."""
        rows = records(tabulate_protocol(results).frame)
        protocol = {row["setting"]: row["value"] for row in rows}
        return cls(results, protocol, collect_references(results.study))


_WITH_CODE = ("How to use it", "Citation")


def compose_card(shared: Shared, dataset: str, model: str) -> str:
    """Return the model card of a model on a dataset: Markdown behind YAML front matter.

    Its numbers are those of `analysis/means.csv`, each with its interval and what it rests on.
    What has not been computed yet is said to be open.

    Raises:
        StudyError: the study has no such dataset or model.
    """
    results = shared.results
    results.study.dataset(dataset), results.study.model(model)
    entry = load_entry(dataset, results.study.catalog)
    meaning = meaning_for_weights(entry)
    means = _means(results, dataset, model)
    trained = list(_trained(results, dataset, model))
    sections = {
        "What it is": _what_it_is(results, entry, model),
        "Training data": _data(results, entry),
        "Licences": _licences(results, entry, model, meaning),
        "Recipe": _recipe(shared, entry, model),
        "Scores": _scores(results, entry, model, means),
        "Intended use and limits": _limits(results, entry),
        "Weights": _weights(results, dataset, model, trained),
        "How to use it": [_how_to_load(results, dataset, model, trained)],
        "Citation": ["```bibtex", _citation(shared, dataset, model), "```"],
    }
    title = without_tags(f"# {results.label(model)} on {results.dataset_label(dataset)}")
    # In code a sign stands for itself.
    texts = {
        name: "\n".join(lines) if name in _WITH_CODE else without_tags("\n".join(lines))
        for name, lines in sections.items()
    }
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in texts.items())
    head = front_matter(_fields(results, entry, model, meaning, means))
    return f"{head}\n{title}\n\n{body}\n"


def _fields(
    results: Results, entry: Entry, model: str, meaning: Meaning, means: list[dict[str, Any]]
) -> dict[str, Any]:
    whole = [row for row in means if row["class"] == ALL]
    name = f"{results.study.name}-{entry.name}-{model}"
    fields: dict[str, Any] = {"license": meaning.identifier}
    if meaning.identifier == "other":
        fields["license_name"] = f"terms-of-{entry.name.replace('_', '-')}"
    words = [*stated(entry.modality), f"{entry.ndim}-D", *results.study.model(model).mechanisms()]
    fields |= {
        "library_name": "attnbench",
        "pipeline_tag": "image-segmentation",
        "tags": [
            *("medical-imaging", "semantic-segmentation", "u-net", "attention", "pytorch"),
            *dict.fromkeys(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words),
        ],
        "datasets": [entry.name],
        "metrics": list(results.study.metrics),
    }
    # Hugging Face refuses a result without a value.
    scored = [row for row in whole if row["mean"] == row["mean"]]
    if scored:
        fields["model-index"] = [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-segmentation"},
                        "dataset": {
                            "name": results.dataset_label(entry.name),
                            "type": entry.name,
                            "split": "cases of the test folds",
                        },
                        "metrics": [
                            {
                                "type": row["metric"],
                                "name": f"{METRICS[row['metric']].label}, mean over classes",
                                "value": row["mean"],
                            }
                            for row in scored
                        ],
                    }
                ],
            }
        ]
    return fields


def _means(results: Results, dataset: str, model: str) -> list[dict[str, Any]]:
    frame = results.frame("means")
    rows = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]
    order = {name: place for place, name in enumerate(results.study.metrics)}
    rows = rows[rows["metric"].isin(order)]
    return sorted(records(rows), key=lambda row: (row["class"] != ALL, order[row["metric"]]))


def _trained(results: Results, dataset: str, model: str) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Yield every finished training, with its `run.json`."""
    for run in results.study.runs_of(dataset, model):
        path = results.layout.run(run) / "run.json"
        if path.is_file():
            yield run, facts_of_run(results.study, run)


def _what_it_is(results: Results, entry: Entry, model: str) -> Iterator[str]:
    study, settings = results.study, results.study.model(model)
    task = f" for this task: {stated(entry.task)[0].rstrip('.')}" if stated(entry.task) else ""
    classes = ", ".join(f"{number} {name}" for number, name in entry.classes.items())
    yield f"A {entry.ndim}-D segmentation network{task}. Its classes: 0 background, {classes}."
    if settings.network:
        yield f"It is the external network `{settings.network}`."
    else:
        yield f"It is a U-Net ({in_words(study.backbone_of(model))})."
    if own := model_differences(study, settings):
        yield f"Its own settings: {own}."
    described = results.layout.model(entry.name, model)
    if described.is_file():
        facts = read_json(described)
        yield f"It has {facts['parameters']:,} trainable parameters."
        for paper in facts.get("papers", ()):
            yield f"Mechanism: {paper['title']}, {paper['year']}, {paper['source']}."
    if settings.control:
        yield (
            f"It is a control (`{settings.control}`) of the model `{settings.control_of}`: built "
            "to rule out another explanation of that model's scores, not to be used."
        )
    yield (
        f"Trained and scored by AttnBench {version('attnbench')} in the study `{study.name}`, "
        "which asks whether attention makes a U-Net segment better."
    )


def _data(results: Results, entry: Entry) -> Iterator[str]:
    study, name = results.study, entry.name
    dataset = study.dataset(name)
    info = results.layout.prepared(name) / "dataset.json"
    known = read_json(info) if info.is_file() else {}
    cases = known.get("cases") or entry.cases
    groups = groups_in_words(study, name, known.get("groups") or entry.count_groups())
    origin = origin_of_groups(study, name)
    yield f"- {'. '.join([entry.title.rstrip('.'), *stated(entry.citation)])}"
    yield f"- {', '.join([*stated(entry.modality), f'{cases} cases of {groups}'])}" + (
        f" ({origin})" if origin else ""
    )
    split = study.split_of(name)
    folds = len(study.folds_to_run(name))
    words = split_in_words(dataset, split, groups_known(study, name))
    yield (
        f"- Split: {words}; trainings of {folds} fold{'' if folds == 1 else 's'} with seeds "
        f"{', '.join(map(str, study.seeds))}. Each saw the cases of its own training folds alone."
    )
    yield from (f"- {note}" for note in dataset_notes(results, dataset))
    yield from (f"- Mind: {trap}" for trap in entry.traps)
    if "content_hash" in known:
        yield f"- SHA-256 of the prepared data: `{known['content_hash']}`"


def _licences(results: Results, entry: Entry, model: str, meaning: Meaning) -> Iterator[str]:
    yield f"Training data: {entry.licence.rstrip('.')}. {meaning.text} {NO_ADVICE}"
    if results.study.model(model).initial:
        yield ""
        yield (
            "The trainings started from weights that were trained before, on other data: whatever "
            "is asked by the licences of those weights and data counts here as well, and this "
            "study does not know it."
        )
    yield ""
    yield (
        "The `license` at the head of this card is that of the training data, as the most careful "
        "one for the weights; who passes them on has to decide. AttnBench itself, which trained "
        "them, is under the MIT licence."
    )


def _recipe(shared: Shared, entry: Entry, model: str) -> Iterator[str]:
    study, protocol = shared.results.study, shared.protocol
    training = study.training_of(entry.name, model)
    other = {f"patch_{5 - entry.ndim}d": None, "sweep": None, "loss": None}
    # One patch counts: the dataset's own where it has one.
    if study.dataset(entry.name).patch:
        other[f"patch_{entry.ndim}d"] = None
    yield from (f"- {label}: {text}" for label, text in describe(training.model_copy(update=other)))
    axes = [entry.axes[axis] for axis in study.mirror_axes(entry.name, entry.ndim, model)]
    yield f"- mirrored along: {', '.join(axes) or 'no axis'}"
    for key, values in (study.training.sweep or {}).items():
        grid = ", ".join(f"{value:.12g}" for value in values)
        yield (
            f"- {key.replace('_', ' ')}: not the one above, but chosen among {grid} on the inner "
            "validation of each fold"
        )
    yield f"- loss: {loss_in_full(training.loss)}"
    if text := protocol.get(f"Dataset: {shared.results.dataset_label(entry.name)}"):
        yield f"- data: {text}"
    yield f"- intensities: {SCHEMES[study.normalisation(entry.name)]}"
    yield f"- prediction: {protocol['Prediction']}"


def _scores(
    results: Results, entry: Entry, model: str, means: list[dict[str, Any]]
) -> Iterator[str]:
    if not means:
        yield "Not scored yet."
        return
    level = f"{results.study.analysis.confidence:.0%}"
    yield (
        f"Mean over groups with its {level} interval, which speaks of new groups and these "
        "trainings; every case was scored by trainings that had not seen it."
    )
    yield ""
    yield "| metric | class | mean | cases | groups | folds | seeds |"
    yield "|---|---|---|---:|---:|---:|---:|"
    for row in means:
        unit = display_unit(row["unit"])
        shown = interval(row["mean"], row["low"], row["high"], decimals(row["unit"]))
        known = groups_known(results.study, entry.name)
        cells = (
            METRICS[row["metric"]].label + (f" ({unit})" if unit else ""),
            "mean over classes" if row["class"] == ALL else row["class_name"],
            shown,
            f"{row['cases']:.0f}",
            f"{row['groups']:.0f}" if known else "unknown",
            f"{row['folds']:.0f}",
            f"{row['seeds']:.0f}",
        )
        yield f"| {' | '.join(map(to_md, cells))} |"
    yield ""
    yield from _compared(results, entry.name, model)
    yield from _on_other_data(results, entry.name, model)


def _compared(results: Results, dataset: str, model: str) -> Iterator[str]:
    """Yield the difference from the baseline in the primary comparison, and its verdict."""
    metric, class_ = results.study.primary
    frame = results.frame("effects")
    own = (frame["dataset"] == dataset) & (frame["model"] == model)
    own &= (frame["metric"] == metric) & (frame["class"] == class_)
    for row in records(frame[own]):
        shown = interval(
            row["difference"], row["low"], row["high"], decimals(row["unit"]), sign=True
        )
        yield (
            f"Difference from {results.baseline_label} in {METRICS[metric].label}: {shown}; "
            f"verdict: {row['verdict']} as trained, {row['verdict_retrained']} for models trained "
            "again."
        )


def _on_other_data(results: Results, dataset: str, model: str) -> Iterator[str]:
    frame = results.frame("transfer")
    metric, class_ = results.study.primary
    own = (frame["train"] == dataset) & (frame["model"] == model)
    own &= (frame["metric"] == metric) & (frame["class"] == class_)
    for row in records(frame[own]):
        shown = interval(row["mean"], row["low"], row["high"], decimals(row["unit"]))
        yield (
            f"On the external test set {results.dataset_label(row['test'])}: "
            f"{METRICS[metric].label} {shown}."
        )


def _limits(results: Results, entry: Entry) -> Iterator[str]:
    yield _INTENDED
    yield ""
    known = groups_known(results.study, entry.name)
    yield (
        f"- It has seen {'groups' if known else 'cases'} of one dataset. On images of another "
        "source, device, protocol or population scores may be much lower; test it there first."
    )
    yield ("- An image without any of its classes, or of something else, still gets a mask.")
    label = results.dataset_label(entry.name)
    yield from (f"- {note}" for note in undertrained_notes(results) if note.startswith(label))


def _weights(
    results: Results, dataset: str, model: str, trained: list[tuple[Run, dict[str, Any]]]
) -> Iterator[str]:
    planned = sum(1 for _ in results.study.runs_of(dataset, model))
    yield (
        f"{len(trained)} of {planned} trainings are finished. The files lie below the study's "
        "output folder; a hash is the SHA-256 over names, shapes and bytes of all weights "
        "(`weights_sha256` of `run.json`)."
    )
    if not trained:
        return
    yield ""
    yield "| fold | seed | file | device | hash of the weights |"
    yield "|---:|---:|---|---|---|"
    for run, facts in trained:
        cells = (str(run.fold), str(run.seed), f"`runs/{run}/model.pt`", device_in_words(facts))
        weights = f"`{facts.get('weights_sha256', '')}`"
        if lost := facts.get("diverged"):
            weights = f"none: diverged by step {lost['step']}"
        yield f"| {' | '.join(cells)} | {weights} |"


def _how_to_load(
    results: Results, dataset: str, model: str, trained: list[tuple[Run, dict[str, Any]]]
) -> str:
    first = trained[0][0] if trained else next(results.study.runs_of(dataset, model))
    return _LOADING.format(
        study=f"{results.study.name}.yaml",
        dataset=dataset,
        model=model,
        fold=first.fold,
        seed=first.seed,
    )


def _citation(shared: Shared, dataset: str, model: str) -> str:
    settings = shared.results.study.model(model)
    names = {UNET, dataset, str(settings.network), *settings.mechanisms()}
    own = [reference for reference in shared.references if reference.name in names]
    return bibliography(own).rstrip("\n")
