"""scSE: concurrent spatial and channel squeeze and excitation in a U-Net.

Roy, Navab, Wachinger: Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully
Convolutional Networks. MICCAI 2018, arXiv:1803.02579, section 2.3: the sum of both branches (a
maximum only in later work); C^2 + C weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._papers import SQUEEZE_EXCITE
from attnbench.models.attention.channel_se import ChannelSE
from attnbench.models.attention.spatial_se import SpatialSE
from attnbench.models.registry import mechanism


@mechanism(
    title="scSE",
    short="scSE",
    paper=SQUEEZE_EXCITE,
    default=("encoder", "bottleneck", "decoder"),
)
class SCSE(nn.Module):
    """cSE(x) + sSE(x); maps (B, C, *spatial) to the same shape."""

    def __init__(self, channels: int, ndim: int, reduction: int = 2) -> None:
        super().__init__()
        self.channel = ChannelSE(channels, ndim, reduction)
        self.spatial = SpatialSE(channels, ndim)

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), (B, 1, *spatial)."""
        return self.spatial.attention_map(x)

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.channel.channel_map(x) + self.spatial.attention_map(x))
