"""Pretrained weights: what of a file fits a network, and what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.catalog import load_entry
from attnbench.errors import AttnBenchError, ModelError, StudyError, listed
from attnbench.files import sha256_of
from attnbench.models.build import build_network
from attnbench.models.spec import NetworkSpec
from attnbench.study.models import InitialSettings, ModelSettings
from attnbench.study.settings import Study


@dataclass(frozen=True)
class Weights:
    """Tensors of a file by name, and what it was trained on, as far as the file says so.

    Our `model.pt` does: `trained_on` has a mapping per training that led to it, with `dataset`,
    `data_hash` and the `cases` that it has seen. Of other files it is empty.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    trained_on: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Fit:
    """What of a file fits a network: tensors by the network's names, and names of all others.

    `other_shape`: in both, of two shapes; `missing`: in the network alone; `unused`: in the file
    alone.
    """

    tensors: Mapping[str, Tensor]
    other_shape: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """True where every tensor of the network is in the file."""
        return not (self.other_shape or self.missing)

    def in_words(self) -> str:
        """`61 of 67 tensors; 4 missing in the file (...), 2 of another shape (...)`."""
        wanted = len(self.tensors) + len(self.other_shape) + len(self.missing)
        rest = {
            "missing in the file": self.missing,
            "of another shape": self.other_shape,
            "of the file not used": self.unused,
        }
        said = "".join(
            f"; {len(names)} {what} ({listed(names, 5)})" for what, names in rest.items() if names
        )
        return f"{len(self.tensors)} of {wanted} tensors{said}"

    def facts(self) -> dict[str, Any]:
        """What `run.json` keeps of it."""
        return {
            "loaded": len(self.tensors),
            "other_shape": list(self.other_shape),
            "missing": list(self.missing),
            "unused": list(self.unused),
        }


