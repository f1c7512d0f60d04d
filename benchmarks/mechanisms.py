"""Row 5: a training step with every mechanism, against the authors' formulation as written.

Default backbone and places, one input channel; both networks have the same weights and, to
rounding, the same numbers, which is checked first. What is given is the time of a step over that
of the plain U-Net.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from types import MethodType

import torch
from torch import nn

from attnbench.models.attention import mechanism_names
from attnbench.models.build import build_model
from attnbench.models.registry import get_mechanism
from attnbench.study.groups import TrainingSettings
from attnbench.training.loop import take_step
from attnbench.training.loss import loss_of
from attnbench.training.optimiser import make_optimiser
from benchmarks.naive import FORMULAS
from benchmarks.record import Record, compare
from benchmarks.timing import interleave, paired_ratio

INPUTS = {2: (4, 1, 64, 64), 3: (1, 1, 32, 32, 32)}
REPEATS = 5
# Never slower, less what two runs of the same network differ by.
GOAL = ">= 0.97"


def row_5(device: str) -> Iterator[Record]:
    finish = torch.cuda.synchronize if device == "cuda" else None
    for ndim, shape in INPUTS.items():
        plain = _network("unet", ndim)
        for name in mechanism_names():
            variant = _network(name, ndim)
            _check_same(name, ndim, shape)
            works = {"plain": plain, "ours": variant, "naive": _naive(variant, name)}
            steps = {
                key: _step(network.to(device), shape, device) for key, network in works.items()
            }
            seconds = interleave(steps, REPEATS, finish=finish)
            over = paired_ratio(seconds["ours"], seconds["plain"])
            what, note = f"{name}, {ndim}-D", f"{over.median:.2f} of the plain U-Net's step"
            yield compare(
                5, what, "authors' formulation", seconds["ours"], seconds["naive"], GOAL, note
            )


def _network(name: str, ndim: int) -> nn.Module:
    torch.manual_seed(0)
    return build_model(name, ndim, 1, 3)


def _naive(network: nn.Module, name: str) -> nn.Module:
    """A copy in which every module of the mechanism computes by its formula."""
    other = copy.deepcopy(network)
    for module in other.modules():
        if type(module) is get_mechanism(name).module:
            module.forward = MethodType(FORMULAS[name], module)
    return other


def _check_same(name: str, ndim: int, shape: tuple[int, ...]) -> None:
    """Refuse a naive form whose numbers differ from the mechanism's.

    Scales that start at 0 would hide what they scale, so every weight is moved off its start.
    """
    network = _network(name, ndim).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
        x = torch.randn(shape)
        expected, naive = network(x), _naive(network, name)(x)
    if not (expected - naive).abs().max() < 1e-4 * expected.abs().max():
        raise AssertionError(
            f"{name}: the naive form differs by {(expected - naive).abs().max():.2g}"
        )


def _step(network: nn.Module, shape: tuple[int, ...], device: str) -> Callable[[], object]:
    images = torch.randn(shape, device=device)
    masks = torch.randint(3, (shape[0], *shape[2:]), device=device)
    optimiser = make_optimiser(network, TrainingSettings(), torch.device(device))
    loss = loss_of(TrainingSettings().loss)
    return partial(take_step, network.train(), images, masks, loss, optimiser, None)
