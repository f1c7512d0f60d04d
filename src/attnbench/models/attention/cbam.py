"""CBAM: channel attention, then spatial attention.

Woo, Park, Lee, Kweon: CBAM: Convolutional Block Attention Module. ECCV 2018, arXiv:1807.06521,
eq. 1-3. As in the authors' code the two layers over channels have biases and batch normalisation
(momentum 0.01) follows the convolution over positions, its scale started at zero: at first all
positions weigh 1/2. Departs from it in a floor of 8 hidden units, which the paper's widths never
meet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.attention._channels import channel_weights, hidden_width, spatial_mean
from attnbench.models.layers import BATCH_NORM, CONV
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="CBAM",
    short="CBAM",
    paper=Paper(
        "Sanghyun Woo, Jongchan Park, Joon-Young Lee, In So Kweon",
        2018,
        "CBAM: Convolutional Block Attention Module",
        "ECCV 2018, arXiv:1807.06521",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside every residual block of an ImageNet network, before the sum",
    gain=("spatial.1.weight",),
)
class CBAM(nn.Module):
    """y = x * sigmoid(f(mean(x)) + f(max(x))), then y * sigmoid(norm(conv([max(y), mean(y)]))).

    The first mean and maximum go over positions, f is one network for both; the second go over
    channels and the convolution has kernel 7. Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size is {kernel_size}; allowed: odd numbers, nearest {kernel_size + 1}"
            )
        hidden = hidden_width(channels, reduction)
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.spatial = nn.Sequential(
            CONV[ndim](2, 1, kernel_size, padding=kernel_size // 2, bias=False),
            BATCH_NORM[ndim](1, momentum=0.01),
        )
        nn.init.zeros_(self.spatial.get_parameter("1.weight"))

    def _weight_channels(self, x: Tensor) -> Tensor:
        weights = self.excite(spatial_mean(x)) + self.excite(x.flatten(2).amax(2))
        return x * channel_weights(weights.sigmoid(), x)

    def _weight_positions(self, y: Tensor) -> Tensor:
        pooled = torch.cat([y.amax(1, keepdim=True), y.mean(1, keepdim=True)], dim=1)
        return self.spatial(pooled).sigmoid()

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), (B, 1, *spatial)."""
        return self._weight_positions(self._weight_channels(x))

    def forward(self, x: Tensor) -> Tensor:
        y = self._weight_channels(x)
        return y * self._weight_positions(y)
