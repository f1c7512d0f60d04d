"""Transformer bottleneck: the deepest features pass through a ViT encoder.

Chen et al.: TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation.
arXiv:2102.04306 (2021), section 3.1, with ViT's 12 layers (Dosovitskiy et al., arXiv:2010.11929).
Departs from it in that
- the width is that of the U-Net's bottleneck, in 8 heads (768 in 12 in the paper);
- positions are a depth-wise 3^n convolution added to the embedding (Chu et al.: Conditional
  Positional Encodings for Vision Transformers, arXiv:2102.10882), so that windows of any size
  pass; the paper learns one vector per position;
- weights are not pre-trained, and nothing is dropped out, as everywhere in this U-Net.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._attend import as_map, tokens
from attnbench.models.attention._heads import MultiHead, feed_forward
from attnbench.models.layers import CONV, conv1x1
from attnbench.models.registry import Paper, mechanism


class TransformerLayer(nn.Module):
    """y = x + attention(norm(x)), then y + mlp(norm(y)); maps (B, N, C) to the same shape."""

    def __init__(self, channels: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels, eps=1e-6)
        self.attention = MultiHead(channels, heads)
        self.mlp_norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = feed_forward(channels, ratio)

    def received(self, x: Tensor) -> Tensor:
        """Attention that each position receives, averaged over queries and heads, (B, N)."""
        return self.attention.received(self.attention_norm(x))

    def forward(self, x: Tensor) -> Tensor:
        source = self.attention_norm(x)
        x = x + self.attention(source, source)
        return x + self.mlp(self.mlp_norm(x))


@mechanism(
    title="Transformer",
    short="Transformer",
    paper=Paper(
        "Jieneng Chen, Yongyi Lu, Qihang Yu, Xiangde Luo, Ehsan Adeli, Yan Wang, Le Lu, Alan L. "
        "Yuille, Yuyin Zhou",
        2021,
        "TransUNet: Transformers Make Strong Encoders for Medical Image Segmentation",
        "arXiv:2102.04306",
    ),
    default=("bottleneck",),
    logits=("layers.*.attention.query", "layers.*.attention.key"),
)
class Transformer(nn.Module):
    """norm(layers(e + position(e))) with e = embed(x), a 1x1 convolution.

    Pre-norm layers with an MLP of `ratio` C. Maps (B, C, *spatial) to the same shape; C is a
    multiple of `heads`; memory is linear in the number of positions.
    """

    def __init__(
        self, channels: int, ndim: int, layers: int = 12, heads: int = 8, ratio: int = 4
    ) -> None:
        super().__init__()
        self.embed = conv1x1(ndim, channels, channels)
        self.position = CONV[ndim](channels, channels, 3, padding=1, groups=channels)
        self.layers = nn.ModuleList(TransformerLayer(channels, heads, ratio) for _ in range(layers))
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def _embedded(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return tokens(x + self.position(x))

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives in the last layer, (B, 1, *spatial).

        Mean over queries and heads.
        """
        sequence = self._embedded(x)
        *before, last = self.layers
        for layer in before:
            sequence = layer(sequence)
        assert isinstance(last, TransformerLayer)
        return as_map(last.received(sequence), x, x)

    def forward(self, x: Tensor) -> Tensor:
        sequence = self._embedded(x)
        for layer in self.layers:
            sequence = layer(sequence)
        return self.norm(sequence).transpose(1, 2).reshape(x.shape)
