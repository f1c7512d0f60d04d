"""Squeeze-and-excitation: channels weighted by what the whole image holds.

Hu, Shen, Sun: Squeeze-and-Excitation Networks. CVPR 2018, arXiv:1709.01507, eq. 2-4; reduction
16, no biases (as the paper finds better). Departs from it in a floor of 8 hidden units, which
the paper's widths never meet.
"""

from __future__ import annotations

from attnbench.models.attention._channels import ChannelExcitation, hidden_width
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Squeeze-and-excitation",
    short="Squeeze-excitation",
    paper=Paper(
        "Jie Hu, Li Shen, Gang Sun",
        2018,
        "Squeeze-and-Excitation Networks",
        "CVPR 2018, arXiv:1709.01507",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside every residual block of an ImageNet network, before the sum",
)
class SqueezeExcitation(ChannelExcitation):
    """x * sigmoid(W2 relu(W1 mean(x))), the mean over all positions.

    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 16) -> None:
        super().__init__(channels, hidden_width(channels, reduction))
