"""Spatial attention of SA-UNet: one convolution over the mean and the maximum of all channels.

Guo, Szemenyei, Yi, Wang, Chen, Fan: SA-UNet: Spatial Attention U-Net for Retinal Vessel
Segmentation. ICPR 2020, arXiv:2004.03696, eq. 1: the spatial half of CBAM, without
normalisation, at the bottleneck. Departs from it in that it follows both convolutions of the
bottleneck (in the paper it is between them).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.layers import CONV
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Spatial attention",
    short="Spatial attention",
    paper=Paper(
        "Changlu Guo, Márton Szemenyei, Yugen Yi, Wenle Wang, Buer Chen, Changqi Fan",
        2021,
        "SA-UNet: Spatial Attention U-Net for Retinal Vessel Segmentation",
        "ICPR 2020, arXiv:2004.03696",
    ),
    default=("bottleneck",),
    in_paper="between the two convolutions of the bottleneck",
)
class SpatialAttention(nn.Module):
    """x * sigmoid(conv([mean(x), max(x)])), mean and maximum over channels.

    One convolution of kernel 7. Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {kernel_size}; allowed: odd numbers, nearest {kernel_size + 1}"
            )
        self.weigh = CONV[ndim](2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), (B, 1, *spatial)."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return self.weigh(pooled).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention_map(x)
