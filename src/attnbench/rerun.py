"""Fingerprints of jobs: the meaning of the code behind a verb, and the settings that decide it."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from attnbench.catalog import entry_files, load_entry
from attnbench.catalog.local import state_of_files, state_of_folder
from attnbench.models.own_names import reference_of
from attnbench.own import imported_modules
from attnbench.own.meaning import meaning, tree_of
from attnbench.reporting.contents import FIGURES, TABLES
from attnbench.reporting.words import model_label
from attnbench.shift.kinds import KINDS
from attnbench.study.loss import DEFAULT_LOSS, LossSettings
from attnbench.study.models import ModelSettings
from attnbench.study.paths import Run
from attnbench.study.settings import Study
from attnbench.study.split import SPLIT_KEYS
from attnbench.training.losses import reference_of as reference_of_loss

PACKAGE = Path(__file__).parent
# What a job takes from these reaches it through `decides` or through its files: a new key or path
# reruns nothing.
_GLUE = frozenset(
    f"attnbench{name}"
    for name in (
        "",
        ".addresses",
        ".check",
        ".errors",
        ".files",
        ".full_disk",
        ".locks",
        ".own",
        ".process",
        ".rerun",
        ".sealing",
        ".seals",
        ".stops",
        ".study",
    )
)
# Imports that are not followed, by the module that has them: what training only writes down
# beside the weights, and the list of the mechanisms that exist. All others are followed, so that
# a forgotten module makes training run again and never lets it go stale.
_ASIDE = {
    "attnbench.training.run": frozenset(
        f"attnbench.{name}"
        for name in (
            "models.cost",
            "training.progress",
            "training.provenance",
            "training.spent",
        )
    ),
    "attnbench.inference.trial": frozenset(
        {"attnbench.training.provenance", "attnbench.training.spent"}
    ),
    "attnbench.inference.trained": frozenset(
        {"attnbench.models.cost", "attnbench.training.provenance"}
    ),
    "attnbench.models.registry": frozenset({"attnbench.models.names"}),
    # The look of figures, which tables and texts do not ask for.
    "attnbench.reporting.results": frozenset({"attnbench.reporting.style"}),
}
# They say whose a file is, or why something cannot be done, and change nothing in a result.
_CHECKS = frozenset(
    f"attnbench.{name}"
    for name in (
        "shift.sealed",
        "training.fits",
        "training.memory",
        "training.sealed",
        "training.stamp",
    )
)
_BUILD = "attnbench.models.build"
# Verbs that take steps of training, and depend on the loss.
_LEARNING = frozenset({"train", "trial", "measure"})
_SCORING_VERBS = frozenset(
    {"score", "score_external", "score_shift", "score_ensemble", "score_second_rater"}
)
# Verbs that read what the catalog says of a dataset's files.
_OF_ORIGINALS = frozenset({"fetch", "inspect", "prepare"})
# What `@mechanism(...)` says for readers: only `describe` passes it on.
_FOR_READERS = ("title", "short", "paper", "in_paper")


def code(verb: str, model: ModelSettings | None = None, artefact: str = "") -> list[Path]:
    """Source files that `attnbench <verb>` runs, with the templates and styles that these name.

    They are all that the verb imports; `model` adds its mechanisms and its own loss (else the
    default), `artefact` (a figure, a kind of shift) what makes it.
    """
    loss = model.training.loss if model and model.training else DEFAULT_LOSS
    return list(map(_here, _code(verb, *_choices(verb, model, loss), artefact)))


def catalog_files(study: Study, dataset: str) -> list[Path]:
    """Files of a user's catalog that describe a dataset: its entry, lists of its files and cases.

    Those that came with the package are in `decides`: as inputs, they would have every study run
    again wherever the package is installed anew.
    """
    files = _described_by(study, dataset)
    return [_here(path) for path in files if not path.is_relative_to(PACKAGE)]


def decides(
    study: Study, verb: str, dataset: str = "", model: str = "", artefact: str = "", seed: str = ""
) -> str:
    """Fingerprint of a job as a line of JSON: the settings that decide it and the hash of its code.

    Where it changes the job runs again. A hash, not the files as input: they would be nine in
    ten of all files in the graph of a study.

    Args:
        study: the study that the job belongs to.
        verb: function of the command line that the job calls.
        dataset: dataset that the job is about; empty if it is about all.
        model: model that the job is about; empty if it is about all.
        artefact: figure that the job draws, kind of shift that it scores, number of the value
            that it tries, or fold that was predicted elsewhere.
        seed: of predictions made elsewhere.
    """
    settings = settings_of(study, verb, dataset, model, artefact, seed)
    of_model = study.model(model) if model else None
    loss = study.training_of(dataset, model).loss if dataset and model else DEFAULT_LOSS
    chosen, others = _choices(verb, of_model, loss)
    if verb in _SCORING_VERBS:
        chosen = tuple(sorted({*chosen, *_of_metrics(study)}))
    digest = _hash_of_code(verb, chosen, others, artefact)
    content = {"code": digest, "study": settings}
    if verb in _OF_ORIGINALS:
        content["catalog"] = _hash_of_catalog(study, dataset)
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def settings_of(
    study: Study, verb: str, dataset: str = "", model: str = "", artefact: str = "", seed: str = ""
) -> Any:
    """The settings of a study that decide a job, as plain data; arguments as of `decides`."""
    if verb == "trial":
        tried = study.with_value(*study.training.trials()[int(artefact)])
        settings = {"recipe": _recipe(tried, dataset, model), "seed": study.seeds[0]}
        return settings | _inference(study, dataset, model)
    if verb == "score_shift":
        of_kind = KINDS[artefact].settings(study, dataset)
        scoring = _scoring(study, dataset, model) | _inference(study, dataset, model)
        return scoring | {artefact: of_kind}
    if verb == "score_external":
        run = Run(dataset, model, int(artefact), int(seed))
        return _scoring(study, dataset, model) | _elsewhere(study, run)
    return _SETTINGS.get(verb, _nothing)(study, dataset, model)


def decides_by(
    decide: Callable[..., str], verb: str, *names: str, **others: str
) -> Callable[[Any], str]:
    """`decide` of a verb as a function of a job's wildcards, which Snakemake calls for `params`.

    As plain text it would take the braces of a study for wildcards. The wildcards `names` are
    arguments of `decide` under their own names, `others` under the names given.
    """
    arguments = {name: name for name in names} | others
    return lambda wildcards: decide(verb, **{to: wildcards[of] for to, of in arguments.items()})


def options_of_run(wildcards: Any) -> str:
    """Options of a command about one run; `share` is `-groups<percent>`, empty, or not there."""
    share = wildcards.get("share", "").replace("-groups", " --percent ")
    return (
        f"--dataset {wildcards.dataset} --model {wildcards.model}"
        f" --fold {wildcards.fold} --seed {wildcards.seed}{share}"
    )


def uses_gpu(study: Study) -> bool:
    """Return whether a run of the study will ask for a CUDA device."""
    # NVIDIA's device files answer without importing torch.
    device = study.compute.device
    return device == "cuda" or (device == "auto" and any(Path("/dev").glob("nvidia[0-9]*")))


def _choices(
    verb: str, model: ModelSettings | None, loss: LossSettings
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Modules of a model's mechanisms and loss, and those that `build_network` imports for others
    only.
    """
    if model is None:
        return (), frozenset()
    others = {"names"}  # what a name means is in the recipe, slot by slot
    if not model.network:
        others.add("external")
    if model.control is None:
        others |= {"controls", "matching", "cost"}
    named = [name for name in model.mechanisms() if not reference_of(name)]
    modules = {f"attnbench.models.attention.{name}" for name in named}
    # What own code is stands in the recipe; what it takes from this package is followed.
    own = [reference for name in model.mechanisms() if (reference := reference_of(name))]
    own += [model.network] if model.network else []
    if verb in _LEARNING:
        if reference := reference_of_loss(loss.name):
            own.append(reference)
        else:
            modules.add(f"attnbench.training.losses.{loss.name}")
    for reference in own:
        modules |= set(imported_modules(reference))
    return tuple(sorted(modules)), frozenset(f"attnbench.models.{name}" for name in others)


