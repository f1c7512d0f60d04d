"""External attention: positions attend to a learned memory that all images share.

Guo, Liu, Mu, Hu: Beyond Self-Attention: External Attention Using Two Linear Layers for Visual
Tasks. IEEE TPAMI 2022, arXiv:2105.02358, eq. 7-11 and algorithm 1: 64 units of memory, a softmax
over positions, then an l1 norm over units. The paper gives no more; the 1x1 convolutions around
it, batch normalisation, shortcut and ReLU are those of the authors' code (MenghaoGuo/EANet,
`model_torch.py`). So is the start, at which both memories hold the same numbers: there they share
their storage until they are moved to a GPU, from where on they train apart, as here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.layers import BATCH_NORM, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="External attention",
    short="External attention",
    paper=Paper(
        "Meng-Hao Guo, Zheng-Ning Liu, Tai-Jiang Mu, Shi-Min Hu",
        2022,
        "Beyond Self-Attention: External Attention Using Two Linear Layers for Visual Tasks",
        "IEEE TPAMI 2022, arXiv:2105.02358",
    ),
    default=("bottleneck",),
    in_paper="behind an ImageNet network, at an eighth of the resolution",
    logits=("key",),
)
class ExternalAttention(nn.Module):
    """relu(x + norm(W l1(softmax_positions(K q)) V)) with q = W' x, memories K and V of `units`.

    K and V are (units, C); l1 divides by the sum over units. Maps (B, C, *spatial) to the same
    shape; time and memory are linear in the number of positions.
    """

    def __init__(self, channels: int, ndim: int, units: int = 64) -> None:
        super().__init__()
        self.query = conv1x1(ndim, channels, channels)
        self.key = nn.Linear(channels, units, bias=False)
        self.value = nn.Linear(units, channels, bias=False)
        self.output = nn.Sequential(
            conv1x1(ndim, channels, channels, bias=False), BATCH_NORM[ndim](channels)
        )
        with torch.no_grad():
            for layer in (self.query, self.output[0], self.value):
                nn.init.normal_(layer.get_parameter("weight"), std=(2 / channels) ** 0.5)
            self.key.weight.copy_(self.value.weight.T)

    def _received(self, x: Tensor) -> Tensor:
        """Softmax over positions, (B, units, N)."""
        # The memory by case: a product of three axes with two would copy the features.
        return (self.key.weight.expand(len(x), -1, -1) @ self.query(x).flatten(2)).softmax(2)

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives, mean over units, (B, 1, *spatial).

        It sums to 1.
        """
        return self._received(x).mean(1).reshape(-1, 1, *x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        weights = self._received(x)
        weights = weights / (1e-9 + weights.sum(1, keepdim=True))
        attended = self.value.weight.expand(len(x), -1, -1) @ weights
        return (x + self.output(attended.reshape(x.shape))).relu()
