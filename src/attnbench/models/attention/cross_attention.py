"""Multi-head cross-attention of U-Transformer: the coarse decoder features filter the skip.

Petit, Thome, Rambour, Themyr, Collins, Soler: U-Net Transformer: Self and Cross Attention for
Medical Image Segmentation. MLMI 2021, arXiv:2103.06104, section 2.2 and fig. 3: queries and keys
from the decoder, values from the skip, a sigmoid makes the result a filter of the skip. The
authors published no code: it is compared with the paper's equations and those of Vaswani et al.
2017. Batch normalisation and ReLU behind the 1x1 convolutions and maximum pooling of the skip as
in the public implementation (HXLH50K/U-Net-Transformer), which is followed in nothing else: it
has one head, its softmax goes over the queries, it projects no output, and its filter is a ReLU's.
The paper's own treatment of the decoder features beside the skip is left to the U-Net's
up-convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._attend import tokens
from attnbench.models.attention._heads import MultiHead, sinusoids
from attnbench.models.attention._papers import U_TRANSFORMER
from attnbench.models.layers import BATCH_NORM, MAX_POOL, conv1x1, resize
from attnbench.models.registry import mechanism


@mechanism(
    title="Cross-attention",
    short="Cross-attention",
    paper=U_TRANSFORMER,
    slots=("skip",),
    default=("skip",),
    gate="coarse",
    logits=("attention.query", "attention.key"),
)
class CrossAttention(nn.Module):
    """x * up(sigmoid(norm(W MultiHead(theta(gate), phi(pool(x)))))).

    Positions are added to gate and x before theta and phi, which are 1x1 convolution, batch
    normalisation and ReLU. x (B, C, *spatial), gate (B, G, *spatial / 2), C a multiple of
    `heads`. Memory is linear in the number of positions.
    """

    def __init__(self, channels: int, ndim: int, gate_channels: int, heads: int = 8) -> None:
        super().__init__()
        norm = BATCH_NORM[ndim]
        self.attention = MultiHead(channels, heads, bias=False)
        self.theta = nn.Sequential(
            conv1x1(ndim, gate_channels, channels), norm(channels), nn.ReLU()
        )
        # Rounded up, so that the end of an odd side is kept.
        self.pool = MAX_POOL[ndim](2, ceil_mode=True)
        self.phi = nn.Sequential(conv1x1(ndim, channels, channels), norm(channels), nn.ReLU())
        self.output = nn.Sequential(conv1x1(ndim, channels, channels), norm(channels), nn.Sigmoid())

    def _filter(self, x: Tensor, gate: Tensor) -> Tensor:
        """Weights in (0, 1), (B, C, *spatial)."""
        source = self.theta(gate + sinusoids(gate))
        values = self.phi(self.pool(x + sinusoids(x)))
        attended = (
            self.attention(tokens(source), tokens(values)).transpose(1, 2).reshape(source.shape)
        )
        return resize(self.output(attended), tuple(x.shape[2:]))

    def attention_map(self, x: Tensor, gate: Tensor) -> Tensor:
        """Weights of the skip's positions in (0, 1), their mean over channels, (B, 1, *spatial)."""
        return self._filter(x, gate).mean(1, keepdim=True)

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * self._filter(x, gate)
