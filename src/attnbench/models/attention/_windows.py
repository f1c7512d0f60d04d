"""The Swin block: attention inside windows, plain or shifted by half a window.

Liu et al.: Swin Transformer: Hierarchical Vision Transformer using Shifted Windows. ICCV 2021,
arXiv:2103.14030, eq. 1-4. Sizes that are no multiple of the window are padded, and padded
positions are masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._attend import attend
from attnbench.models.attention._channels import check_divisible
from attnbench.models.attention._heads import feed_forward
from attnbench.models.attention._relative import RelativeBias


def pad_ends(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Zero-pad (B, *spatial, C) at the far ends to `sides`."""
    missing = [side - given for side, given in zip(sides, x.shape[1:-1], strict=True)]
    if not any(missing):
        return x
    # F.pad counts axes from the last one: the channels' 0, 0 come first.
    return F.pad(x, [0, 0, *(amount for side in reversed(missing) for amount in (0, side))])


def partition(x: Tensor, window: Sequence[int]) -> Tensor:
    """Windows (B * windows, cells, C) of (B, *sides, C).

    Sides are multiples of those of `window`, whose product is the cells.
    """
    ndim = x.dim() - 2
    # Every side becomes two axes: the number of the window, then the position inside it.
    split = x.reshape(
        x.shape[0],
        *(
            length
            for side, inside in zip(x.shape[1:-1], window, strict=True)
            for length in (side // inside, inside)
        ),
        x.shape[-1],
    )
    outer, inner = range(1, 2 * ndim, 2), range(2, 2 * ndim + 1, 2)
    return split.permute(0, *outer, *inner, 2 * ndim + 1).reshape(
        -1, math.prod(window), x.shape[-1]
    )


def merge(windows: Tensor, window: Sequence[int], sides: Sequence[int]) -> Tensor:
    """Inverse of `partition`: (B * windows, cells, C) as (B, *sides, C)."""
    ndim = len(sides)
    split = windows.reshape(
        -1,
        *(side // inside for side, inside in zip(sides, window, strict=True)),
        *window,
        windows.shape[-1],
    )
    order = [
        axis
        for pair in zip(range(1, ndim + 1), range(ndim + 1, 2 * ndim + 1), strict=True)
        for axis in pair
    ]
    return split.permute(0, *order, 2 * ndim + 1).reshape(-1, *sides, windows.shape[-1])


class WindowBlock(nn.Module):
    """y = x + attention(norm(x)), then y + mlp(norm(y)), on features (B, *spatial, C).

    Attention is multi-head, inside windows of `window` positions along each axis, with a bias by
    relative position. When `shifted`, windows begin half a window later along each axis that has
    more than one, the last wraps round, and positions attend only to those they adjoin in the
    image.
    """

    def __init__(
        self, channels: int, ndim: int, window: int, head_width: int, shifted: bool
    ) -> None:
        super().__init__()
        self.heads = max(1, channels // head_width)
        check_divisible(channels, self.heads, f"{self.heads} heads of at least {head_width}")
        self.window, self.shifted, self.scale = window, shifted, (channels // self.heads) ** -0.5
        self.attention_norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.bias = RelativeBias(window, ndim, self.heads)
        self.output = nn.Linear(channels, channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = feed_forward(channels)
        # Swin's start for all layers, also over that of `feed_forward`.
        for layer in (self.qkv, self.output, self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(layer.get_parameter("weight"), std=0.02)
            nn.init.zeros_(layer.get_parameter("bias"))

    def _layout(self, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Padded sides and shifts along each axis."""
        sides = tuple(-(-side // self.window) * self.window for side in x.shape[1:-1])
        return sides, tuple(
            self.window // 2 if self.shifted and side > self.window else 0 for side in sides
        )

    def _windows(self, x: Tensor, sides: tuple[int, ...], shifts: tuple[int, ...]) -> Tensor:
        """Features (B, *spatial, C) padded to `sides`, shifted and cut into windows."""
        x = pad_ends(x, sides)
        if any(shifts):
            x = torch.roll(x, [-shift for shift in shifts], list(range(1, len(shifts) + 1)))
        return partition(x, [self.window] * len(sides))

    def _mask(self, x: Tensor, sides: tuple[int, ...], shifts: tuple[int, ...]) -> Tensor | None:
        """True for pairs of a window that lie apart in the image, (windows, cells, cells).

        The padding lies apart from the image; None: no pair does.
        """
        given = x.shape[1:-1]
        if sides == tuple(given) and not any(shifts):
            return None
        # Two bits per axis: wrapped round by the shift, in the padding. Cells of equal bits adjoin.
        region = torch.zeros((), dtype=torch.long, device=x.device)
        for side, stop, shift in zip(sides, given, shifts, strict=True):
            position = torch.arange(side, device=x.device)
            region = region[..., None] * 4 + (position < shift) + 2 * (position >= stop)
        region = self._windows(region[None, ..., None], sides, shifts).squeeze(-1)
        return region[:, :, None] != region[:, None, :]

    def _scores_bias(self, x: Tensor, sides: tuple[int, ...], shifts: tuple[int, ...]) -> Tensor:
        """Bias of the scores, (1 or B * windows, heads, cells, cells)."""
        bias, mask = self.bias().unsqueeze(0), self._mask(x, sides, shifts)
        if mask is None:
            return bias
        # The windows of one image follow each other, then those of the next: the mask repeats.
        return bias.masked_fill(mask.unsqueeze(1), float("-inf")).repeat(x.shape[0], 1, 1, 1)

    def _heads(self, windows: Tensor) -> Tensor:
        """Queries, keys and values, (3, B * windows, heads, cells, C / heads)."""
        return self.qkv(windows).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def received(self, x: Tensor) -> Tensor:
        """Attention that each position receives in its window, (B, *spatial).

        Mean over queries and heads.
        """
        sides, shifts = self._layout(x)
        query, key, _ = self._heads(self._windows(self.attention_norm(x), sides, shifts))
        scores = self.scale * query @ key.transpose(-1, -2) + self._scores_bias(x, sides, shifts)
        weights = scores.softmax(-1).mean((1, 2))
        return self._whole(weights.unsqueeze(-1), x, sides, shifts).squeeze(-1)

    def inside(self, x: Tensor) -> Tensor:
        """1 where a window's query lies in the image, 0 in its padding, (B * windows, 1, cells)."""
        return self._windows(torch.ones_like(x[..., :1]), *self._layout(x)).transpose(1, 2)

    def _whole(
        self, windows: Tensor, x: Tensor, sides: tuple[int, ...], shifts: tuple[int, ...]
    ) -> Tensor:
        """Inverse of `_windows`: (B * windows, cells, C) as features on the positions of `x`."""
        whole = merge(windows, [self.window] * len(sides), sides)
        if any(shifts):
            whole = torch.roll(whole, list(shifts), list(range(1, len(shifts) + 1)))
        return whole[(slice(None), *(slice(side) for side in x.shape[1:-1]))]

    def forward(self, x: Tensor) -> Tensor:
        sides, shifts = self._layout(x)
        query, key, value = self._heads(self._windows(self.attention_norm(x), sides, shifts))
        # Mixed precision may have lowered the queries' type; the kernels take one type only.
        bias = self._scores_bias(x, sides, shifts).to(query.dtype)
        attended = attend(query, key, value, self.scale, bias)
        x = x + self._whole(self.output(attended.transpose(1, 2).flatten(2)), x, sides, shifts)
        return x + self.mlp(self.mlp_norm(x))


def default_window(ndim: int) -> int:
    """Window of 7 as in the paper; in volumes 4, which is about as many positions."""
    return {2: 7, 3: 4}[ndim]
