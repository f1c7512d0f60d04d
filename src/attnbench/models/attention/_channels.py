"""Channels in mechanisms: pooling over positions, hidden widths, heads, the way back to a map."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def spatial_mean(x: Tensor) -> Tensor:
    """Mean over positions of (B, C, *spatial), (B, C)."""
    return x.flatten(2).mean(2)


def channel_weights(weights: Tensor, x: Tensor) -> Tensor:
    """Weights (B, C) in the shape (B, C, 1, ...) that multiplies `x`."""
    return weights.reshape(*weights.shape, *(1 for _ in x.shape[2:]))


def hidden_width(channels: int, reduction: int) -> int:
    """channels / reduction, at least 8.

    The floor is never met by the widths of the papers. Below it a hidden layer of one or two
    units often starts dead (ReLU) or constant (layer normalisation of one value), and the
    mechanism would weight nothing.
    """
    return max(8, channels // reduction)


def check_divisible(channels: int, divisor: int, parts: str) -> None:
    """Raise ValueError unless `channels` is a multiple of `divisor`.

    `parts` says of what, e.g. "8 heads".
    """
    if channels % divisor:
        nearest = max(1, round(channels / divisor)) * divisor
        raise ValueError(
            f"{channels} channels; {parts} need a multiple of {divisor}, nearest: {nearest}"
        )


class PooledBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (B, C), one value per case and channel.

    With a batch of one the batch has no variance: as in evaluation, the running statistics are
    used instead.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] > 1:
            return super().forward(x)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class ChannelExcitation(nn.Module):
    """x * sigmoid(W2 relu(W1 mean(x))) with `hidden` units, the mean over all positions.

    Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def channel_map(self, x: Tensor) -> Tensor:
        """Weights of the channels in (0, 1), (B, C, 1, ...)."""
        return channel_weights(self.excite(spatial_mean(x)), x)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.channel_map(x)
