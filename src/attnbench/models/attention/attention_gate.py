"""Additive attention gate on the skip connection, gated by the coarser decoder features.

Oktay et al.: Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018,
arXiv:1804.03999, eq. 1-2 and fig. 2.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.layers import BATCH_NORM, CONV, conv1x1, resize
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Attention gate",
    short="Attention gate",
    paper=Paper(
        "Oktay et al.",
        2018,
        "Attention U-Net: Learning Where to Look for the Pancreas",
        "arXiv:1804.03999",
    ),
    slots=("skip",),
    default=("skip",),
    gate="coarse",
)
class AttentionGate(nn.Module):
    """W(x * up(sigmoid(psi(relu(theta(x) + phi(gate)))))).

    The skip is weighted by where the decoder looks. theta is a 2^n convolution of stride 2 to the
    gate's grid, phi and psi are 1x1, the map is up-sampled linearly to the skip's grid, W is a
    1x1 convolution with batch normalisation. x (B, C, *spatial), gate (B, G, *spatial / 2).
    """

    def __init__(self, channels: int, ndim: int, gate_channels: int) -> None:
        super().__init__()
        # No bias: phi, which is added to it, has one.
        self.theta = CONV[ndim](channels, channels, kernel_size=2, stride=2, bias=False)
        self.phi = conv1x1(ndim, gate_channels, channels)
        self.psi = conv1x1(ndim, channels, 1)
        self.output = nn.Sequential(conv1x1(ndim, channels, channels), BATCH_NORM[ndim](channels))

    def attention_map(self, x: Tensor, gate: Tensor) -> Tensor:
        """Weights in (0, 1) on the skip's grid, (B, 1, *spatial)."""
        theta = self.theta(x)
        phi = resize(self.phi(gate), tuple(theta.shape[2:]))
        weights = self.psi(F.relu(theta + phi)).sigmoid()
        return resize(weights, tuple(x.shape[2:]))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return self.output(x * self.attention_map(x, gate))
