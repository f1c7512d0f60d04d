"""BAM: a channel and a dilated spatial branch, side by side, between two levels.

Park, Woo, Lee, Kweon: BAM: Bottleneck Attention Module. BMVC 2018, arXiv:1807.06514, eq. 1-4.
Normalisation and activation stand where the authors' code has them: behind every layer of a
branch but its last. Departs from it in a floor of 8 hidden units, which the paper's widths never
meet; and where a batch of one leaves the channel branch nothing to normalise over (the authors'
code fails), the running statistics are used.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._channels import (
    PooledBatchNorm,
    channel_weights,
    hidden_width,
    spatial_mean,
)
from attnbench.models.layers import BATCH_NORM, CONV, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="BAM",
    short="BAM",
    paper=Paper(
        "Jongchan Park, Sanghyun Woo, Joon-Young Lee, In So Kweon",
        2018,
        "BAM: Bottleneck Attention Module",
        "BMVC 2018, arXiv:1807.06514",
    ),
    default=("encoder",),
    in_paper="between the stages of an ImageNet network",
)
class BAM(nn.Module):
    """x + x * sigmoid(channel(x) * spatial(x)), reduction 16, two 3^n convolutions of dilation 4.

    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden),
            PooledBatchNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        convolutions = [
            conv1x1(ndim, channels, hidden),
            # Padded by its dilation a kernel of 3 keeps the size.
            *(CONV[ndim](hidden, hidden, 3, padding=dilation, dilation=dilation) for _ in range(2)),
        ]
        layers = [
            layer
            for convolution in convolutions
            for layer in (convolution, BATCH_NORM[ndim](hidden), nn.ReLU())
        ]
        self.spatial = nn.Sequential(*layers, conv1x1(ndim, hidden, 1))

    def _weights(self, x: Tensor) -> Tensor:
        channel = channel_weights(self.channel(spatial_mean(x)), x)
        # (B, C, 1, ...) times (B, 1, *spatial) spreads over every value.
        return (channel * self.spatial(x)).sigmoid()

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), their mean over channels, (B, 1, *spatial)."""
        return self._weights(x).mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + x * self._weights(x)