def _of_metrics(study: Study) -> set[str]:
    """Modules of this package that own metrics import; what they are stands in the settings."""
    return {name for own in study.own_metrics.values() for name in imported_modules(own.code)}


def _declared(verb: str, artefact: str) -> Iterator[str]:
    """Modules that a verb imports by a row of contents or kinds, where no import names them."""
    if verb == "figure":
        modules = {item.module for item in FIGURES if artefact.startswith(item.name)}
        yield from (f"attnbench.reporting.figures.{module}" for module in modules)
    if verb == "score_shift" and artefact:
        yield f"attnbench.shift.{KINDS[artefact].module}"
    if verb in ("tables", "report"):
        yield from (f"attnbench.reporting.tables.{item.module}" for item in TABLES)


@cache
def _code(
    verb: str, mechanisms: tuple[str, ...], others: frozenset[str], artefact: str
) -> tuple[Path, ...]:
    roots = {
        *_imports_of_verb(verb),
        *mechanisms,
        *_declared(verb, artefact),
    }
    modules = tuple(_file(module) for module in sorted(_closure(frozenset(roots), others)))
    return (*modules, *_named_by(modules))


@cache
def _hash_of_code(
    verb: str, mechanisms: tuple[str, ...], others: frozenset[str], artefact: str
) -> str:
    digest = hashlib.sha256()
    for path in _code(verb, mechanisms, others, artefact):
        digest.update(_meaning(path, for_readers=verb == "describe"))
    return digest.hexdigest()


