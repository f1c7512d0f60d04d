"""Reverse attention on the skip: what the coarser decoder features already find is erased.

Fan, Ji, Zhou, Chen, Fu, Shen, Shao: PraNet: Parallel Reverse Attention Network for Polyp
Segmentation. MICCAI 2020, arXiv:2006.11392, eq. 1-2, after Chen, Tan, Wang, Hu:
Reverse Attention for Salient Object Detection. ECCV 2018, arXiv:1807.09940; up-sampling
without aligned corners as in the authors' code (DengPingFan/PraNet).

The paper's part that fits a skip is that of eq. 1-2: side map of the level below,
up-sampled, sigmoid, subtracted from 1, times the features. Departs from the paper in that
- the side map is a 1x1 convolution of the coarser decoder features (there, the map predicted at
  that level: its branch's residual plus the next coarser map, the first from the paper's partial
  decoder);
- it is not trained on the mask by itself (there, every side map is a supervised output): that it
  marks the object, not the rest, is left to training;
- the convolutions that make a residual map of the erased features are the U-Net's own, and what
  they make are features: no map is added to the next coarser one;
- by default the two deepest skips take it (there, three levels of five, the deepest among them);
- there is one map whatever the number of classes; the paper has one class.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.layers import conv1x1, resize
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Reverse attention",
    short="Reverse attention",
    paper=Paper(
        "Deng-Ping Fan, Ge-Peng Ji, Tao Zhou, Geng Chen, Huazhu Fu, Jianbing Shen, Ling Shao",
        2020,
        "PraNet: Parallel Reverse Attention Network for Polyp Segmentation",
        "MICCAI 2020, arXiv:2006.11392",
    ),
    slots=("skip",),
    default=("skip",),
    in_paper="at the three deepest of five levels, each the start of a side map",
    deepest=2,
    gate="coarse",
)
class ReverseAttention(nn.Module):
    """x * (1 - sigmoid(up(side(gate)))) with a 1x1 convolution to one side map.

    x (B, C, *spatial), gate (B, G, *spatial / 2).
    """

    def __init__(self, channels: int, ndim: int, gate_channels: int) -> None:
        super().__init__()
        self.side = conv1x1(ndim, gate_channels, 1)

    def attention_map(self, x: Tensor, gate: Tensor) -> Tensor:
        """Weights in (0, 1) on the skip's grid, (B, 1, *spatial)."""
        # 1 - sigmoid(s) is sigmoid(-s); the sign is changed on the coarse grid.
        return resize(-self.side(gate), tuple(x.shape[2:])).sigmoid()

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * self.attention_map(x, gate)
