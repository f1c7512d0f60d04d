"""The gradient of a batch, computed at once or, where memory is short, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from attnbench.training.loss import Loss, Terms, losses_of


def gradients(
    network: nn.Module,
    images: Tensor,
    masks: Tensor,
    loss: Loss,
    autocast: torch.dtype | None,
    parts: int = 1,
) -> Terms:
    """Add the gradient of a batch's loss to the network's; return the loss's terms, detached.

    In `parts` above 1 the gradient is that of the whole batch all the same, whatever the loss
    pools: every part's logits are computed first without a graph, the loss of all of them gives
    the gradient at the logits, and each part passes once more to carry its own share back. Random
    layers draw the same numbers in both passes. Gao et al., Scaling deep contrastive learning
    batch size under memory limited setup, RepL4NLP 2021.

    Args:
        network: in training mode; of several parts, without batch norm (`refuse_batch_norm`).
        images: (B, C, *patch) float32.
        masks: (B, *patch) integers.
        loss: of logits and masks.
        autocast: dtype of mixed precision; None for float32.
        parts: number of parts, of which the first ones have a patch more where B is no multiple.
    """
    if parts == 1:
        # The loss is in float32; backward runs in the dtypes of the forward pass by itself.
        terms = losses_of(loss, _outputs(network, images, autocast), masks)
        terms.values.sum().backward()
        return Terms(terms.names, terms.values.detach())
    pieces = images.tensor_split(parts)
    states = []
    found: list[Sequence[Tensor]] = []
    with torch.no_grad():
        for piece in pieces:
            states.append(_random_state(images.device))
            found.append(_levels(_outputs(network, piece, autocast)))
    logits = [torch.cat(level).requires_grad_() for level in zip(*found, strict=True)]
    del found
    terms = losses_of(loss, logits, masks)
    terms.values.sum().backward()
    shares = [level.grad.tensor_split(parts) for level in logits if level.grad is not None]
    for piece, state, *share in zip(pieces, states, *shares, strict=True):
        with _drawn_again(state, images.device):
            outputs = _levels(_outputs(network, piece, autocast))
        # A sum whose gradient is the share: to give backward tensors would import torch's compiler.
        products = [(a * b).sum() for a, b in zip(outputs, share, strict=True)]
        torch.stack(products).sum().backward()
    return Terms(terms.names, terms.values.detach())


def _outputs(
    network: nn.Module, images: Tensor, autocast: torch.dtype | None
) -> Tensor | Sequence[Tensor]:
    with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
        outputs: Tensor | Sequence[Tensor] = network(images)
    return outputs


def _levels(outputs: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    own = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), own


@contextmanager
def _drawn_again(state: tuple[Tensor, Tensor | None], device: torch.device) -> Iterator[None]:
    """Draw from a former state inside; go on from the present one behind."""
    now = _random_state(device)
    _set_random_state(state, device)
    yield
    _set_random_state(now, device)


def _set_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
