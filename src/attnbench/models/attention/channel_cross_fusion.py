"""Channel-wise cross fusion of UCTransNet: channels of a skip attend to the channels of all skips.

Wang, Cao, Wang, Zaiane: UCTransNet: Rethinking the Skip Connections in U-Net from a Channel-wise
Perspective with Transformer. AAAI 2022, arXiv:2109.04335, section 3.1 (CCT), details as in the
authors' code: 4 layers, 4 heads of full width, patches of 16, 8, 4, 2. Departs from it in that
- the skips cut their patches at the far ends of a grid of ceil(side / 16), zero-padded, so that
  any size passes;
- positions are a depth-wise 3^n convolution (Chu et al., arXiv:2102.10882), where the paper learns
  one per patch;
- nothing is dropped out, as everywhere in this U-Net;
- the decoder's channel-wise cross attention (section 3.2) is not part of this mechanism.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._attend import tokens
from attnbench.models.attention._channels import channel_weights
from attnbench.models.attention._heads import feed_forward
from attnbench.models.layers import BATCH_NORM, CONV, conv1x1, resize
from attnbench.models.registry import Paper, mechanism


class PatchEmbedding(nn.Module):
    """(B, C, *spatial) as one value per patch and channel, position added, (B, C, *grid)."""

    def __init__(self, channels: int, ndim: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.embed = CONV[ndim](channels, channels, patch, stride=patch)
        self.position = CONV[ndim](channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        missing = [-side % self.patch for side in x.shape[2:]]
        # F.pad counts axes from the last one, two amounts each: before and behind.
        x = self.embed(F.pad(x, [amount for side in reversed(missing) for amount in (0, side)]))
        return x + self.position(x)


class Reconstruction(nn.Module):
    """Tokens (B, N, C) on `grid` as a skip: each patch is filled with its 1x1 convolution."""

    def __init__(self, channels: int, ndim: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.mix = conv1x1(ndim, channels, channels)
        self.norm = BATCH_NORM[ndim](channels)

    def forward(self, sequence: Tensor, grid: torch.Size, like: Tensor) -> Tensor:
        """Features (B, C, *spatial) on the positions of `like`, where the last patches are cut."""
        mixed = self.mix(sequence.transpose(1, 2).unflatten(2, grid))
        filled = F.interpolate(mixed, [side * self.patch for side in grid], mode="nearest")
        inside = (slice(None), slice(None), *(slice(side) for side in like.shape[2:]))
        return F.relu(self.norm(filled[inside]))


class ChannelAttention(nn.Module):
    """mean over heads of softmax(norm(q_i^T k / sqrt(C))) v^T for each skip i.

    C are the channels of all skips.
    """

    def __init__(self, widths: Sequence[int], heads: int) -> None:
        super().__init__()
        self.heads, total = heads, sum(widths)
        self.query = nn.ModuleList(nn.Linear(width, heads * width, bias=False) for width in widths)
        self.key = nn.Linear(total, heads * total, bias=False)
        self.value = nn.Linear(total, heads * total, bias=False)
        self.output = nn.ModuleList(nn.Linear(width, width, bias=False) for width in widths)

    def _split(self, x: Tensor) -> Tensor:
        """Channels of each head, (B, heads, C, N), of (B, N, heads * C)."""
        return x.unflatten(2, (self.heads, -1)).permute(0, 2, 3, 1)

    def weights(self, sequences: Sequence[Tensor], joined: Tensor) -> list[Tensor]:
        """Weight of every channel of all skips for each skip, (B, heads, C_i, C)."""
        key = self._split(self.key(joined)).transpose(2, 3)
        scores = [
            self._split(query(x)) @ key / joined.shape[2] ** 0.5
            for query, x in zip(self.query, sequences, strict=True)
        ]
        # The matrix of each head is normalised by itself, as a channel of an image.
        return [F.instance_norm(score).softmax(3) for score in scores]

    def forward(self, sequences: Sequence[Tensor], joined: Tensor) -> list[Tensor]:
        """New tokens (B, N, C_i) of each skip, from its own and those of all, (B, N, C)."""
        value = self._split(self.value(joined))
        mixed = [
            (weights @ value).mean(1).transpose(1, 2) for weights in self.weights(sequences, joined)
        ]
        return [output(x) for output, x in zip(self.output, mixed, strict=True)]


class FusionLayer(nn.Module):
    """y_i = x_i + attention(norm(x_i), norm(all x)), then y_i + mlp(norm(y_i)).

    x_i are the tokens of each skip.
    """

    def __init__(self, widths: Sequence[int], heads: int, ratio: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for width in widths)
        self.joined_norm = nn.LayerNorm(sum(widths), eps=1e-6)
        self.attention = ChannelAttention(widths, heads)
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width, eps=1e-6), feed_forward(width, ratio))
            for width in widths
        )

    def normalised(self, sequences: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Input of the attention: tokens of each skip, and of all joined along the channels."""
        joined = self.joined_norm(torch.cat(list(sequences), dim=2))
        return [norm(x) for norm, x in zip(self.norms, sequences, strict=True)], joined

    def forward(self, sequences: Sequence[Tensor]) -> list[Tensor]:
        """Tokens (B, N, C_i) of every skip to tokens of the same shapes."""
        attended = self.attention(*self.normalised(sequences))
        added = [x + y for x, y in zip(sequences, attended, strict=True)]
        return [x + mlp(x) for mlp, x in zip(self.mlps, added, strict=True)]


