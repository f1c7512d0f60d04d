"""Check, before any training, that every model of a study can be built for every dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from attnbench.catalog import load_entry
from attnbench.errors import AttnBenchError, StudyError
from attnbench.models.batch_norm import refuse_batch_norm
from attnbench.models.build import build_network
from attnbench.models.cost import count_flops
from attnbench.models.own_output import watched
from attnbench.models.spec import NetworkSpec
from attnbench.models.trial_pass import try_external
from attnbench.study.groups import TrainingSettings
from attnbench.study.models import ModelSettings
from attnbench.study.settings import Study


def check_models(study: Study, source: str) -> None:
    """Build every model for every dataset and pass a training patch through its shapes.

    Through external networks, whose code is not ours, a small batch passes as well
    (`try_external`). Nothing but the catalog is read. Raises `StudyError` with every model that
    cannot be built or trained.
    """
    problems = list(_problems(study))
    if problems:
        lines = "\n".join(f"  {line}" for line in problems)
        raise StudyError(f"{source}: {len(problems)} model(s) that cannot be built\n{lines}")


def _problems(study: Study) -> Iterator[str]:
    # Datasets often agree in all that a network depends on: once is enough.
    known: dict[tuple[str, NetworkSpec, int], str] = {}
    for dataset in study.trained_datasets:
        entry = load_entry(dataset.name, study.catalog)
        spec = replace(
            NetworkSpec.of(entry, study.patch(dataset.name, entry.ndim)),
            in_channels=dataset.count_channels(entry.channels),
        )
        for model in study.trained_models:
            recipe = study.training_of(dataset.name, model.name)
            key = (model.name, spec, min(recipe.batch, 2))
            if key not in known:
                known[key] = _problem(study, model, spec, recipe)
            if known[key]:
                yield f"{model.name} on {dataset.name}: {known[key]}"


def _problem(
    study: Study, model: ModelSettings, spec: NetworkSpec, recipe: TrainingSettings
) -> str:
    try:
        if model.is_external:
            try_external(model, spec, recipe.batch, recipe.accumulate)
        else:
            with torch.device("meta"):
                network = build_network(model, study.backbone, spec)
            refuse_batch_norm(network, recipe.accumulate)
            with watched(network):
                count_flops(network, spec.input_shape)
    except (AttnBenchError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split())
    except (ArithmeticError, LookupError, TypeError, AttributeError, MemoryError) as error:
        # Options that a mechanism cannot work with, such as a reduction by 0.
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return f"cannot be built with these options: {said}"
    return ""
