"""What the jobs after the data read under a seal, and what they leave; runs seal themselves.

`attnbench.data.sealed` has the jobs that make data, `attnbench.training.sealed` those of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.analysis.tables import FRAMES
from attnbench.errors import listed
from attnbench.seals import refuse_changed, write_seal

if TYPE_CHECKING:
    from attnbench.study.settings import Study

Sealed = Mapping[str, list[Path]]
"""Files by the job that left them."""


@dataclass(frozen=True)
class About:
    """What a job is about, as far as it is about something."""

    dataset: str = ""
    model: str = ""
    fold: int = 0
    name: str = ""


@dataclass(frozen=True)
class Job:
    """A job: its name in `Layout.seal`, the files that it leaves, and what it reads under seals."""

    name: str
    leaves: list[Path]
    reads: Sealed = field(default_factory=dict)


@contextmanager
def sealed_job(
    study: Study, verb: str, dataset: str = "", model: str = "", fold: int = 0, name: str = ""
) -> Iterator[None]:
    """Refuse what a verb reads where it has changed, let the verb work, and seal what it left.

    Files that are not there are left to the verb, which knows whether it can do without.

    Raises:
        SealError: a file is not as its job left it.
    """
    job = _JOBS[verb](study, About(dataset, model, fold, name))
    refuse_changed_files(study, job.reads)
    yield
    layout = study.layout
    stamp = {key: value for key, value in (("dataset", dataset), ("model", model)) if value}
    # What a job leaves may depend on what there was to show.
    write_seal(layout.seal(job.name), layout.output, filter(Path.exists, job.leaves), stamp)


def refuse_changed_files(study: Study, sealed: Sealed) -> None:
    """Raise `SealError` where one of the files is there and not as its job left it."""
    layout = study.layout
    for name, files in sealed.items():
        there = [file for file in files if file.exists()]
        if there:
            remedy = (
                f"remove {listed(there, 1)} and run the study again, which makes what is missing "
                "and all that follows from it"
            )
            refuse_changed(layout.seal(name), layout.output, there, remedy)


def analysed(study: Study) -> Sealed:
    """The frames of the analysis."""
    return {"analyse": [study.layout.analysis / f"{name}.csv" for name in FRAMES]}


def _described(study: Study) -> Sealed:
    layout = study.layout
    pairs = [(one.name, m.name) for one in study.trained_datasets for m in study.trained_models]
    return {
        **{f"describe/{d}/{m}": [layout.model(d, m)] for d, m in pairs},
        **{f"measure/{d}/{m}": [layout.measured(d, m)] for d, m in pairs},
    }


def _data(study: Study) -> dict[str, list[Path]]:
    layout, names = study.layout, [one.name for one in study.datasets]
    files = ("pairs.csv", "findings.csv", "inspected.json")
    return {
        **{f"prepare/{name}": [layout.prepared(name) / file for file in _TABLES] for name in names},
        **{f"inspect/{name}": [layout.inspected(name) / file for file in files] for name in names},
        **{f"second_rater/{name}": [layout.second_rater(name)] for name in names},
    }


_TABLES = ("dataset.json", "cases.csv")


def _choices(study: Study) -> Sealed:
    layout = study.layout
    if not study.training.sweep:
        return {}
    return {
        f"choose/{d.name}/{m.name}/fold{fold}": [layout.choice(d.name, m.name, fold)]
        for d in study.trained_datasets
        for m in study.trained_models
        for fold in study.folds_to_run(d.name)
    }


def _describe(study: Study, about: About) -> Job:
    path = study.layout.model(about.dataset, about.model)
    return Job(f"describe/{about.dataset}/{about.model}", [path])


def _measure(study: Study, about: About) -> Job:
    path = study.layout.measured(about.dataset, about.model)
    return Job(f"measure/{about.dataset}/{about.model}", [path])


def _second_rater(study: Study, about: About) -> Job:
    return Job(f"second_rater/{about.dataset}", [study.layout.second_rater(about.dataset)])


def _trial(study: Study, about: About) -> Job:
    of = (about.dataset, about.model, about.fold, about.name)
    return Job(_name_of_trial(*of), [study.layout.trial(*of)])


def _name_of_trial(dataset: str, model: str, fold: int, number: str) -> str:
    return f"trial/{dataset}/{model}/fold{fold}-{number}"


def _choose(study: Study, about: About) -> Job:
    of = (about.dataset, about.model, about.fold)
    trials = [(*of, str(number)) for number in range(len(study.training.trials()))]
    return Job(
        "choose/{}/{}/fold{}".format(*of),
        [study.layout.choice(*of)],
        {_name_of_trial(*one): [study.layout.trial(*one)] for one in trials},
    )


def _analyse(study: Study, _about: About) -> Job:
    reads = {**_data(study), **_described(study), **_choices(study)}
    return Job("analyse", analysed(study)["analyse"], reads)


def _attend(study: Study, about: About) -> Job:
    maps = study.layout.attention(about.dataset, about.model)
    name = f"attend/{about.dataset}/{about.model}"
    reads = {"analyse": [study.layout.analysis / "cases.csv"]}
    return Job(name, [maps, maps.with_suffix(".csv")], reads)


def _tables(study: Study, _about: About) -> Job:
    from attnbench.reporting.contents import TABLE_FORMATS, table_names

    names = table_names(study)
    leaves = [study.layout.tables / f"{name}.{ext}" for name in names for ext in TABLE_FORMATS]
    return Job("tables", leaves, _shown(study))


def _figure(study: Study, about: About) -> Job:
    from attnbench.reporting.contents import FIGURE_FORMATS, figure_inputs, figure_names

    leaves = [study.layout.figures / f"{about.name}.{ext}" for ext in FIGURE_FORMATS]
    # An unknown one is refused by the verb.
    inputs = figure_inputs(study, about.name) if about.name in figure_names(study) else []
    maps = [path for path in inputs if path.suffix == ".npz"]
    attend = {
        f"attend/{path.parent.name}/{path.stem}": [path, path.with_suffix(".csv")] for path in maps
    }
    return Job(f"figure/{about.name}", leaves, {**analysed(study), **attend})


def _export(study: Study, _about: About) -> Job:
    layout, datasets = study.layout, [one.name for one in study.trained_datasets]
    models = [model.name for model in study.trained_models]
    leaves = [layout.parquet, layout.challenger, *map(layout.claims_reloaded, datasets)]
    leaves += [layout.methods, layout.references]
    leaves += [layout.card(dataset, model) for dataset in datasets for model in models]
    return Job("export", leaves, _shown(study))


def _report(study: Study, _about: About) -> Job:
    from attnbench.reporting.contents import figure_names

    figures = {
        f"figure/{name}": [study.layout.figures / f"{name}.png"] for name in figure_names(study)
    }
    return Job("report", [study.layout.report], {**_shown(study), **figures})


def _shown(study: Study) -> dict[str, list[Path]]:
    """What tables and texts say: frames, and facts of data and networks."""
    return {**analysed(study), **_data(study), **_described(study)}


def jobs_after_data(study: Study) -> Iterator[Job]:
    """Yield the jobs of a study that `sealed_job` seals."""
    from attnbench.reporting.contents import figure_names

    values = len(study.training.trials()) if study.training.sweep else 0
    for dataset in (one.name for one in study.datasets):
        yield _second_rater(study, About(dataset))
    for dataset in (one.name for one in study.trained_datasets):
        for model in (one.name for one in study.trained_models):
            about = About(dataset, model)
            yield from (of(study, about) for of in (_describe, _measure, _attend))
            for fold in study.folds_to_run(dataset) if values else ():
                yield _choose(study, About(dataset, model, fold))
                for number in range(values):
                    yield _trial(study, About(dataset, model, fold, str(number)))
    yield from (_figure(study, About(name=name)) for name in figure_names(study))
    yield from (of(study, About()) for of in (_analyse, _tables, _export, _report))


_JOBS: Mapping[str, Callable[[Study, About], Job]] = {
    "describe": _describe,
    "measure": _measure,
    "score_second_rater": _second_rater,
    "trial": _trial,
    "choose": _choose,
    "analyse": _analyse,
    "attend": _attend,
    "tables": _tables,
    "figure": _figure,
    "export": _export,
    "report": _report,
}
