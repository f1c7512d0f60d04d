"""Checkpoints: weights, and the stamp that says which run they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attnbench.errors import CheckpointError
from attnbench.files import whole_file
from attnbench.training.stamp import Stamp, refuse_other


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
    path: Path, network: nn.Module, stamp: Stamp, trained_on: Sequence[Mapping[str, Any]]
) -> None:
    """Write weights, the stamp of their run and what they saw, whole or not at all.

    `trained_on` has a mapping per training that led to the weights: `dataset`, `data_hash`, and
    `cases` that they have seen.
    """
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    content = {
        "weights": weights,
        "stamp": dict(stamp),
        "trained_on": [dict(one) for one in trained_on],
    }
    with whole_file(path) as temporary:
        torch.save(content, temporary)


def save_diverged(path: Path, stamp: Stamp, diverged: Mapping[str, Any]) -> None:
    """Write the file of a training that diverged, whole: its stamp and how, and no weights."""
    with whole_file(path) as temporary:
        torch.save({"diverged": dict(diverged), "stamp": dict(stamp)}, temporary)


def load_checkpoint(
    path: Path, network: nn.Module, expected: Stamp, weights_sha256: str, remedy: str
) -> Stamp:
    """Load the weights in `path` into `network`; return the stamp of their run.

    Args:
        path: of a `model.pt`.
        network: as the run built it.
        expected: what the stamp has to say.
        weights_sha256: `hash_of_weights` of what was trained.
        remedy: what to do where it is something else, as the end of the message.

    Raises:
        CheckpointError: the file is damaged, of a training that diverged, or its weights are not
            those that were trained or do not fit the network.
        SealError: they are those of another run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        stamp, lost = dict(content["stamp"]), content.get("diverged")
        weights = {} if lost else content["weights"]
    # A damaged file may raise anything. What torch says of it is advice to let the file run code.
    except Exception as error:
        raise CheckpointError(
            f"{path}: no checkpoint that can be read ({type(error).__name__}); {remedy}"
        ) from error
    refuse_other(stamp, expected, path, remedy)
    if lost:
        raise CheckpointError(
            f"{path}: this training diverged and has no weights: {lost['says']}; `attnbench rerun` "
            "trains it again"
        )
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: the weights do not fit the network: {error}; {remedy}"
        ) from error
    if (found := hash_of_weights(network)) != weights_sha256:
        raise CheckpointError(
            f"{path}: not the weights that were trained (SHA-256 found {found[:12]}, `run.json` "
            f"says {weights_sha256[:12]}); {remedy}"
        )
    return stamp