def read_weights(initial: InitialSettings) -> Weights:
    """Read a file of weights: a state dict, also as the one entry of a mapping that is one.

    Raises:
        ModelError: the file is not there, is no state dict, holds values that are not finite, or
            has changed since the study was planned.
    """
    path = Path(initial.file)
    if not path.is_file():
        raise ModelError(
            f"no file {path.resolve()}; paths of pretrained weights count from the folder that the "
            "command is run in"
        )
    if initial.source and sha256_of(path) != initial.source:
        raise ModelError(
            f"{path} has changed since this study was planned; start it again, and what "
            "depends on it runs again (`snakemake --configfile <study>`)"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may raise anything; it is passed on
        raise ModelError(
            f"{path}: no weights that can be read: {' '.join(str(error).split())[:300]}; write "
            "them with `torch.save(network.state_dict(), path)`: a file that holds more than "
            "tensors could run code, and is refused"
        ) from error
    tensors = _state_dict(path, content)
    if wrong := [name for name, value in tensors.items() if not _is_finite(value)]:
        raise ModelError(f"{path}: values that are not finite in {listed(wrong, 5)}")
    return Weights(path, tensors, tuple(content.get("trained_on", ())))


def fit_of(network: nn.Module, weights: Weights, control: bool = False) -> Fit:
    """Find the tensors of a network in a file, by name and shape.

    Prefixes that all names of a side share (`module.`, `network.`) are taken off where more
    tensors match without them. Of a `control` nothing in the slots is matched: what it freezes
    at its start has to stay as it was drawn.

    Raises:
        ModelError: nothing matches.
    """
    own = {
        name: value
        for name, value in network.state_dict().items()
        if not (control and name.startswith("slots."))
    }
    best: tuple[int, dict[str, str]] = (0, {})
    for prefix in _prefixes(weights.tensors):
        for prefix_own in _prefixes(own):
            names = {
                prefix_own + name.removeprefix(prefix): name
                for name in weights.tensors
                if prefix_own + name.removeprefix(prefix) in own
            }
            count = len(_fitting(own, weights, names))
            if count > best[0]:
                best = count, names
    count, names = best
    if not count:
        raise ModelError(
            f"{weights.path}: no tensor has name and shape of one of the network; in the file: "
            f"{listed(weights.tensors, 3)}; in the network: {listed(own, 3)}"
        )
    fitting = _fitting(own, weights, names)
    return Fit(
        fitting,
        tuple(ours for ours in own if ours in names and ours not in fitting),
        tuple(ours for ours in own if ours not in names),
        tuple(sorted(set(weights.tensors) - set(names.values()))),
    )


def _fitting(
    own: Mapping[str, Tensor], weights: Weights, names: Mapping[str, str]
) -> dict[str, Tensor]:
    pairs = {ours: weights.tensors[name] for ours, name in names.items()}
    return {ours: value for ours, value in pairs.items() if value.shape == own[ours].shape}


@torch.no_grad()
def load_fit(network: nn.Module, fit: Fit) -> None:
    """Write the tensors of `fit` into the network, in the network's own types."""
    own = network.state_dict()
    for name, value in fit.tensors.items():
        own[name].copy_(value)


def initial_notes(study: Study, source: str) -> list[str]:
    """Sentences on what of every file of pretrained weights fits, dataset by dataset.

    Every such model is built on the CPU.

    Raises:
        StudyError: a file cannot be read, or nothing of it fits.
    """
    notes, problems = list[str](), list[str]()
    for model in study.models:
        if model.initial is None:
            continue
        try:
            weights = read_weights(model.initial)
            notes += _trained_on(study, model, weights)
            notes += _fits(study, model, weights)
        except AttnBenchError as error:
            problems.append(f"models: {model.name}.initial: {error}")
    if problems:
        lines = "\n".join(f"  {line}" for line in dict.fromkeys(problems))
        raise StudyError(f"{source}: pretrained weights that cannot be used\n{lines}")
    return list(dict.fromkeys(notes))


def _fits(study: Study, model: ModelSettings, weights: Weights) -> Iterator[str]:
    for dataset in study.trained_datasets:
        entry = load_entry(dataset.name, study.catalog)
        spec = NetworkSpec.of(entry, study.patch(dataset.name, entry.ndim))
        fit = fit_of(build_network(model, study.backbone, spec), weights, model.control is not None)
        if not fit.complete or fit.unused:
            yield f"{model.name} on {dataset.name} starts from {weights.path}: {fit.in_words()}"


def _trained_on(study: Study, model: ModelSettings, weights: Weights) -> Iterator[str]:
    names = [dataset.name for dataset in study.datasets]
    for one in weights.trained_on:
        if one["dataset"] in names:
            yield (
                f"{model.name} starts from weights that were trained on {one['dataset']} "
                f"({weights.path}): a run whose test cases, or others of their groups, they have "
                "seen is refused when it starts"
            )


def _state_dict(path: Path, content: Any) -> Mapping[str, Tensor]:
    if _is_state_dict(content):
        return dict(content)
    inside = (
        {key: value for key, value in content.items() if _is_state_dict(value)}
        if isinstance(content, Mapping)
        else {}
    )
    if len(inside) != 1:
        found = f"{len(inside)} of them: {listed(inside)}" if inside else type(content).__name__
        raise ModelError(
            f"{path}: found {found}; a file of weights is a mapping of names to tensors, or has "
            "one entry that is one"
        )
    return dict(next(iter(inside.values())))


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def _prefixes(names: Mapping[str, Tensor]) -> list[str]:
    """Prefixes in whole parts that all names share, the empty one first.

    >>> _prefixes({"module.net.a": ..., "module.net.b": ...})
    ['', 'module.', 'module.net.']
    """
    first, *others = (name.split(".")[:-1] for name in names)
    shared = 0
    while shared < len(first) and all(one[: shared + 1] == first[: shared + 1] for one in others):
        shared += 1
    return ["".join(f"{part}." for part in first[:number]) for number in range(shared + 1)]
