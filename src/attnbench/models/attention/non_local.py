"""Non-local block, embedded Gaussian.

Wang, Girshick, Gupta, He: Non-local Neural Networks. CVPR 2018, arXiv:1711.07971, eq. 1-6 and
fig. 2, with the sub-sampling of section 3.3. As in the authors' code x is sub-sampled before phi
and g (in the paper behind them), the end of an odd side is left out, the products are divided by
the root of the inner width and the convolutions start at a standard deviation of 0.01. Departs
from both in that a volume is sub-sampled along all three axes (their third axis is time and
keeps its length), and an axis of one position along none.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._attend import as_map, attend, received, tokens
from attnbench.models.layers import BATCH_NORM, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Non-local block",
    short="Non-local",
    paper=Paper(
        "Xiaolong Wang, Ross Girshick, Abhinav Gupta, Kaiming He",
        2018,
        "Non-local Neural Networks",
        "CVPR 2018, arXiv:1711.07971",
    ),
    default=("encoder",),
    in_paper="between residual blocks of the third and fourth stage of a video network",
    deepest=2,
    scale=("output.1.weight", "output.1.bias"),
    logits=("theta", "phi"),
)
class NonLocal(nn.Module):
    """x + norm(W softmax(theta(x) phi(pool(x))^T / sqrt(C/2)) g(pool(x))).

    The norm's scale starts at 0. Maps (B, C, *spatial) to the same shape; what keys and values
    are made of is max-pooled by 2; memory is linear in positions.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.scale = inner**-0.5
        self.theta = conv1x1(ndim, channels, inner)
        self.phi = conv1x1(ndim, channels, inner)
        self.g = conv1x1(ndim, channels, inner)
        self.output = nn.Sequential(conv1x1(ndim, inner, channels), BATCH_NORM[ndim](channels))
        for convolution in (self.theta, self.phi, self.g, self.output[0]):
            nn.init.normal_(convolution.get_parameter("weight"), std=0.01)
            nn.init.zeros_(convolution.get_parameter("bias"))
        nn.init.zeros_(self.output.get_parameter("1.weight"))

    @staticmethod
    def _pooled(x: Tensor) -> Tensor:
        pool = F.max_pool2d if x.dim() == 4 else F.max_pool3d
        return pool(x, [min(2, side) for side in x.shape[2:]])

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position of the pooled grid receives, resized to (B, 1, *spatial).

        Mean over queries.
        """
        phi = self.phi(self._pooled(x))
        return as_map(received(tokens(self.theta(x)), tokens(phi), self.scale), phi, x)

    def forward(self, x: Tensor) -> Tensor:
        theta, pooled = self.theta(x), self._pooled(x)
        phi, g = self.phi(pooled), self.g(pooled)
        attended = attend(tokens(theta), tokens(phi), tokens(g), self.scale)  # (B, N, C/2)
        return x + self.output(attended.transpose(1, 2).reshape(theta.shape))
