"""Checkpoints: weights, and the hashes that say what they were trained on."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attnbench.errors import CheckpointError
from attnbench.files import whole_file


def hash_of_weights(network: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(
            value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def save_checkpoint(
    path: Path, network: nn.Module, hashes: dict[str, str], trained_on: Sequence[Mapping[str, Any]]
) -> None:
    """Write weights, `hashes` (recipe, data, folds) and what they saw, whole or not at all.

    `trained_on` has a mapping per training that led to the weights: `dataset`, `data_hash`, and
    `cases` that they have seen.
    """
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    with whole_file(path) as temporary:
        torch.save(
            {"weights": weights, "hashes": hashes, "trained_on": [dict(one) for one in trained_on]},
            temporary,
        )


def save_diverged(path: Path, hashes: dict[str, str], diverged: Mapping[str, Any]) -> None:
    """Write the file of a training that diverged, whole: its hashes and how, and no weights."""
    with whole_file(path) as temporary:
        torch.save({"diverged": dict(diverged), "hashes": hashes}, temporary)


def load_checkpoint(path: Path, network: nn.Module, hashes: dict[str, str]) -> None:
    """Load the weights in `path` into `network`.

    Raises:
        CheckpointError: the file is damaged, of a training that diverged, or its hashes or shapes
            are not those expected.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        stated = content["hashes"]
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: no readable checkpoint ({error}); delete it and train this run again"
        ) from error
    if "diverged" in content:
        raise CheckpointError(
            f"{path}: this training diverged and has no weights: {content['diverged']['says']}; "
            "`attnbench rerun` trains it again"
        )
    for name, expected in hashes.items():
        if stated.get(name) != expected:
            raise CheckpointError(
                f"{path}: trained with another {name} (found {stated.get(name)}, now {expected}); "
                "train this run again"
            )
    try:
        network.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise CheckpointError(f"{path}: the weights do not fit the network: {error}") from error
