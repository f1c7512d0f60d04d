"""Triplet attention: one gate per axis, the channels being one of them, each seeing all other axes.

Misra, Nalamada, Arasanipalai, Hou: Rotate to Attend: Convolutional Triplet Attention Module.
WACV 2021, arXiv:2010.03045, eq. 1-3. As in the authors' code, batch normalisation (momentum
0.01) follows the convolution, and that of the gate over positions starts with a scale of zero:
at first this gate is 1/2 everywhere. Instead of rotating the features, each gate pools along its
axis and is spread along it. Generalised to volumes: four axes, four gates, convolutions over
three axes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.layers import BATCH_NORM, CONV
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Triplet attention",
    short="Triplet attention",
    paper=Paper(
        "Diganta Misra, Trikay Nalamada, Ajay Uppili Arasanipalai, Qibin Hou",
        2021,
        "Rotate to Attend: Convolutional Triplet Attention Module",
        "WACV 2021, arXiv:2010.03045",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside every residual block of an ImageNet network, before the sum",
    gain=("gates.0.1.weight",),
)
class TripletAttention(nn.Module):
    """x * mean over axes of sigmoid(norm(conv([max, mean]))).

    Maximum and mean go along the axis, the convolution has kernel 7. Maps (B, C, *spatial)
    to the same shape.
    """

    def __init__(self, channels: int, ndim: int, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {kernel_size}; allowed: odd numbers, nearest {kernel_size + 1}"
            )
        self.gates = nn.ModuleList(
            nn.Sequential(
                CONV[ndim](2, 1, kernel_size, padding=kernel_size // 2, bias=False),
                BATCH_NORM[ndim](1, momentum=0.01),
            )
            for _ in range(ndim + 1)
        )
        # The first gate pools the channels: it is the one over positions.
        nn.init.zeros_(self.gates.get_parameter("0.1.weight"))

    def _gates(self, x: Tensor) -> list[Tensor]:
        """One gate in (0, 1) per axis, channels first: the shape of `x` with 1 along that axis."""
        gates = []
        for axis, layer in enumerate(self.gates, start=1):
            pooled = torch.stack([x.amax(axis), x.mean(axis)], dim=1)  # (B, 2, the other axes)
            gates.append(layer(pooled).sigmoid().squeeze(1).unsqueeze(axis))
        return gates

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1): mean over gates and channels, (B, 1, *spatial)."""
        gates = [gate.mean(1, keepdim=True).expand(-1, 1, *x.shape[2:]) for gate in self._gates(x)]
        return torch.stack(gates).mean(0)

    def forward(self, x: Tensor) -> Tensor:
        # Each gate has side 1 along its own axis: they spread in the sum, and cannot be stacked.
        first, *rest = self._gates(x)
        for gate in rest:
            first = first + gate
        return x * (first / len(self.gates))
