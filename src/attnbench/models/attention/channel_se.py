"""cSE: spatial squeeze and channel excitation in a U-Net.

Roy, Navab, Wachinger: Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully
Convolutional Networks. MICCAI 2018, arXiv:1803.02579, section 2.1; it halves the width
(reduction 2), without biases: C^2 new weights.
"""

from __future__ import annotations

from attnbench.models.attention._channels import ChannelExcitation
from attnbench.models.attention._papers import SQUEEZE_EXCITE
from attnbench.models.registry import mechanism


@mechanism(
    title="cSE",
    short="cSE",
    paper=SQUEEZE_EXCITE,
    default=("encoder", "bottleneck", "decoder"),
)
class ChannelSE(ChannelExcitation):
    """x * sigmoid(W1 relu(W2 mean(x))) with C/2 hidden units.

    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 2) -> None:
        super().__init__(channels, max(1, channels // reduction))