@cache
def _meaning(path: Path, for_readers: bool) -> bytes:
    """Bytes of a file that decide its output: its syntax tree without docstrings, else all."""
    if path.suffix != ".py":
        return path.read_bytes()
    silent = () if for_readers else _FOR_READERS
    return meaning(tree_of(path.absolute()), "mechanism", silent).encode()


def _described_by(study: Study, dataset: str) -> list[Path]:
    entry = load_entry(dataset, study.catalog)
    files = (entry_files(study.catalog)[dataset], entry.listing, entry.case_listing)
    return [path for path in files if path]


def _hash_of_catalog(study: Study, dataset: str) -> str:
    digest = hashlib.sha256()
    for path in _described_by(study, dataset):
        if path.is_relative_to(PACKAGE):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _nothing(_study: Study, _dataset: str, _model: str) -> None:
    """Return nothing: such a job is decided only by the files that it reads."""


def _recipe(study: Study, dataset: str, model: str) -> dict[str, Any]:
    return study.recipe(dataset, model)


def _inference(study: Study, _dataset: str, _model: str) -> dict[str, Any]:
    return study.model_dump(mode="json", include={"inference"})


def _network(study: Study, dataset: str, model: str) -> dict[str, Any]:
    """Recipe of what does not depend on the value that a run gets of a swept key."""
    recipe = study.recipe(dataset, model)
    return {key: value for key, value in recipe.items() if key != "sweep"}


def _scoring(study: Study, _dataset: str, _model: str) -> dict[str, Any]:
    return study.model_dump(mode="json", include={"metrics", "own_metrics", "scoring"})


def _elsewhere(study: Study, run: Run) -> dict[str, Any]:
    """Settings of predictions made elsewhere, and the state of the files that a run has of them."""
    predictions = study.model(run.model).predictions
    assert predictions is not None
    return {
        "predictions": predictions.model_dump(mode="json", exclude={"datasets"}),
        "files": state_of_folder(predictions.folder_of(run)),
    }


def _ensemble(study: Study, dataset: str, model: str) -> dict[str, Any]:
    scored = _scoring(study, dataset, model) | _inference(study, dataset, model)
    members = [[run.fold, run.seed] for run in study.runs_of(dataset, model)]
    return scored | {"ensembles": KINDS["ensembles"].settings(study, dataset), "members": members}


def _everything(study: Study, _dataset: str, _model: str) -> dict[str, Any]:
    """All that tables and texts say about a study."""
    silent = {"accept_licences", "catalog", "compute", "data", "figures", "output"}
    keys = study.model_dump(mode="json", exclude=silent)
    return keys | {"labels": _labels(study)}


