"""sSE: channel squeeze and spatial excitation in a U-Net.

Roy, Navab, Wachinger: Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully
Convolutional Networks. MICCAI 2018, arXiv:1803.02579, section 2.2; without bias: C new weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._papers import SQUEEZE_EXCITE
from attnbench.models.layers import conv1x1
from attnbench.models.registry import mechanism


@mechanism(
    title="sSE",
    short="sSE",
    paper=SQUEEZE_EXCITE,
    default=("encoder", "bottleneck", "decoder"),
)
class SpatialSE(nn.Module):
    """x * sigmoid(W x) with one weight per channel; maps (B, C, *spatial) to the same shape."""

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        self.squeeze = conv1x1(ndim, channels, 1, bias=False)

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), (B, 1, *spatial)."""
        return self.squeeze(x).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention_map(x)
