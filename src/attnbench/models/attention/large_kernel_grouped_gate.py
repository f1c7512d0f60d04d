"""Large-kernel grouped attention gate (LGAG) on the skip, gated by the up-sampled decoder features.

Rahman, Munir, Marculescu: EMCAD: Efficient Multi-scale Convolutional Attention Decoding for
Medical Image Segmentation. CVPR 2024, arXiv:2405.06880, section 3.1, "LGAG"; kernel 3,
width C/2 in as many groups, biases and start (standard deviation 0.02, biases 0) as in the
authors' code (SLDGroup/EMCAD). Departs from it in that the U-Net joins the gated skip to the
up-sampled features side by side, where EMCAD adds them, and that the groups are the greatest
common divisor where skip and gate differ in width.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.layers import BATCH_NORM, CONV, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Large-kernel grouped attention gate",
    short="Grouped gate",
    paper=Paper(
        "Md Mostafijur Rahman, Mustafa Munir, Radu Marculescu",
        2024,
        "EMCAD: Efficient Multi-scale Convolutional Attention Decoding for Medical Image "
        "Segmentation",
        "CVPR 2024, arXiv:2405.06880",
    ),
    slots=("skip",),
    default=("skip",),
    gate="upsampled",
)
class LargeKernelGroupedGate(nn.Module):
    """x * sigmoid(norm(psi(relu(norm(theta(x)) + norm(phi(gate)))))).

    theta and phi are grouped convolutions of odd kernel `kernel_size` and width C/2, psi is 1x1.
    x (B, C, *spatial), gate (B, G, *spatial).
    """

    def __init__(self, channels: int, ndim: int, gate_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {kernel_size}; allowed: odd numbers, nearest {kernel_size + 1}"
            )
        inner = max(1, channels // 2)
        # A kernel of 1 is not grouped in the authors' code: channels would never mix.
        groups = 1 if kernel_size == 1 else math.gcd(channels, gate_channels, inner)
        self.theta, self.phi = (
            nn.Sequential(
                CONV[ndim](inputs, inner, kernel_size, padding=kernel_size // 2, groups=groups),
                BATCH_NORM[ndim](inner),
            )
            for inputs in (channels, gate_channels)
        )
        self.psi = nn.Sequential(conv1x1(ndim, inner, 1), BATCH_NORM[ndim](1))
        for layer in (self.theta[0], self.phi[0], self.psi[0]):
            nn.init.normal_(layer.get_parameter("weight"), std=0.02)
            nn.init.zeros_(layer.get_parameter("bias"))

    def attention_map(self, x: Tensor, gate: Tensor) -> Tensor:
        """Weights in (0, 1) on the skip's grid, (B, 1, *spatial)."""
        return self.psi(F.relu(self.theta(x) + self.phi(gate))).sigmoid()

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * self.attention_map(x, gate)
