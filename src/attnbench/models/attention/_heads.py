"""Multi-head attention in memory linear in the positions, and the layers around it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnbench.models.attention._attend import attend, received
from attnbench.models.attention._channels import check_divisible


def split_heads(x: Tensor, heads: int) -> Tensor:
    """One sequence per head, (B, heads, N, C / heads), of (B, N, C)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Inverse of `split_heads`."""
    return x.transpose(1, 2).flatten(2)


class MultiHead(nn.Module):
    """W concat(softmax(q k^T / sqrt(C / heads)) v) over heads.

    Vaswani et al.: Attention Is All You Need. NeurIPS 2017, arXiv:1706.03762, section 3.2.
    Queries and keys come from `source`, values from `values`, both (B, N, C). Raises ValueError
    if C is not a multiple of `heads`.
    """

    def __init__(self, channels: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        check_divisible(channels, heads, f"{heads} heads")
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.query = nn.Linear(channels, channels, bias)
        self.key = nn.Linear(channels, channels, bias)
        self.value = nn.Linear(channels, channels, bias)
        self.output = nn.Linear(channels, channels, bias)

    def received(self, source: Tensor) -> Tensor:
        """Attention that each position receives, mean over queries and heads, (B, N).

        Each row sums to 1.
        """
        query, key = (split_heads(layer(source), self.heads) for layer in (self.query, self.key))
        return received(query, key, self.scale).mean(1)

    def forward(self, source: Tensor, values: Tensor) -> Tensor:
        inputs = ((self.query, source), (self.key, source), (self.value, values))
        query, key, value = (split_heads(layer(x), self.heads) for layer, x in inputs)
        return self.output(join_heads(attend(query, key, value, self.scale)))


def feed_forward(channels: int, ratio: int = 4) -> nn.Sequential:
    """Two linear layers with GELU between, started as in ViT's code.

    Weights start by Xavier's rule, biases near zero.
    """
    layers = nn.Sequential(
        nn.Linear(channels, ratio * channels), nn.GELU(), nn.Linear(ratio * channels, channels)
    )
    for layer in (layers[0], layers[2]):
        nn.init.xavier_uniform_(layer.get_parameter("weight"))
        nn.init.normal_(layer.get_parameter("bias"), std=1e-6)
    return layers


def sinusoids(x: Tensor) -> Tensor:
    """Sines and cosines of the position along each axis, (1, C, *spatial) for `x` (B, C, *spatial).

    Every axis has the same even number of channels, at least C / axes; of all of them the first
    C are used. Frequencies fall from 1 to 1 / 10000 as in Vaswani et al. 2017, section 3.5.
    """
    channels, sides = x.shape[1], x.shape[2:]
    width = 2 * -(-channels // (2 * len(sides)))
    # Half precision has too few digits for the angles of far positions.
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    frequency = 10000 ** (-torch.arange(0, width, 2, device=x.device, dtype=dtype) / width)
    encodings = []
    for axis, side in enumerate(sides):
        angle = frequency[:, None] * torch.arange(side, device=x.device, dtype=dtype)
        encoding = torch.cat([angle.sin(), angle.cos()])  # (width, side)
        # Side 1 along the other axes: expanded once all are known.
        encodings.append(
            encoding.reshape(width, *(side if other == axis else 1 for other in range(len(sides))))
        )
    spread = [encoding.expand(width, *sides) for encoding in encodings]
    return torch.cat(spread)[:channels].unsqueeze(0).to(x.dtype)
