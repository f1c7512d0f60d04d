"""Selective state space (Mamba) over positions in four directions, in volumes in six: SS2D.

Ruan, Xiang: VM-UNet: Vision Mamba UNet for Medical Image Segmentation. arXiv:2402.02491, section
3.2, its VSS block of Liu et al.: VMamba: Visual State Space Model. NeurIPS 2024,
arXiv:2401.10166, section 4; the scan is that of Gu, Dao: Mamba: Linear-Time Sequence Modeling
with Selective State Spaces. arXiv:2312.00752, eq. 2 and algorithm 2. As in the authors' code
(JCruan519/VM-UNet): width 2 C, 16 states, steps of rank ceil(C / 16), weights per direction,
started as Mamba does (rates -1, ..., -16; steps between 0.001 and 0.1; D = 1), linear layers at
a standard deviation of 0.02; no bias but in the convolution. A, D and the bias of the steps are
kept flat, so that they do not decay, as Mamba asks.

In 2-D the four sequences go along rows, along columns, and both backwards. In volumes each of the
three axes runs fastest once, the others in their order, there and back: six sequences. Departs
from the paper in that the block sits behind the U-Net's own convolutions (there it replaces them,
and the finest features are those of patches of 4), and that nothing is dropped.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._scan import at_least_single, selective_scan, weights_of_values
from attnbench.models.layers import CONV
from attnbench.models.registry import Paper, mechanism


def directions(x: Tensor) -> Tensor:
    """Sequences (B, 2 n, L, E) of (B, *spatial, E), n axes: last axis fastest first, then back."""
    ndim = x.dim() - 2
    there = torch.stack(
        [x.movedim(axis, ndim).flatten(1, ndim) for axis in range(ndim, 0, -1)], dim=1
    )
    return torch.cat([there, there.flip(2)], dim=1)


def merge(sequences: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Sum over all directions (B, 2 n, L, E), each put back in its place, (B, *spatial, E)."""
    ndim = len(sides)
    there, back = sequences.chunk(2, dim=1)
    both = (there + back.flip(2)).unbind(1)
    total = both[0].unflatten(1, sides)
    for axis, sequence in zip(range(ndim - 1, 0, -1), both[1:], strict=True):
        order = (*sides[: axis - 1], *sides[axis:], sides[axis - 1])
        total = total + sequence.unflatten(1, order).movedim(ndim, axis)
    return total


@mechanism(
    title="Selective state space",
    short="State space",
    paper=Paper(
        "Jiacheng Ruan, Suncheng Xiang",
        2024,
        "VM-UNet: Vision Mamba UNet for Medical Image Segmentation",
        "arXiv:2402.02491",
    ),
    default=("encoder", "bottleneck", "decoder"),
    in_paper="in every block of a U-shaped network of it, from a quarter of the resolution on",
    deepest=2,
)
class SelectiveStateSpace(nn.Module):
    """x + W_out(norm(SS(silu(conv(v)))) * silu(z)) with (v, z) = W_in(norm(x)).

    v and z have `expand` * C channels, conv is depth-wise with kernel 3. SS is the sum over the
    directions of y_t + D v_t, where y is the selective scan of v with steps, read and write
    weights that are linear in v. Maps (B, C, *spatial) to the same shape; time and memory are
    linear in the number of positions; the scan runs in single precision at least.
    """

    def __init__(self, channels: int, ndim: int, states: int = 16, expand: int = 2) -> None:
        super().__init__()
        inner, rank, number = expand * channels, math.ceil(channels / 16), 2 * ndim
        self.states, self.rank, self.sequences = states, rank, number
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.input = nn.Linear(channels, 2 * inner, bias=False)
        self.conv = CONV[ndim](inner, inner, 3, padding=1, groups=inner)
        bound, low, high = inner**-0.5, math.log(0.001), math.log(0.1)
        self.select = nn.Parameter(
            torch.empty(number, rank + 2 * states, inner).uniform_(-bound, bound)
        )
        self.step = nn.Parameter(
            torch.empty(number, inner, rank).uniform_(-(rank**-0.5), rank**-0.5)
        )
        start = torch.empty(number * inner).uniform_(low, high).exp().clamp(min=1e-4)
        # Softplus of the bias is the step to start at.
        self.step_bias = nn.Parameter(start + torch.log(-torch.expm1(-start)))
        rates = torch.arange(1.0, states + 1).log().repeat(number, 1).repeat_interleave(inner)
        self.log_rates = nn.Parameter(rates)
        self.direct = nn.Parameter(torch.ones(number * inner))
        self.output_norm = nn.LayerNorm(inner)
        self.output = nn.Linear(inner, channels, bias=False)
        for layer in (self.input, self.output):
            nn.init.trunc_normal_(layer.weight, std=0.02)

    def _sequences(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is scanned, (B, directions, L, E), and the gate z, (B, *spatial, E)."""
        value, gate = self.input(self.norm(x.movedim(1, -1))).chunk(2, dim=-1)
        mixed = F.silu(self.conv(value.movedim(-1, 1)))
        return directions(mixed.movedim(1, -1)), gate

    def _selection(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Steps, rates, read and write weights of the scan, in its shapes."""
        step, read, write = (sequences @ self.select.transpose(1, 2)).split(
            [self.rank, self.states, self.states], dim=3
        )
        step = step @ self.step.transpose(1, 2)
        # Single precision before the bias: half has too few digits for steps near 0.001.
        delta = F.softplus(
            at_least_single(step) + self.step_bias.unflatten(0, (self.sequences, 1, -1))
        )
        rates = -self.log_rates.exp().unflatten(0, (self.sequences, self.states, -1))
        return delta, rates, read, write

    def attention_map(self, x: Tensor) -> Tensor:
        """Size of the weight with which each position enters the results, (B, 1, *spatial).

        The weight of its value in the sum over all results and directions, |.|, mean over
        channels; what follows the scan is left out.
        """
        sequences, _ = self._sequences(x)
        weights = weights_of_values(*self._selection(sequences))
        weights = weights + self.direct.unflatten(0, (self.sequences, 1, -1))
        return merge(weights, tuple(x.shape[2:])).abs().mean(-1).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        sequences, gate = self._sequences(x)
        scanned = selective_scan(sequences, *self._selection(sequences))
        direct = self.direct.unflatten(0, (self.sequences, 1, -1))
        summed = merge(scanned + direct * sequences, tuple(x.shape[2:]))
        gated = self.output_norm(summed) * F.silu(gate)
        return x + self.output(gated).movedim(-1, 1)
