"""Additive attention gate on the skip connection, gated by the up-sampled decoder features.

Oktay et al.: Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018,
arXiv:1804.03999. This is the dialect of most public implementations
(LeeJunHyun/Image_Segmentation, 2018), not the paper's own gate (`attention_gate`): gate and skip
share one grid, theta is 1x1 and halves the width, batch normalisation follows theta, phi and
psi, and nothing follows the product.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._papers import ATTENTION_U_NET
from attnbench.models.layers import BATCH_NORM, conv1x1
from attnbench.models.registry import mechanism


@mechanism(
    title="Attention gate, up-sampled",
    short="Attention gate (up)",
    paper=ATTENTION_U_NET,
    slots=("skip",),
    default=("skip",),
    gate="upsampled",
)
class AttentionGateUpsampled(nn.Module):
    """x * sigmoid(norm(psi(relu(norm(theta(x)) + norm(phi(gate)))))).

    The convolutions are 1x1, of width C/2. x (B, C, *spatial), gate (B, G, *spatial).
    """

    def __init__(self, channels: int, ndim: int, gate_channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        norm = BATCH_NORM[ndim]
        self.theta = nn.Sequential(conv1x1(ndim, channels, inner), norm(inner))
        self.phi = nn.Sequential(conv1x1(ndim, gate_channels, inner), norm(inner))
        self.psi = nn.Sequential(conv1x1(ndim, inner, 1), norm(1))

    def attention_map(self, x: Tensor, gate: Tensor) -> Tensor:
        """Weights in (0, 1) on the skip's grid, (B, 1, *spatial)."""
        return self.psi(F.relu(self.theta(x) + self.phi(gate))).sigmoid()

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * self.attention_map(x, gate)
