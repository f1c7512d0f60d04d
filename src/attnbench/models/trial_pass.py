"""A pass through an external network before any training: what it cannot do is found here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from attnbench.errors import AttnBenchError, ModelError
from attnbench.models.batch_norm import refuse_batch_norm
from attnbench.models.cost import count_activation_bytes, count_flops, count_parameters
from attnbench.models.external import ExternalNetwork
from attnbench.models.spec import NetworkSpec
from attnbench.study.models import ModelSettings

# Largest sides of the images that are computed, tried in this order, by number of axes: what a
# training patch needs beyond them is asked of its shapes alone.
_SIDES = {2: (64, 128, 256), 3: (32, 64, 96)}
_LARGEST_DIVISOR = 64


def try_external(model: ModelSettings, spec: NetworkSpec, batch: int, parts: int = 1) -> None:
    """Build an external network, and pass a small batch through it in evaluation and training.

    The small batch, of two at most, is computed, forwards in both modes and backwards in training;
    a patch of full size passes as shapes, which costs no memory.

    Args:
        model: one with a `network`.
        spec: channels, classes and training patch of a dataset.
        batch: of the model's training.
        parts: that a step takes the batch in (`training.accumulate`).

    Raises:
        OwnCodeError: the network cannot be imported, or is none.
        ModelError: it cannot be built, trained or predicted with; it says how to adapt it.
    """
    network = ExternalNetwork(model, spec)
    if not count_parameters(network):
        raise ModelError(f"{model.name}: {model.network} has no parameter to train")
    refuse_batch_norm(network, parts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _compute(network, model, spec, min(batch, 2))
    try:
        count_activation_bytes(network, spec.input_shape)
        count_flops(network, spec.input_shape)
    except AttnBenchError:
        raise
    except Exception as error:  # own code may raise anything
        raise ModelError(
            f"{model.name}: its small pass succeeds, but not the one of shapes alone at "
            f"{list(spec.patch)}, by which operations are counted: {_said(error)}; a network takes "
            "every patch of the study, makes no decision by values (`if x.max() > 1`, `.item()`), "
            "and keeps tensors as buffers (`register_buffer`), so that they move with it"
        ) from error


def _compute(network: ExternalNetwork, model: ModelSettings, spec: NetworkSpec, batch: int) -> None:
    """Pass the smallest batch that the network takes; `ModelError` where it takes none."""
    refused: Exception | None = None
    for most in _SIDES[spec.ndim]:
        sides = spec.patch if model.fixed_size else tuple(min(side, most) for side in spec.patch)
        try:
            _pass(network, model, torch.randn(batch, spec.in_channels, *sides))
            return
        except AttnBenchError as error:
            advice = _advice_on_sides(network, model, spec)
            raise ModelError(f"{error}{f'; {advice}' if advice else ''}") from error
        except Exception as error:  # own code may raise anything
            refused = error
        if sides == spec.patch:
            break
    assert refused is not None  # or one of them has passed
    advice = _advice_on_sides(network, model, spec) or _advice_on(refused, batch)
    raise ModelError(
        f"{model.name}: fails for input {(batch, spec.in_channels, *sides)}: {_said(refused)}"
        f"{f'; {advice}' if advice else ''}"
    ) from refused


def _pass(network: ExternalNetwork, model: ModelSettings, x: Tensor) -> None:
    """Check one batch, computed in both modes; raises what the network raises, or `ModelError`."""
    returned: list[Any] = []
    seen = network.network.register_forward_hook(lambda _, __, found: returned.append(found))
    kept = x.clone()
    with torch.no_grad():
        predicted = network.eval()(x)
    # Not a leaf, which a network that works in place could not change.
    source = x.clone().requires_grad_()
    trained = network.train()(source * 1)
    seen.remove()
    problem = next(_problems(predicted, trained, x, kept), "")
    if (
        not problem
        and model.output is not None
        and all(isinstance(one, Tensor) for one in returned)
    ):
        problem = f"returns one tensor; remove `output: {model.output}`"
    if not problem:
        torch.autograd.grad(trained.sum(), source, allow_unused=True)
        problem = _squashed(network, predicted, trained, x)
    if problem:
        raise ModelError(f"{model.name}: {problem}")


def _problems(predicted: Tensor, trained: Tensor, x: Tensor, kept: Tensor) -> Iterator[str]:
    """Yield what is wrong with logits in evaluation and training, of an input once `kept`."""
    for logits in (predicted, trained):
        if logits.dtype != torch.float32:
            kind = str(logits.dtype).removeprefix("torch.")
            yield (
                f"returns {kind} for input of float32; logits are float32 (precision is the "
                "study's key `compute.precision`): end its forward by `.float()`"
            )
        if not logits.isfinite().all():
            yield "returns logits that are not finite for images of zero mean and unit variance"
    if not torch.equal(x, kept):
        yield "changes its input in place; mirrored passes read it again: begin by `x = x.clone()`"
    if not trained.requires_grad:
        yield (
            "its logits have no gradient: it detaches them, or makes them by `no_grad`, NumPy or "
            "an argmax"
        )


def _squashed(network: nn.Module, predicted: Tensor, trained: Tensor, x: Tensor) -> str:
    """Say so where a network returns probabilities, in either mode; else nothing.

    Logits may lie between 0 and 1 by chance, or because last layers start at zero, but not for
    weights of any size.
    """
    for training, logits in ((False, predicted), (True, trained)):
        if not _like_probabilities(logits):
            continue
        with _other_weights(network.train(training)) as draw, torch.no_grad():
            others = [draw(lambda: network(x)) for _ in range(2)]
        if all(map(_like_probabilities, others)):
            sums = torch.stack([one.sum(dim=1) for one in others])
            softmax = torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
            kind = "a softmax" if softmax else "a sigmoid or the like"
            when = "training" if training else "evaluation"
            return (
                f"returns probabilities in {when} (all lie between 0 and 1, as of {kind}); the "
                "loss and prediction have their own softmax: switch it off by an argument "
                "(`activation: null` or the like), or wrap the network (docs/your-model.md)"
            )
    return ""


def _like_probabilities(logits: Tensor) -> bool:
    return bool(((logits >= 0) & (logits <= 1)).all())


@contextmanager
def _other_weights(network: nn.Module) -> Iterator[Callable[[Callable[[], Tensor]], Tensor]]:
    """Give a function that calls another with weights drawn anew; afterwards they are as before."""
    before = {name: value.detach().clone() for name, value in network.named_parameters()}

    def draw(call: Callable[[], Tensor]) -> Tensor:
        for name, value in network.named_parameters():
            # Kernels keep the scale of what passes through them, however many layers there are.
            spread = 1 / math.sqrt(value[0].numel()) if value.ndim > 1 else 0.5
            value.data.copy_(2 * before[name] + spread * torch.randn_like(value))
        return call()

    try:
        yield draw
    finally:
        for name, value in network.named_parameters():
            value.data.copy_(before[name])


def _advice_on_sides(network: ExternalNetwork, model: ModelSettings, spec: NetworkSpec) -> str:
    """Say which `divisor` would do where the sides are what is refused, found by trying."""
    if model.fixed_size or _takes(network, spec, spec.patch):
        return ""
    for divisor in range(2, _LARGEST_DIVISOR + 1):
        # Odd multiples, two of them: a side that is a multiple of more by chance would mislead.
        nearest = max(1, round(max(spec.patch) / divisor))
        odd = nearest + 1 - nearest % 2
        if all(_takes(network, spec, [divisor * (odd + more)] * spec.ndim) for more in (0, 2)):
            return f"it takes sides that are multiples of {divisor}: set `divisor: {divisor}`"
    return ""


def _takes(network: ExternalNetwork, spec: NetworkSpec, sides: Any) -> bool:
    try:
        count_flops(network, (1, spec.in_channels, *sides))
    except Exception:  # whatever it is, it is no pass
        return False
    return True


def _advice_on(error: Exception, batch: int) -> str:
    if re.search("must match|size mismatch|shape", str(error)):
        return (
            "a network of one size (weights per position) gets it by '{patch}' among its "
            "arguments, with `fixed_size: true`"
        )
    if "more than 1 value per channel" in str(error) and batch == 1:
        return (
            "batch normalisation has no variance over one value: `training.batch: 2` at least, "
            "for this model or the study, or another normalisation"
        )
    return ""


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
