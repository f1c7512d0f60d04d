"""What a job depends on: the source modules behind its verb, and the part of the study that
decides its result.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from attnbench.catalog import ENTRIES, load_entry
from attnbench.models.names import mechanisms_of
from attnbench.study.settings import Study

PACKAGE = Path(__file__).parent
# What a job takes from these reaches it through `decides` or through its files: a new key or path
# reruns nothing.
_GLUE = frozenset(
    f"attnbench{name}"
    for name in (
        "", ".check", ".errors", ".files", ".study", ".study.messages", ".study.models",
        ".study.names", ".study.paths", ".study.settings", ".study.shift",
    )
)  # fmt: skip


def code(verb: str, study: Study | None = None, model: str | None = None) -> list[Path]:
    """Source files that `attnbench <verb>` runs: all it imports, the mechanisms of `model` where
    one is given, and the templates and styles that these name.
    """
    mechanisms = mechanisms_of(study.model(model)) if study and model else ()
    return list(_code(verb, tuple(mechanisms)))


def catalog_files(dataset: str) -> list[Path]:
    """Files of the catalog that describe a dataset: its entry, and the list of its files where
    it has one.
    """
    listing = load_entry(dataset).listing
    return [_here(path) for path in (ENTRIES / f"{dataset}.yaml", listing) if path]


def decides(study: Study, verb: str, dataset: str = "", model: str = "") -> str:
    """What a job writes is decided by this line of JSON: its part of the study and the hash of its
    code.

    Where it changes the job runs again. A hash, not the files as input: they would be nine in
    ten of all files in the graph of a study.
    """
    part = _PARTS.get(verb, _nothing)(study, dataset, model)
    mechanisms = mechanisms_of(study.model(model)) if model else ()
    content = {"code": _hash_of_code(verb, tuple(mechanisms)), "study": part}
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def options_of_run(wildcards: Any) -> str:
    """The run that a job is about, as options of its command; `share` is `-groups<percent>`,
    empty, or not there.
    """
    share = wildcards.get("share", "").replace("-groups", " --percent ")
    return (
        f"--dataset {wildcards.dataset} --model {wildcards.model}"
        f" --fold {wildcards.fold} --seed {wildcards.seed}{share}"
    )


def uses_gpu(study: Study) -> bool:
    """Whether a run of the study will ask for a CUDA device; looks for NVIDIA devices instead of
    importing torch.
    """
    device = study.compute.device
    return device == "cuda" or (device == "auto" and any(Path("/dev").glob("nvidia[0-9]*")))


@cache
def _code(verb: str, mechanisms: tuple[str, ...]) -> tuple[Path, ...]:
    roots = {
        *_imports_of_verb(verb),
        *(f"attnbench.models.attention.{name}" for name in mechanisms),
    }
    modules = [_file(module) for module in sorted(_closure(frozenset(roots)))]
    return tuple(_here(path) for path in (*modules, *_named_by(tuple(modules))))


@cache
def _hash_of_code(verb: str, mechanisms: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in _code(verb, mechanisms):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _nothing(_study: Study, _dataset: str, _model: str) -> None:
    """Jobs that the study decides only through the files that they read."""


def _recipe(study: Study, dataset: str, model: str) -> dict[str, Any]:
    return study.recipe(dataset, model)


def _transfers(study: Study, dataset: str, _model: str) -> dict[str, Any]:
    """Where the models of `dataset` are scored, class by class, and by which metrics."""
    classes = {
        part.test: part.mapped(load_entry(part.train).classes, load_entry(part.test).classes)
        for part in study.transfers_of(dataset)
    }
    return {"metrics": study.metrics, "transfer": classes}


def _metrics(study: Study, _dataset: str, _model: str) -> tuple[str, ...]:
    return study.metrics


def _everything(study: Study, _dataset: str, _model: str) -> dict[str, Any]:
    """All that tables and texts say about a study."""
    return study.model_dump(mode="json", exclude={"compute", "data", "figures", "output"})


def _comparison(study: Study, _dataset: str, _model: str) -> dict[str, Any]:
    """What is compared with what, by which metrics and statistics, in the study's order; the
    seed of shown cases.
    """
    names = {key: [part.name for part in getattr(study, key)] for key in ("datasets", "models")}
    return (
        study.model_dump(mode="json", include={"baseline", "metrics", "analysis"})
        | names
        | {"seed": study.seeds[0]}
    )


_PARTS: dict[str, Callable[[Study, str, str], Any]] = {
    "prepare": lambda study, dataset, _: study.dataset(dataset).model_dump(
        mode="json", include={"spacing", "size"}
    ),
    "folds": lambda study, *_: study.folds.model_dump(mode="json", exclude={"run"}),
    "describe": _recipe,
    "measure": _recipe,
    "train": _recipe,
    "score": _metrics,
    "score_second_rater": _metrics,
    "transfer": _transfers,
    "corrupt": lambda study, *_: study.model_dump(mode="json", include={"metrics", "corruptions"}),
    "analyse": _comparison,
    "figure": lambda study, *rest: (
        _comparison(study, *rest) | study.model_dump(mode="json", include={"figures"})
    ),
    "tables": _everything,
    "export": _everything,
    "report": _everything,
}


@cache
def _closure(roots: frozenset[str]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [*_imports(module), *filter(_is_ours, [module.rpartition(".")[0]])]
    return frozenset(found)


@cache
def _named_by(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Templates and styles whose names stand in `files`, and those that these name in turn."""
    beside = [
        path for path in (PACKAGE / "reporting").rglob("*.*") if path.suffix not in (".py", ".pyc")
    ]
    found: list[Path] = []
    waiting = list(files)
    while waiting:
        text = waiting.pop().read_text(encoding="utf-8")
        new = [path for path in beside if path.name in text and path not in found]
        found += new
        waiting += new
    return tuple(sorted(found))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def _imports(module: str) -> tuple[str, ...]:
    return tuple(_imported(_tree(_file(module))))


@cache
def _imports_of_verb(verb: str) -> tuple[str, ...]:
    functions = (
        node for node in _tree(PACKAGE / "cli.py").body if isinstance(node, ast.FunctionDef)
    )
    return tuple(_imported(next(node for node in functions if node.name == verb)))


def _imported(node: ast.AST) -> Iterator[str]:
    """Modules of this package that `node` imports when it runs: those for type checkers only are
    left out.
    """
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
    return name.split(".")[0] == "attnbench" and name not in _GLUE and _file(name).is_file()


def _file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
