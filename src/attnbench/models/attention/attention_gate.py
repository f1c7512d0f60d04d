"""Additive attention gate on the skip connection, gated by the coarser decoder features.

Oktay et al.: Attention U-Net: Learning Where to Look for the Pancreas. MIDL 2018,
arXiv:1804.03999, eq. 1-2 and fig. 2; the finest skip is not gated (section 3.2). What follows
the gate is that of the authors' code (ozan-oktay/Attention-Gated-Networks), not in the paper: a
1x1 convolution with batch normalisation, and another one with ReLU; initial values are the
code's as well (Kaiming). Departs from the code in that the bottleneck reaches its gate as it is
(there through one more 1x1 convolution with batch normalisation and ReLU), as all other levels do.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._papers import ATTENTION_U_NET
from attnbench.models.layers import BATCH_NORM, CONV, conv1x1, resize
from attnbench.models.registry import mechanism


@mechanism(
    title="Attention gate",
    short="Attention gate",
    paper=ATTENTION_U_NET,
    slots=("skip",),
    default=("skip",),
    finest=1,
    gate="coarse",
)
class AttentionGate(nn.Module):
    """relu(norm(V norm(W (x * up(sigmoid(psi(relu(theta(x) + phi(gate))))))))).

    The skip is weighted by where the decoder looks. theta is a 2^n convolution of stride 2 to the
    gate's grid, phi, psi, W and V are 1x1, the map is up-sampled linearly to the skip's grid.
    x (B, C, *spatial), gate (B, G, *spatial / 2).
    """

    def __init__(self, channels: int, ndim: int, gate_channels: int) -> None:
        super().__init__()
        # No bias: phi, which is added to it, has one.
        self.theta = CONV[ndim](channels, channels, kernel_size=2, stride=2, bias=False)
        self.phi = conv1x1(ndim, gate_channels, channels)
        self.psi = conv1x1(ndim, channels, 1)
        self.output = nn.Sequential(
            conv1x1(ndim, channels, channels),
            BATCH_NORM[ndim](channels),
            conv1x1(ndim, channels, channels),
            BATCH_NORM[ndim](channels),
            nn.ReLU(),
        )
        for layer in (self.theta, self.phi, self.psi, self.output[0], self.output[2]):
            nn.init.kaiming_normal_(layer.get_parameter("weight"))
        for norm in (self.output[1], self.output[3]):
            nn.init.normal_(norm.get_parameter("weight"), 1.0, 0.02)

    def attention_map(self, x: Tensor, gate: Tensor) -> Tensor:
        """Weights in (0, 1) on the skip's grid, (B, 1, *spatial)."""
        theta = self.theta(x)
        phi = resize(self.phi(gate), tuple(theta.shape[2:]))
        weights = self.psi(F.relu(theta + phi)).sigmoid()
        return resize(weights, tuple(x.shape[2:]))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return self.output(x * self.attention_map(x, gate))
