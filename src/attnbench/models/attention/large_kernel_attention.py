"""Large kernel attention: a 21 x 21 neighbourhood, as three convolutions, weights every value.

Guo, Lu, Liu, Cheng, Hu: Visual Attention Network. Computational Visual Media 2023,
arXiv:2202.09741 (2022), eq. 1-2: the attention alone; the two linear layers, GELU and
feed-forward network around it in the backbone of the paper are left to the U-Net's convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.layers import CONV, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Large kernel attention",
    short="Large kernel",
    paper=Paper("Guo, Lu, Liu, Cheng, Hu", 2022, "Visual Attention Network", "arXiv:2202.09741"),
    default=("encoder", "bottleneck"),
)
class LargeKernelAttention(nn.Module):
    """x * conv1x1(dilated(local(x))) with depth-wise convolutions.

    local has kernel 5, dilated kernel 7 with dilation 3. The weights are not squashed and may be
    negative. Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            CONV[ndim](channels, channels, 5, padding=2, groups=channels),
            # Padding 9 = 3 * (7 - 1) / 2 keeps the size.
            CONV[ndim](channels, channels, 7, padding=9, dilation=3, groups=channels),
            conv1x1(ndim, channels, channels),
        )

    def attention_map(self, x: Tensor) -> Tensor:
        """Size of the positions' weights, mean of |weight| over channels, (B, 1, *spatial)."""
        return self.weigh(x).abs().mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x)
