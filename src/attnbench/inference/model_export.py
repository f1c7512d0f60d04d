"""A trained network as a file for other programs, with all that they have to know beside it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from attnbench.catalog import load_entry
from attnbench.errors import AttnBenchError
from attnbench.files import sha256_of, write_json
from attnbench.inference.model_file import FORMATS, IMAGE, LOGITS, TOLERANCE, Format, write_network
from attnbench.inference.sliding import OVERLAP, SIGMA
from attnbench.inference.trained import Trained, load_trained
from attnbench.models.cost import count_parameters
from attnbench.models.spec import NetworkSpec
from attnbench.study.paths import Run
from attnbench.training.checkpoint import hash_of_weights
from attnbench.training.provenance import provenance

if TYPE_CHECKING:
    from attnbench.study.settings import Study

log = logging.getLogger("attnbench")
BACKGROUND = "background"


def export_model(study: Study, run: Run, form: Format, path: Path) -> dict[str, Any]:
    """Write the network of a trained run to `path`, and its description to `<path>.json` beside it.

    The file maps normalised patches (B, C, *spatial), float32, to logits (B, K, *spatial) of the
    background and every class; what happens to an image before and after that is in the
    description, which is returned: docs/files.md.

    Raises:
        CheckpointError: the weights belong to another recipe, other data or other folds.
        ModelError: as `write_network`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu")
    trained = load_trained(study, run, device)
    spec = NetworkSpec.of(trained.inputs.store.info, trained.inputs.patch)
    written = write_network(trained.network, spec, form, path)
    sides = written.sides(spec)
    images: int | str = "any" if written.freedom.batch else 1
    content = {
        "file": path.name,
        "format": form,
        "sha256": sha256_of(path),
        "input": {
            "name": IMAGE,
            "dtype": "float32",
            "shape": [images, spec.in_channels, *sides],
            "axes": list(load_entry(run.dataset, study.catalog).axes),
        },
        "output": {
            "name": LOGITS,
            "dtype": "float32",
            "shape": [images, spec.classes, *sides],
            "classes": {0: BACKGROUND, **trained.inputs.store.info.classes},
        },
        **_around(study, run, trained),
        "run": {
            "study": study.name,
            **{key: getattr(run, key) for key in ("dataset", "model", "fold", "seed", "percent")},
            **{f"{name}_hash": value for name, value in trained.inputs.hashes.items()},
            "weights_sha256": hash_of_weights(trained.network),
            "parameters": count_parameters(trained.network),
            "training_licence": trained.inputs.store.info.licence,
        },
        "check": {
            "runtime": written.runtime,
            "inputs": [list(shape) for shape in written.shapes],
            "largest_difference": written.difference,
            "largest_logit": written.largest,
            "allowed_share": TOLERANCE,
            "not_open_because": written.tightened or None,
        },
        "versions": provenance(study.compute, device)["versions"],
    }
    write_json(path.with_suffix(f"{path.suffix}.json"), content)
    log.info(
        "%s  %s: input %s; largest difference from the network %.2g, of logits up to %.3g",
        run,
        path,
        " x ".join(map(str, content["input"]["shape"])),
        written.difference,
        written.largest,
    )
    return content


def _around(study: Study, run: Run, trained: Trained) -> dict[str, Any]:
    """What is done to an image before the network sees it, and to its logits after that."""
    inputs, settings = trained.inputs, study.dataset(run.dataset)
    info = inputs.store.info
    of_fold = inputs.normalisation.of_fold
    names = ("low", "high", "mean", "sd")
    return {
        "grid": {
            "spacing": info.spacing,
            "size": info.size,
            "unit": info.spacing_unit,
            "interpolation": settings.interpolation if info.resampled else None,
            "channels": settings.channels,
        },
        "normalisation": {
            "scheme": inputs.normalisation.scheme,
            "of_training_cases": None
            if of_fold is None
            else [dict(zip(names, channel, strict=True)) for channel in of_fold.tolist()],
        },
        "windows": {
            "patch": list(inputs.patch),
            "overlap": OVERLAP,
            "sigma": SIGMA,
            "mirrored_along": list(trained.mirror),
        },
    }


def format_of(word: str) -> Format:
    """The format of that name; `AttnBenchError` lists them."""
    for form in FORMATS:
        if form == word:
            return form
    raise AttnBenchError(f"no format {word!r}; allowed: {', '.join(FORMATS)}")
