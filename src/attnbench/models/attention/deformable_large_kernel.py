"""Deformable large kernel attention (D-LKA): large kernel attention whose taps move.

Azad, Niggemeier, Hüttemann, Kazerouni, Aghdam, Velichko, Bagci, Merhof: Beyond Self-Attention:
Deformable Large Kernel Attention for Medical Image Segmentation. WACV 2024, arXiv:2309.00121,
section 3, with projections, GELU and shortcut as in the authors' code (xmindflow/deformableLKA,
2-D: `deformable_LKA_Attention`). The block's layer normalisation, layer scale and feed-forward
network are left to the U-Net's convolutions.

In 3-D the authors' network (`TransformerBlock_3D_single_deform_LKA`) deforms neither of the two
depth-wise convolutions, whose 468 taps would be unaffordable, but adds a dense deformable
convolution of kernel 3 behind them, whose offsets start at zero: so here.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

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
    deepest=2,
)
class DeformableLargeKernel(nn.Module):
    """x + W2 (u * weigh(u)) with u = gelu(W1 x).

    In 2-D weigh is conv1x1(distant(local(u))), in 3-D conv1x1(deform(distant(local(u)))). local
    (kernel 5) and distant (kernel 7, dilation 3) are depth-wise and in 2-D deformable, deform is a
    dense deformable convolution of kernel 3. The weights are not squashed and may be negative.
    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        self.input = conv1x1(ndim, channels, channels)
        self.weigh = {2: weigh_2d, 3: weigh_3d}[ndim](channels)
        self.output = conv1x1(ndim, channels, channels)

    def attention_map(self, x: Tensor) -> Tensor:
        """Size of the positions' weights, mean of |weight| over channels, (B, 1, *spatial)."""
        return self.weigh(F.gelu(self.input(x))).abs().mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        u = F.gelu(self.input(x))
        return x + self.output(u * self.weigh(u))