def _comparison(study: Study, _dataset: str, _model: str) -> dict[str, Any]:
    """Datasets, models, metrics and statistics of a comparison, in order; the seed of its cases."""
    names = {key: [item.name for item in getattr(study, key)] for key in ("datasets", "models")}
    # Absent where there are none: such comparisons are those of before there could be any.
    names |= {"elsewhere": [*study.elsewhere]} if study.elsewhere else {}
    return (
        study.model_dump(mode="json", include={"baseline", "metrics", "own_metrics", "analysis"})
        | names
        | {"seed": study.seeds[0], "splits": _splits(study)}
    )


def _splits(study: Study) -> dict[str, list[Any]]:
    """What the statistics know of every dataset's folds."""
    return {name: [one.outer, one.fixed, one.crossing] for name, one in study.splits.items()}


def _folds(study: Study, dataset: str, _model: str) -> dict[str, Any]:
    own = study.dataset(dataset).model_dump(
        mode="json", include={*SPLIT_KEYS}, exclude_defaults=True
    )
    drawn = study.folds.model_dump(mode="json", exclude={"run"})
    drawn["normalisation"] = study.normalisation(dataset)
    return drawn | own | ({"counted": study.split_of(dataset).count} if own else {})


def _drawn(study: Study, dataset: str, model: str) -> dict[str, Any]:
    """All that figures say about a study."""
    keys = study.model_dump(mode="json", include={"figures"})
    return _comparison(study, dataset, model) | keys | {"labels": _labels(study)}


def _labels(study: Study) -> list[str]:
    # A mechanism's label stands in its own file, which is no code of what writes it.
    return [model_label(model) for model in study.models]


def _originals(study: Study, dataset: str, _model: str) -> str | None:
    """State of a user's own files, which no download brings: a change verifies them again."""
    return state_of_files(load_entry(dataset, study.catalog))


_SETTINGS: dict[str, Callable[[Study, str, str], Any]] = {
    "fetch": _originals,
    "prepare": lambda study, dataset, _: study.dataset(dataset).model_dump(
        mode="json", include={"spacing", "size", "channels", "interpolation", "duplicates"}
    ),
    "folds": _folds,
    "describe": _network,
    "measure": _network,
    "choose": _recipe,
    "train": _recipe,
    "predict": _inference,
    "score": _scoring,
    "score_second_rater": _scoring,
    "score_ensemble": _ensemble,
    "analyse": _comparison,
    "figure": _drawn,
    "tables": _everything,
    "export": _everything,
    "report": _everything,
}


@cache
def _closure(roots: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """All modules that `roots` import; `others` are not followed from where networks are built."""
    modules: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in modules:
            modules.add(module)
            aside = others if module == _BUILD else _ASIDE.get(module, frozenset())
            waiting += [name for name in _imports(module) if name not in aside | _CHECKS]
            waiting += filter(_is_ours, [module.rpartition(".")[0]])
    return frozenset(modules)


@cache
def _named_by(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Templates and styles whose names stand in `files`, and those that these name in turn."""
    beside = [
        path for path in (PACKAGE / "reporting").rglob("*.*") if path.suffix not in (".py", ".pyc")
    ]
    named: list[Path] = []
    waiting = list(files)
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        new = [path for path in beside if path.name in text and path not in named]
        named += new
        waiting += new
    return tuple(sorted(named))


@cache
def _imports(module: str) -> tuple[str, ...]:
    return tuple(_imported(tree_of(_file(module))))


@cache
def _imports_of_verb(verb: str) -> tuple[str, ...]:
    functions = (
        node for node in tree_of(PACKAGE / "cli.py").body if isinstance(node, ast.FunctionDef)
    )
    return tuple(_imported(next(node for node in functions if node.name == verb)))


def _imported(node: ast.AST) -> Iterator[str]:
    """Modules of this package that `node` imports when it runs, not those for type checkers."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        names = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from filter(_is_ours, (node.module, *names))
    elif isinstance(node, ast.Import):
        yield from filter(_is_ours, (alias.name for alias in node.names))
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            yield from _imported(child)


def _here(path: Path) -> Path:
    """`path` from the working directory where it lies below it, so that a checkout may be moved."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _is_ours(name: str) -> bool:
    room = ".".join(name.split(".")[:2])
    return name.split(".")[0] == "attnbench" and room not in _GLUE and _file(name).is_file()


def _file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
