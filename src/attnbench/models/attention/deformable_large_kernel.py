"""Deformable large kernel attention (D-LKA): large kernel attention whose taps move.

Azad, Niggemeier, Hüttemann, Kazerouni, Aghdam, Velichko, Bagci, Merhof: Beyond Self-Attention:
Deformable Large Kernel Attention for Medical Image Segmentation. WACV 2024, arXiv:2309.00121,
section 3, in the attention half of the blocks of the authors' code (xmindflow/deformableLKA, in 2-D
`deformableLKABlock`): layer normalisation, 1x1 convolutions and GELU around it, two residuals, a
scale per channel that starts at 0.01. In 3-D (`TransformerBlock_3D_single_deform_LKA`) they deform
neither of the two depth-wise convolutions, whose 468 taps nobody could afford, but add a dense
deformable convolution of kernel 3 behind them, whose offsets start at zero, and the scale starts
at 1e-6: so here. Departs from both in that the convolutions of the block behind attention
are left to the U-Net's, and that there is no stochastic depth.

The offsets of a 7 x 7 kernel come from a dense convolution to 98 channels, which is most of the
cost: by default the two deepest levels alone have it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._channels import channel_weights
from attnbench.models.attention._deformable import DeformableConvolution
from attnbench.models.layers import CONV, conv1x1
from attnbench.models.registry import Paper, mechanism


def weigh_2d(channels: int) -> nn.Sequential:
    """Weights of the positions in 2-D: both depth-wise convolutions are deformable."""
    return nn.Sequential(
        DeformableConvolution(2, channels, 5, groups=channels, bias=False),
        DeformableConvolution(2, channels, 7, dilation=3, groups=channels, bias=False),
        conv1x1(2, channels, channels),
    )


def weigh_3d(channels: int) -> nn.Sequential:
    """Weights of the positions in 3-D: a deformable convolution follows the depth-wise ones."""
    deformable = DeformableConvolution(3, channels, 3)
    nn.init.zeros_(deformable.offsets.weight)
    assert deformable.offsets.bias is not None
    nn.init.zeros_(deformable.offsets.bias)
    return nn.Sequential(
        CONV[3](channels, channels, 5, padding=2, groups=channels),
        # Padding 9 = 3 * (7 - 1) / 2 keeps the size.
        CONV[3](channels, channels, 7, padding=9, dilation=3, groups=channels),
        deformable,
        conv1x1(3, channels, channels),
    )


@mechanism(
    title="Deformable large kernel attention",
    short="Deformable kernel",
    paper=Paper(
        "Reza Azad, Leon Niggemeier, Michael Hüttemann, Amirhossein Kazerouni, Ehsan Khodapanah "
        "Aghdam, Yury Velichko, Ulas Bagci, Dorit Merhof",
        2024,
        "Beyond Self-Attention: Deformable Large Kernel Attention for Medical Image Segmentation",
        "WACV 2024, arXiv:2309.00121",
    ),
    default=("decoder",),
    in_paper="in volumes also in every block of the encoder",
    deepest=2,
    gain=("layer_scale",),
)
class DeformableLargeKernel(nn.Module):
    """x + s * (y + W2 (z * weigh(z))) with y = norm(x), z = gelu(W1 y) and a scale s per channel.

    In 2-D weigh is conv1x1(distant(local(z))), in 3-D conv1x1(deform(distant(local(z)))). local
    (kernel 5) and distant (kernel 7, dilation 3) are depth-wise and in 2-D deformable, deform is a
    dense deformable convolution of kernel 3. The weights are not squashed and may be negative.
    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first = conv1x1(ndim, channels, channels)
        self.weigh = {2: weigh_2d, 3: weigh_3d}[ndim](channels)
        self.second = conv1x1(ndim, channels, channels)
        self.layer_scale = nn.Parameter(torch.full((channels,), {2: 1e-2, 3: 1e-6}[ndim]))

    def _normalised(self, x: Tensor) -> Tensor:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)

    def attention_map(self, x: Tensor) -> Tensor:
        """Size of the positions' weights, mean of |weight| over channels, (B, 1, *spatial)."""
        return self.weigh(F.gelu(self.first(self._normalised(x)))).abs().mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self._normalised(x)
        z = F.gelu(self.first(y))
        scale = channel_weights(self.layer_scale, x)
        return x + scale * (y + self.second(z * self.weigh(z)))