@mechanism(
    title="Channel-wise cross fusion",
    short="Channel cross fusion",
    paper=Paper(
        "Haonan Wang, Peng Cao, Jiaqi Wang, Osmar R. Zaiane",
        2022,
        "UCTransNet: Rethinking the Skip Connections in U-Net from a Channel-wise Perspective "
        "with Transformer",
        "AAAI 2022, arXiv:2109.04335",
    ),
    slots=("skip",),
    default=("skip",),
    joint=True,
)
class ChannelCrossFusion(nn.Module):
    """x_i + relu(norm(fill(mix(norm(layers(embed(x)))_i)))) for the skips x_i.

    x_i is (B, C_i, *spatial / 2^i). The first skip is cut into patches of `patch`, each further
    one into half of that, so that all share one grid; where they do not, because levels are left
    out, the grid is that of the first and the others are resized to it.
    """

    def __init__(
        self,
        channels: Sequence[int],
        ndim: int,
        layers: int = 4,
        heads: int = 4,
        ratio: int = 4,
        patch: int = 16,
    ) -> None:
        super().__init__()
        # Halved from level to level, as the skips' sides are: one grid for all.
        patches = [max(1, patch >> level) for level in range(len(channels))]
        self.embeddings = nn.ModuleList(
            PatchEmbedding(c, ndim, p) for c, p in zip(channels, patches, strict=True)
        )
        self.layers = nn.ModuleList(FusionLayer(channels, heads, ratio) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for width in channels)
        self.rebuild = nn.ModuleList(
            Reconstruction(c, ndim, p) for c, p in zip(channels, patches, strict=True)
        )

    def _embedded(self, skips: Sequence[Tensor]) -> tuple[list[Tensor], torch.Size]:
        """Tokens (B, N, C_i) of each skip, and the grid they lie on."""
        embedded = [embedding(x) for embedding, x in zip(self.embeddings, skips, strict=True)]
        grid = embedded[0].shape[2:]
        return [tokens(resize(x, tuple(grid))) for x in embedded], grid

    def channel_map(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Attention that each channel receives in the last layer, (B, C_i, 1, ...) for each skip.

        Mean over channels and heads.
        """
        sequences, _ = self._embedded(skips)
        *before, last = self.layers
        for layer in before:
            sequences = layer(sequences)
        assert isinstance(last, FusionLayer)
        weights = torch.cat(last.attention.weights(*last.normalised(sequences)), dim=2).mean(
            (1, 2)
        )  # (B, C)
        shares = weights.split([x.shape[1] for x in skips], dim=1)
        return [channel_weights(share, x) for share, x in zip(shares, skips, strict=True)]

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        sequences, grid = self._embedded(skips)
        for layer in self.layers:
            sequences = layer(sequences)
        normalised = [norm(x) for norm, x in zip(self.norms, sequences, strict=True)]
        parts = zip(self.rebuild, normalised, skips, strict=True)
        return [skip + rebuild(x, grid, skip) for rebuild, x, skip in parts]
