"""Squeeze-and-excitation: channels weighted by what the whole image holds.

Hu, Shen, Sun: Squeeze-and-Excitation Networks. CVPR 2018, arXiv:1709.01507, eq. 2-4; reduction 16, no biases (as the
paper finds better). Departs from it in a floor of 8 hidden units, which the paper's widths never meet.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._channels import channel_weights, hidden_width, spatial_mean
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Squeeze-and-excitation",
    paper=Paper("Hu, Shen, Sun", 2018, "Squeeze-and-Excitation Networks", "CVPR 2018, arXiv:1709.01507"),
    default=("encoder", "bottleneck"),
)
class SqueezeExcitation(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x))), the mean over all positions; maps (B, C, *spatial) to the same shape."""

    def __init__(self, channels: int, ndim: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the channels in (0, 1), (B, C, 1, ...)."""
        return channel_weights(self.excite(spatial_mean(x)), x)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention_map(x)
