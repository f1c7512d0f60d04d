"""Global context block: one attention map for all queries, a channel bottleneck, an addition.

Cao, Xu, Lin, Wei, Hu: GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond.
ICCV Workshops 2019, arXiv:1904.11492, fig. 4d and eq. 6; reduction 16; as in the authors' code
the last layer starts at 0 and the mask's by Kaiming's rule. Departs from it in a floor of 8
hidden units, which the paper's widths never meet.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._channels import channel_weights, hidden_width
from attnbench.models.layers import conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Global context",
    short="Global context",
    paper=Paper(
        "Yue Cao, Jiarui Xu, Stephen Lin, Fangyun Wei, Han Hu",
        2019,
        "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
        "ICCV Workshops 2019, arXiv:1904.11492",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside the residual blocks of a detector's deeper stages, before the sum",
    deepest=2,
    scale=("transform.3.weight", "transform.3.bias"),
    logits=("key",),
)
class GlobalContext(nn.Module):
    """x + W2 relu(norm(W1 sum_n softmax(key(x))_n x_n)), with layer normalisation; W2 starts at 0.

    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.key = conv1x1(ndim, channels, 1)
        self.transform = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, channels),
        )
        nn.init.kaiming_normal_(self.key.get_parameter("weight"))
        nn.init.zeros_(self.key.get_parameter("bias"))
        for parameter in self.transform[-1].parameters():
            nn.init.zeros_(parameter)

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions, (B, 1, *spatial), which sum to 1."""
        key = self.key(x)
        return key.flatten(2).softmax(2).reshape(key.shape)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.attention_map(x).flatten(2).transpose(1, 2)  # (B, N, 1)
        context = (x.flatten(2) @ weights).squeeze(2)  # (B, C)
        return x + channel_weights(self.transform(context), x)
