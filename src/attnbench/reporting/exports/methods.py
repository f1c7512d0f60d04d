"""The methods of a study in words, with every number filled in, to be adapted for a paper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from attnbench.analysis.resample import MIN_GROUPS
from attnbench.analysis.retraining import MIN_TRAININGS
from attnbench.analysis.verdicts import GROUPS_CROSS, ONE_SPLIT
from attnbench.catalog import load_entry
from attnbench.catalog.suitable import RESTRICTED
from attnbench.reporting.diverged import diverged_counts
from attnbench.reporting.exports.references import UNET, Reference, uncited_networks
from attnbench.reporting.format import scaled
from attnbench.reporting.losses import own_losses, pretrained_notes
from attnbench.reporting.machines import machine_notes
from attnbench.reporting.origins import origin_notes
from attnbench.reporting.results import absent_runs, records
from attnbench.reporting.splits import split_notes
from attnbench.reporting.tables.facts import (
    control_notes,
    described,
    stated,
    tabulate_datasets,
    tabulate_protocol,
)
from attnbench.reporting.tables.render import without_tags
from attnbench.reporting.units import (
    groups_known,
    origin_of_groups,
    unit_of_evidence,
)
from attnbench.reporting.words import ELSEWHERE, whole_networks
from attnbench.scoring.definitions import METRICS
from attnbench.shift.kinds import requested_kinds
from attnbench.study.groups import SWEEP_RULE
from attnbench.training.stamp import device_in_words

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.reporting.results import Results
    from attnbench.study.models import ModelSettings

PACKAGES = ("medpy", "scipy", "pandas")


def compose_methods(results: Results, references: Sequence[Reference]) -> str:
    """Return Markdown: a paragraph each on data, models, training, evaluation, statistics, runs.

    Sources are cited as `[@key]` with the keys of `references.bib`. What has not been computed
    yet is said to be open.
    """
    protocol = {row["setting"]: row["value"] for row in records(tabulate_protocol(results).frame)}
    paragraphs = {
        "Data": _data(results, references, protocol),
        "Models": _models(results, references, protocol),
        "Training": _training(results, protocol),
        "Evaluation": _evaluation(results, protocol),
        "Statistics": _statistics(results, protocol),
        **({"Shift": _shift(results)} if requested_kinds(results.study) else {}),
        "Runs and software": _runs(results),
    }
    text = "\n\n".join(f"**{title}.** {' '.join(lines)}" for title, lines in paragraphs.items())
    return f"# Methods\n\n{without_tags(text)}\n"


def _data(
    results: Results, references: Sequence[Reference], protocol: Mapping[str, str]
) -> Iterator[str]:
    rows = records(tabulate_datasets(results).frame)
    yield f"The study compares models on {_number(len(rows), 'dataset')}."
    for row in rows:
        label = results.dataset_label(row["dataset"])
        what = stated(row["task"]) or ([] if row["title"] == label else stated(row["title"]))
        facts = ", ".join([*stated(row["modality"]), f"{row['ndim']}-D"])
        said = f"{facts}; classes: {row['classes']}; {_size(results, row)}"
        cited = f"{label}{_cite(references, row['dataset'])}"
        yield f"{cited}: {what[0]} ({said})." if what else f"{cited}: {said}."
        if restricted := RESTRICTED.get(row["licence_terms"]):
            yield f"The licence of {label} is {restricted}."
    yield from _copies(results, protocol)
    yield from _splits(results, protocol)


def _size(results: Results, row: Mapping[str, Any]) -> str:
    """Return how many cases and groups a dataset has, and how these became known."""
    if not row["cases"]:
        return "not prepared"
    cases = f"{row['cases']:.0f} cases"
    if row["groups_unknown"]:
        return f"{cases}, groups unknown"
    origin = origin_of_groups(results.study, row["dataset"])
    return f"{cases} of {row['groups']:.0f} groups{f', {origin}' if origin else ''}"


def _splits(results: Results, protocol: Mapping[str, str]) -> Iterator[str]:
    """Yield how each dataset was split, and how many folds were run."""
    study = results.study
    counts = {name: len(study.folds_to_run(name)) for name in results.datasets}
    drawn = [name for name, split in study.splits.items() if split.kind == "cross_validation"]
    if drawn:
        runs = counts[drawn[0]]
        which = "" if len(drawn) == len(counts) else f" of {_labels(results, drawn)}"
        unit = unit_of_evidence(study, drawn)
        units = "Groups" if unit == "group" else "Cases"
        such = " (patients, animals or slides)" if unit == "group" else ""
        yield (
            f"{units}{which}{such} were split into folds, never across them "
            f"({protocol['Folds']}); {_number(runs, 'fold')} were run."
        )
    for name in counts:
        if name not in drawn:
            were = "was" if counts[name] == 1 else "were"
            number = _number(counts[name], "fold")
            yield f"Of {results.dataset_label(name)}, {number} {were} run."
    yield from split_notes(results)
    crossing = any(split.crossing for split in study.splits.values())
    but = "; where groups cross, cases of their groups were" if crossing else ""
    yield f"No tested case was used to choose weights or settings{but}."


def _labels(results: Results, names: Iterable[str]) -> str:
    return _joined([results.dataset_label(name) for name in names])


def _copies(results: Results, protocol: Mapping[str, str]) -> Iterator[str]:
    """Yield how copies of images were looked for, what was found, and what was done about it."""
    yield (
        "Images were searched for copies by perceptual hash, then by correlation after "
        "registration: the same image but for coding, small shifts and scales, mirroring and "
        "rotation by 90 degrees. Where a copy lies in another group: "
        f"{protocol['Copies of an image in another group']}."
    )
    for row in records(results.frame("inspected")):
        across = int(row["exact_across"] + row["near_across"])
        merged = (
            f"; {_number(int(row['merged']), 'group')} became {row['merged_into']:.0f}"
            if row["merged"]
            else ""
        )
        where = (
            f" in different groups, {row['exact_within'] + row['near_within']:.0f} within a group"
            if groups_known(results.study, row["dataset"])
            else ""
        )
        label = results.dataset_label(row["dataset"])
        yield f"{label}: {_number(across, 'pair')} of copies{where}{merged}."


def _models(
    results: Results, references: Sequence[Reference], protocol: Mapping[str, str]
) -> Iterator[str]:
    study = results.study
    shared = [
        model.name for model in study.trained_models if not model.is_external and not model.backbone
    ]
    named = [
        results.label(name) + (" (the baseline)" if name == results.baseline else "")
        for name in shared
    ]
    unet = f"U-Net{_cite(references, UNET)} ({protocol['Backbone']})"
    yield f"{_number(len(shared), 'model')} shared one {unet}: {_joined(named)}."
    yield from (
        f"{setting.removeprefix('Model: ')} differs: {text}."
        for setting, text in protocol.items()
        if setting.startswith("Model: ")
    )
    external = [
        (results.label(model.name), str(model.network))
        for model in study.models
        if model.is_external
    ]
    names = {UNET, *results.every_dataset, *(path for _, path in external)}
    sources = [
        f"{results.mechanism_label(item.name)}{_cite(references, item.name)}"
        for item in references
        if item.name not in names
    ]
    if sources:
        yield f"Mechanisms: {_joined(sources)}."
    yield from _own_mechanisms(results)
    yield from _placements(results)
    yield from (note.removeprefix(f"{ELSEWHERE} ") for note in origin_notes(results))
    if external:
        networks = [f"{label}{_cite(references, path)}" for label, path in external]
        yield f"External networks, each with its own layers: {_joined(networks)}."
        yield from (f"{note}." for note in whole_networks(study.models))
    for path in uncited_networks(study):
        yield f"The paper of `{path}` is not known here and has to be cited."
    sizes = [
        f"{results.label(str(model))} {_span(rows['parameters'].dropna())}"
        for model, rows in results.frame("cost").groupby("model", sort=False)
        if rows["parameters"].notna().any()
    ]
    yield (
        f"Trainable parameters: {_joined(sizes)}."
        if sizes
        else "Their size has not been computed yet."
    )
    yield from control_notes(results)


def _placements(results: Results) -> Iterator[str]:
    """Yield where the mechanisms sit, and where the papers have those that sit elsewhere there."""
    variants = [model for model in results.study.models if model.slots and not model.control]
    if variants:
        placed = [f"{results.label(model.name)}: {_slots(results, model)}" for model in variants]
        yield f"Placement, by level from 0, full resolution: {'; '.join(placed)}."
    elsewhere = {
        paper["mechanism"]: paper["in_paper"]
        for facts in described(results)
        for paper in facts.get("papers", ())
        if paper.get("in_paper")
    }
    if elsewhere:
        named = [f"{results.mechanism_label(name)}: {place}" for name, place in elsewhere.items()]
        yield f"In the papers they sit elsewhere: {'; '.join(named)}."


def _own_mechanisms(results: Results) -> Iterator[str]:
    """Yield which mechanisms are own code: what it was, no paper says."""
    placed = (
        placement
        for model in results.study.models
        for placements in model.slots.values()
        for placement in placements
        if placement.source
    )
    sources = {placement.name: str(placement.source)[:12] for placement in placed}
    if sources:
        named = [
            f"{results.mechanism_label(name)} (`{name}`, source {source})"
            for name, source in sources.items()
        ]
        yield f"Own code, by a hash of its source: {_joined(named)}."


def _slots(results: Results, model: ModelSettings) -> str:
    """Return the slots of a model with their levels, and the mechanisms in them if several."""
    several = len(model.mechanisms()) > 1
    words = []
    for slot, placements in model.slots.items():
        for placement in placements:
            name = f"{results.mechanism_label(placement.name)} in " if several else ""
            levels = _joined([str(level) for level in placement.levels or ()])
            words.append(f"{name}{slot} {levels}")
    return ", ".join(words)


def _training(results: Results, protocol: Mapping[str, str]) -> Iterator[str]:
    own = any(model.training for model in results.study.models)
    apart = [
        *(
            ["what was chosen for every model, dataset and fold"]
            * bool(results.study.training.sweep)
        ),
        *(["what models set themselves"] * own),
    ]
    but = f", but for {_joined(apart)}" if apart else ""
    yield (
        f"All models were trained by one recipe{but}: {protocol['Training']}; loss: "
        f"{protocol['Loss']}; augmentation: {protocol['Augmentation']}, and mirroring "
        f"with probability one half per axis ({protocol['Mirrored along']}); precision: "
        f"{protocol['Precision']}. The baseline was {protocol['Baseline']}."
    )
    yield from own_losses(results)
    yield from pretrained_notes(results)
    yield from _not_loaded(results)
    yield (
        f"Intensities were normalised when images were read ({protocol['Intensities']}), alike in "
        "training and prediction, external test sets included."
    )
    yield from _sweep(results)
    yield from (
        f"For {setting.removeprefix('Dataset: ')}: {text}."
        for setting, text in protocol.items()
        if setting.startswith("Dataset: ")
    )
    yield (
        f"Every model was trained once per fold with "
        f"{_number(len(results.study.seeds), 'seed')} ({protocol['Seeds']}); dataset, fold and "
        "seed fix initial weights, order of the batches and augmentation."
    )


def _not_loaded(results: Results) -> Iterator[str]:
    """Yield how many tensors models took from pretrained weights, where runs differ the span."""
    loaded: dict[str, list[tuple[int, int]]] = {}
    for facts in results.run_facts:
        if start := facts.get("initial"):
            of = start["loaded"] + len(start["missing"]) + len(start["other_shape"])
            loaded.setdefault(facts["model"], []).append((start["loaded"], of))
    for model, counts in loaded.items():
        said = " or ".join(f"{count} of {of}" for count, of in dict.fromkeys(counts))
        yield f"{results.label(model)} took {said} tensors from its file, by name and shape."


def _sweep(results: Results) -> Iterator[str]:
    """Yield what was tried, by which rule, how often, and what it did not see."""
    study = results.study
    for key, values in (study.training.sweep or {}).items():
        grid = _joined([f"{value:.12g}" for value in values])
        counts = {name: len(study.folds_to_run(name)) for name in results.datasets}
        tries, of_folds = (
            " or ".join(dict.fromkeys(_number(count * times, noun) for count in counts.values()))
            for times, noun in ((len(values), "trial"), (1, "fold"))
        )
        yield (
            f"The {key.replace('_', ' ')} was chosen among {grid} for every model, controls "
            f"included, separately for each dataset and fold: {SWEEP_RULE}. Every model had the "
            f"same {tries} per dataset ({len(values)} values in "
            f"{of_folds}), each a training at full budget with the first seed; test "
            "folds were not read for the choice."
        )
        lost = int(results.frame("sweep")["failed"].notna().sum())
        if lost:
            yield f"{_number(lost, 'trial')} diverged and could not be chosen."
        edges = results.frame("sweep")["at_edge"].eq(True)
        if edges.any():
            yield (
                f"The chosen value lay at the edge of the grid in {int(edges.sum())} of "
                f"{_number(len(study.trained_models) * sum(counts.values()), 'choice')}."
            )


def _evaluation(results: Results, protocol: Mapping[str, str]) -> Iterator[str]:
    yield f"Probabilities were predicted in {protocol['Prediction']}."
    yield (
        "Predictions were scored per case and class on the case's own grid, inside its field of "
        "view if it has one."
    )
    for name in results.study.metrics:
        label = METRICS[name].label
        yield f"{label}: {protocol[f'Metric: {label}']}"


def _statistics(results: Results, protocol: Mapping[str, str]) -> Iterator[str]:
    metric, class_ = results.study.primary
    whole = "mean over classes" if class_ == "all" else f"class {class_}"
    # 12 digits hide what 1 - 0.95 leaves behind in binary: 0.05, not 0.050000000000000044.
    yield (
        "Differences from the baseline were paired by case, class and training and averaged over "
        "classes, trainings, the cases of a group, and groups, in this order, so that every "
        "group counts alike. Intervals of differences are Student's over groups, those of scores "
        f"studentised bootstrap intervals; below {MIN_GROUPS} groups none is given. The mean "
        "difference was tested by a two-sided sign-flip permutation test over groups at the "
        f"level {results.level:.12g} after Holm's correction: these p speak about the networks as "
        "trained. Whether a difference would come out again with models trained again was tested "
        "by the corrected resampled t test (Nadeau and Bengio) on the means of the test folds, "
        f"seeds averaged, from {MIN_TRAININGS} folds on; equivalence by two one-sided tests on "
        "that standard error, within a margin where a metric has no unit."
    )
    yield (
        f"The primary comparison was {METRICS[metric].label}, {whole}: a variant helps if it is "
        "better than the baseline and than each control of equal size (parameters, FLOPs), an "
        "intersection-union test whose p is the largest of these, corrected by Holm over "
        "variants and datasets, as trained and for models trained again; its intervals are "
        "simultaneous (Bonferroni). All other tests are exploratory."
    )
    yield (
        "Models of which a training diverged were not compared on that dataset. "
        "Models that failed on different cases were not compared by a distance without a "
        "penalty. Models not distinguishable from the best were found by the largest of all "
        "pairs' statistics under sign flips; ranks were compared by Friedman's test with "
        "Nemenyi's critical difference. A change of the gain with difficulty was claimed only "
        "where the slope was significant both in the metric's units and in log odds, tested over "
        "groups and for models trained again, corrected by Holm."
    )
    answer = results.frame("answer")
    if len(answer) and (answer["trainings"] < MIN_TRAININGS).all():
        few = "one fixed split" if answer["verdict"].eq(ONE_SPLIT).all() else "so few folds"
        yield f"With {few} the tests for models trained again were not made here."
    if answer["verdict"].eq(GROUPS_CROSS).any():
        yield "Where groups cross the split, nothing was tested."
    if len(answer) and answer["lacking"].eq("parameters + flops").all():
        yield (
            "No control of equal size was trained, so that no gain could be told from that of a "
            "larger network."
        )
    fitted = results.frame("across")
    if fitted["converged"].eq(True).any():
        yield (
            "Linear mixed models (REML) with random effects of dataset, fold, training and group, "
            "as far as the design has them, put retraining and data into further intervals."
        )
    yield f"Settings of the analysis: {protocol['Statistics']}."
    tests = [*_families(results, "effects"), *_families(results, "difficulty")]
    yield f"Families of tests: {'; '.join(tests)}." if tests else "No test has been computed yet."
    means = results.frame("means")
    for dataset, rows in means[means["class"] == "all"].groupby("dataset", sort=False):
        yield (
            f"Means on {results.dataset_label(str(dataset))} rest on {_span(rows['cases'])} cases"
            f"{_behind(results, str(dataset), rows)}, {_span(rows['folds'])} folds and "
            f"{_span(rows['seeds'])} seeds."
        )


def _behind(results: Results, dataset: str, rows: pd.DataFrame) -> str:
    """Return the groups behind means of a dataset, where they are known."""
    known = groups_known(results.study, dataset)
    return f" of {_span(rows['groups'])} groups" if known else ""


def _families(results: Results, name: str) -> list[str]:
    """Return the families of tests in a frame, with their numbers of tests."""
    frame = results.frame(name)
    if "family" not in frame:
        return []
    # A family in which nothing could be tested is none.
    tested = frame[frame["family_size"] > 0].drop_duplicates("family")
    families = records(tested[["family", "family_size"]])
    return [f"{row['family']} ({_number(int(row['family_size']), 'test')})" for row in families]


def _shift(results: Results) -> Iterator[str]:
    study = results.study
    for transfer in study.transfer:
        classes = transfer.mapped(
            load_entry(transfer.train, study.catalog).classes,
            load_entry(transfer.test, study.catalog).classes,
        )
        named = [f"{number} as {trained}" for number, trained in classes.items()]
        yield (
            f"Models of {results.dataset_label(transfer.train)} were also scored on every case of "
            f"{results.dataset_label(transfer.test)} (classes: {_joined(named)}), a case's scores "
            "averaged over the trainings of all folds"
            f"{_tested(results, 'transfer')}."
        )
        if transfer.ensemble:
            members = sum(1 for _ in study.runs_of(transfer.train, study.baseline))
            yield (
                f"There the mean of the class probabilities of all {_number(members, 'training')} "
                "of a model was scored, too; with one such ensemble per model, its differences are "
                "of these networks and not of models trained again, and exploratory."
            )
    for name in study.held_out:
        yield (
            f"Models of {results.dataset_label(name)} were also scored on every case of its "
            "held-out test set, a case's scores averaged over the trainings of all folds"
            f"{_tested(results, 'held_out')}."
        )
    if study.corruptions:
        kinds = _joined([kind.replace("_", " ") for kind in study.corruptions])
        yield (
            f"Test images were corrupted in five levels by {kinds}, with the models as trained; "
            "the change of a score per level is the least-squares slope over levels 0 to 5 within "
            "each case"
            f"{_tested(results, 'corruption_slopes')}."
        )
    if study.data_efficiency:
        shares = _joined([str(percent) for percent in sorted(study.data_efficiency)])
        yield (
            f"Every model was trained again on {shares} % of a fold's training groups, the "
            "smaller part of the larger, with test and validation groups unchanged"
            f"{_tested(results, 'data_efficiency')}."
        )


def _tested(results: Results, name: str) -> str:
    """Return the number of differences that a frame tests, per metric and kind of class."""
    frame = results.frame(name)
    sizes = frame[frame["p_holm"].notna()].groupby(["metric", frame["class"] == "all"]).size()
    return f" ({_span(sizes)} tests per metric, corrected together)" if len(sizes) else ""


def _runs(results: Results) -> Iterator[str]:
    planned = sum(1 for _ in results.study.trainings())
    lacking = results.frame("missing")
    lacking = lacking[~lacking["model"].isin(results.study.elsewhere)]
    missing = int((lacking["table"] == "scores").sum())
    state = (
        f"{planned - missing} were finished and analysed"
        if results.analysed
        else "none has been analysed yet"
    )
    yield f"Of {_number(planned, 'planned training')}, {state}."
    if results.analysed:
        yield from (f"{note}." for note in absent_runs(results, requested_kinds(results.study)))
        lost = diverged_counts(results)
        yield (
            f"Trainings that diverged have no score: {'; '.join(lost)}."
            if lost
            else "No training diverged."
        )
    used: dict[str, list[str]] = {}
    for facts in results.run_facts:
        for name, release in facts.get("versions", {}).items():
            used.setdefault(name, []).append(release)
    if used:
        releases = [f"{name} {_either(values)}" for name, values in used.items()]
        yield f"Trained with {_joined(releases)}."
    yield from machine_notes(results)
    devices = [words for facts in results.run_facts if (words := device_in_words(facts))]
    if devices:
        yield f"Devices: {_either(devices)}."
    yield f"Scored and analysed with {_joined([f'{name} {version(name)}' for name in PACKAGES])}."


def _cite(references: Sequence[Reference], name: str) -> str:
    keys = [key for entry in references if entry.name == name for key in entry.keys]
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
