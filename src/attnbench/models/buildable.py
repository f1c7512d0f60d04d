"""Check, before any training, that every model of a study can be built for every dataset."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from attnbench.catalog import load_entry
from attnbench.errors import AttnBenchError, StudyError
from attnbench.models.build import build_network
from attnbench.models.cost import count_flops
from attnbench.models.spec import NetworkSpec
from attnbench.study.settings import Study


def check_models(study: Study, source: str) -> None:
    """Build every model for every dataset and pass a training patch through its shapes.

    Nothing is computed, and nothing but the catalog is read. Raises `StudyError` with every
    model that cannot be built.
    """
    problems = list(_problems(study))
    if problems:
        lines = "\n".join(f"  {line}" for line in problems)
        raise StudyError(f"{source}: {len(problems)} model(s) that cannot be built\n{lines}")


def _problems(study: Study) -> Iterator[str]:
    for dataset in study.trained_datasets:
        entry = load_entry(dataset.name, study.catalog)
        spec = NetworkSpec.of(entry, study.patch(dataset.name, entry.ndim))
        for model in study.trained_models:
            try:
                # An external constructor may read values, which the meta device does not have.
                with torch.device("cpu" if model.network else "meta"):
                    network = build_network(model, study.backbone, spec)
                count_flops(network, spec.input_shape)
            except (AttnBenchError, RuntimeError, ValueError) as error:
                yield f"{model.name} on {dataset.name}: {' '.join(str(error).split())}"
