"""Non-local block, embedded Gaussian.

Wang, Girshick, Gupta, He: Non-local Neural Networks. CVPR 2018, arXiv:1711.07971, eq. 1-6 and
fig. 2, with the sub-sampling of section 3.3. As in the authors' code the products are divided by
the root of the inner width and the convolutions start at a standard deviation of 0.01. Departs
from the paper in that a volume is sub-sampled along all three axes (the paper's third axis is
time and keeps its length).
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._attend import as_map, attend, received, tokens
from attnbench.models.layers import BATCH_NORM, MAX_POOL, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Non-local block",
    short="Non-local",
    paper=Paper(
        "Wang, Girshick, Gupta, He",
        2018,
        "Non-local Neural Networks",
        "CVPR 2018, arXiv:1711.07971",
    ),
    default=("encoder",),
    deepest=2,
    scale=("output.1.weight", "output.1.bias"),
    logits=("theta", "phi"),
)
class NonLocal(nn.Module):
    """x + norm(W softmax(theta(x) pool(phi(x))^T / sqrt(C/2)) pool(g(x))).

    The norm's scale starts at 0. Maps (B, C, *spatial) to the same shape; keys and values are
    max-pooled by 2; memory is linear in positions.
    """

    def __init__(self, channels: int, ndim: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.scale = inner**-0.5
        self.theta = conv1x1(ndim, channels, inner)
        self.phi = conv1x1(ndim, channels, inner)
        self.g = conv1x1(ndim, channels, inner)
        # Rounded up, so that the end of an odd side is kept.
        self.pool = MAX_POOL[ndim](2, ceil_mode=True)
        self.output = nn.Sequential(conv1x1(ndim, inner, channels), BATCH_NORM[ndim](channels))
        for convolution in (self.theta, self.phi, self.g, self.output[0]):
            nn.init.normal_(convolution.get_parameter("weight"), std=0.01)
            nn.init.zeros_(convolution.get_parameter("bias"))
        nn.init.zeros_(self.output.get_parameter("1.weight"))

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position of the pooled grid receives, resized to (B, 1, *spatial).

        Mean over queries.
        """
        phi = self.pool(self.phi(x))
        return as_map(received(tokens(self.theta(x)), tokens(phi), self.scale), phi, x)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.theta(x)
        phi, g = self.pool(self.phi(x)), self.pool(self.g(x))
        attended = attend(tokens(theta), tokens(phi), tokens(g), self.scale)  # (B, N, C/2)
        return x + self.output(attended.transpose(1, 2).reshape(theta.shape))
