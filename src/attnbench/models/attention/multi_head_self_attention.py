"""Multi-head self-attention of U-Transformer, over all positions of the bottleneck.

Petit, Thome, Rambour, Themyr, Collins, Soler: U-Net Transformer: Self and Cross Attention for
Medical Image Segmentation. MLMI 2021, arXiv:2103.06104, section 2.1 and fig. 2, with sinusoidal
positions along each axis; `u_transformer` joins it with `cross_attention`. The authors published
no code: it is compared with the paper's equations and those of Vaswani et al. 2017 (8 heads, an
output projection). Neither residual nor normalisation, as in the public implementation
(HXLH50K/U-Net-Transformer), which is followed in nothing else: it has one head, its softmax goes
over the queries, and it projects no output.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._attend import as_map, tokens
from attnbench.models.attention._heads import MultiHead, sinusoids
from attnbench.models.attention._papers import U_TRANSFORMER
from attnbench.models.registry import mechanism


@mechanism(
    title="Multi-head self-attention",
    short="Multi-head attention",
    paper=U_TRANSFORMER,
    default=("bottleneck",),
    logits=("attention.query", "attention.key"),
)
class MultiHeadSelfAttention(nn.Module):
    """MultiHead(x + positions), without biases.

    Maps (B, C, *spatial) to the same shape, C a multiple of `heads`; memory is linear in the
    number of positions.
    """

    def __init__(self, channels: int, ndim: int, heads: int = 8) -> None:
        super().__init__()
        self.attention = MultiHead(channels, heads, bias=False)

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives, mean over queries and heads, (B, 1, *spatial).

        It sums to 1.
        """
        return as_map(self.attention.received(tokens(x + sinusoids(x))), x, x)

    def forward(self, x: Tensor) -> Tensor:
        source = tokens(x + sinusoids(x))
        return self.attention(source, source).transpose(1, 2).reshape(x.shape)
