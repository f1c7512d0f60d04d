"""The methods of a study in words, with every number filled in, to be adapted for a paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from attnbench.analysis.resample import MIN_GROUPS, STUDENTISED_FROM
from attnbench.catalog import load_entry
from attnbench.files import read_json
from attnbench.reporting.exports.references import UNET, Reference
from attnbench.reporting.format import scaled
from attnbench.reporting.frames import absent_runs, read_frame, records
from attnbench.reporting.tables import datasets, protocol
from attnbench.reporting.words import display_name
from attnbench.scoring.definitions import METRICS
from attnbench.shift.kinds import requested_kinds

if TYPE_CHECKING:
    from attnbench.study.settings import Study

PACKAGES = ("medpy", "scipy", "statsmodels", "pandas")


def methods(study: Study, cited: Sequence[Reference]) -> str:
    """Markdown: one paragraph each on data, models, training, evaluation, statistics, runs and
    software.

    Sources are cited as `[@key]` with the keys of `references.bib`. What has not been computed
    yet is said to be open.
    """
    parts = {
        "Data": _data(study, cited),
        "Models": _models(study, cited),
        "Training": _training(study),
        "Evaluation": _evaluation(study),
        "Statistics": _statistics(study),
        **({"Shift": _shift(study)} if requested_kinds(study) else {}),
        "Runs and software": _runs(study),
    }
    return (
        "# Methods\n\n"
        + "\n\n".join(f"**{title}.** {' '.join(lines)}" for title, lines in parts.items())
        + "\n"
    )


def _data(study: Study, cited: Sequence[Reference]) -> Iterator[str]:
    rows = records(datasets(study).frame)
    yield f"The study compares models on {_number(len(rows), 'dataset')}."
    for row in rows:
        inferred = ", inferred from the images" if row["groups_inferred"] else ""
        size = (
            f"{row['cases']:.0f} cases of {row['groups']:.0f} groups{inferred}"
            if row["cases"]
            else "not prepared"
        )
        yield (
            f"{display_name(row['dataset'])}{_cite(cited, row['dataset'])}: {row['task']} "
            f"({row['modality']}, "
            f"{row['ndim']}-D; classes: {row['classes']}; {size})."
        )
    yield (
        f"Groups (patients, animals or slides) were split into {study.folds.outer} outer folds "
        "(split seed "
        f"{study.folds.seed}), never across them; {len(study.folds_to_run())} of the folds were "
        "run. In each, one in "
        f"{study.folds.inner} of the training groups was held out for inner validation. No outer "
        "fold was used to "
        "choose anything."
    )


def _models(study: Study, cited: Sequence[Reference]) -> Iterator[str]:
    shared = [part.name for part in study.models if not part.network and not part.backbone]
    named = [
        display_name(name) + (" (the baseline)" if name == study.baseline else "")
        for name in shared
    ]
    unet = f"U-Net{_cite(cited, UNET)} ({_protocol(study)['Backbone']})"
    yield f"{_number(len(shared), 'model')} shared one {unet}: {_joined(named)}."
    for part in study.models:
        if part.network:
            yield f"{display_name(part.name)} is the network `{part.network}`."
        elif part.backbone:
            yield f"{display_name(part.name)} has a backbone of its own: widths {part.backbone.widths}."
    names = {UNET, *(part.name for part in study.datasets)}
    sources = [
        f"{display_name(item.word)}{_cite(cited, item.word)}"
        for item in cited
        if item.word not in names
    ]
    if sources:
        yield f"Mechanisms: {_joined(sources)}."
    cost = read_frame(study, "cost")
    sizes = [
        f"{display_name(str(model))} {_span(rows['parameters'].dropna())}"
        for model, rows in cost.groupby("model", sort=False)
        if rows["parameters"].notna().any()
    ]
    yield (
        f"Trainable parameters: {_joined(sizes)}."
        if sizes
        else "Their size has not been computed yet."
    )


def _training(study: Study) -> Iterator[str]:
    told = _protocol(study)
    yield (
        f"All models were trained by one recipe: {told['Steps']}, patches of so many voxels: "
        f"{told['Patch']}; "
        f"{told['Sampling']}; loss: {told['Loss']}; optimiser: {told['Optimiser']}; "
        f"augmentation: {told['Augmentation']}; precision: {told['Precision']}."
    )
    yield (
        f"Every model was trained once per fold with {_number(len(study.seeds), 'seed')} "
        f"({', '.join(map(str, study.seeds))}); a seed fixes initial weights, order of the "
        "batches and augmentation."
    )


def _evaluation(study: Study) -> Iterator[str]:
    yield "Predictions were scored per case and class on the case's own grid, inside its field of view if it has one."
    told = _protocol(study)
    for name in study.metrics:
        label = METRICS[name].label
        yield f"{label}: {told[f'Metric: {label}']}"


def _statistics(study: Study) -> Iterator[str]:
    part = study.analysis
    yield (
        "Differences from the baseline were paired by case, class and seed and averaged over "
        "classes, seeds and cases. "
        f"Intervals ({part.confidence:.0%}) are percentile bootstrap intervals over groups "
        f"({part.bootstrap} "
        f"resamples, seed {part.seed}) with quantiles widened for small samples, from "
        f"{STUDENTISED_FROM} groups on "
        f"studentised ones; below {MIN_GROUPS} groups none is given. Differences were tested by "
        "the two-sided Wilcoxon "
        f"signed-rank test over groups at the level {1 - part.confidence:.2g} after Holm's "
        "correction, and equivalence "
        f"by two one-sided tests within ±{part.margin:g} where a metric has no unit. Linear mixed "
        "models with random "
        "effects of dataset, fold, training, group and case put retraining and data into the "
        "interval; ranks were "
        "compared by Friedman's test with Nemenyi's critical difference; the slope of the benefit "
        "on the difficulty of "
        "a case was tested over groups and corrected by Holm."
    )
    tests = [*_families(study, "effects"), *_families(study, "difficulty")]
    yield f"Families of tests: {'; '.join(tests)}." if tests else "No test has been computed yet."
    means = read_frame(study, "means")
    for dataset, rows in means[means["class"] == "all"].groupby("dataset", sort=False):
        yield (
            f"Means on {display_name(str(dataset))} rest on {_span(rows['cases'])} cases of "
            f"{_span(rows['groups'])} "
            f"groups, {_span(rows['folds'])} folds and {_span(rows['seeds'])} seeds."
        )


def _families(study: Study, name: str) -> list[str]:
    """Every family of tests in a table of the analysis, and how many tests it has."""
    frame = read_frame(study, name)
    if "family" not in frame:
        return []
    families = records(frame.drop_duplicates("family")[["family", "family_size"]])
    return [f"{row['family']} ({_number(int(row['family_size']), 'test')})" for row in families]


def _shift(study: Study) -> Iterator[str]:
    for part in study.transfer:
        classes = part.mapped(load_entry(part.train).classes, load_entry(part.test).classes)
        named = [f"{number} as {trained}" for number, trained in classes.items()]
        yield (
            f"Models of {display_name(part.train)} were also scored on every case of "
            f"{display_name(part.test)} "
            f"(classes: {_joined(named)}), a case's scores averaged over the trainings of all folds"
            f"{_tested(study, 'transfer')}."
        )
    if study.corruptions:
        kinds = _joined([display_name(kind).lower() for kind in study.corruptions])
        yield (
            f"Test images were corrupted in five levels by {kinds}, with the models as trained; "
            "the change of a score "
            "per level is the least-squares slope over levels 0 to 5 within each case"
            f"{_tested(study, 'corruption_slopes')}."
        )
    if study.data_efficiency:
        shares = _joined([str(percent) for percent in sorted(study.data_efficiency)])
        yield (
            f"Every model was trained again on {shares} % of a fold's training groups, the "
            "smaller part of the larger, "
            f"with test and validation groups unchanged{_tested(study, 'data_efficiency')}."
        )


def _tested(study: Study, name: str) -> str:
    """How many differences from the baseline a table of the shift analyses tests, per metric and
    kind of class.
    """
    frame = read_frame(study, name)
    sizes = frame[frame["p_holm"].notna()].groupby(["metric", frame["class"] == "all"]).size()
    return f" ({_span(sizes)} tests per metric, corrected together)" if len(sizes) else ""


def _runs(study: Study) -> Iterator[str]:
    planned, missing = (
        sum(1 for _ in study.runs()),
        int((read_frame(study, "missing")["table"] == "scores").sum()),
    )
    analysed = (study.layout.analysis / "missing.csv").is_file()
    state = (
        f"{planned - missing} were finished and analysed"
        if analysed
        else "none has been analysed yet"
    )
    yield f"Of {_number(planned, 'planned training')}, {state}."
    yield from (f"{note}." for note in absent_runs(study, *requested_kinds(study)) if analysed)
    paths = (study.layout.run(run) / "run.json" for run in study.runs())
    facts = [read_json(path) for path in paths if path.is_file()]
    used: dict[str, list[str]] = {}
    for name, found in (
        (name, found) for fact in facts for name, found in fact.get("versions", {}).items()
    ):
        used.setdefault(name, []).append(found)
    if used:
        yield f"Trained with {_joined([f'{name} {_either(found)}' for name, found in used.items()])}."
    devices = [fact["device"] for fact in facts if fact.get("device")]
    if devices:
        yield f"Devices: {_either(devices)}."
    yield f"Scored and analysed with {_joined([f'{name} {version(name)}' for name in PACKAGES])}."


def _protocol(study: Study) -> dict[str, str]:
    return {row["setting"]: row["value"] for row in records(protocol(study).frame)}


def _cite(cited: Sequence[Reference], word: str) -> str:
    keys = [key for entry in cited if entry.word == word for key in entry.keys]
    return f" [{'; '.join(f'@{key}' for key in keys)}]" if keys else ""


def _joined(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)


def _either(words: Iterable[Any]) -> str:
    return " or ".join(dict.fromkeys(map(str, words)))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _span(values: Any) -> str:
    low, high = values.min(), values.max()
    shown = [
        scaled(value) if value >= 10_000 else f"{value:.0f}" for value in dict.fromkeys((low, high))
    ]
    return " to ".join(shown)
