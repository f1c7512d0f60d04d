"""A user's own networks, as a study names them by dotted path."""

import torch
from torch import nn


class Strict(nn.Module):
    """Refuses sides that are no multiple of 8; returns its logits first in a list."""

    def __init__(self, inputs: int, classes: int, ndim: int, width: int = 4) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[ndim]
        self.layers = nn.Sequential(
            conv(inputs, width, 3, padding=1), nn.ReLU(), conv(width, classes, 1)
        )

    def forward(self, x):
        if any(side % 8 for side in x.shape[2:]):
            raise ValueError(f"sides {tuple(x.shape[2:])} are no multiples of 8")
        logits = self.layers(x)
        return [logits, logits[..., ::2, ::2]]


class OneSize(nn.Module):
    """Knows one size only: it has a weight per position."""

    def __init__(self, size, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, *size))

    def forward(self, x):
        return x * self.weight


class Half(nn.Module):
    """Logits at half the resolution: not what a study needs."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x):
        x = self.factor * x
        return torch.cat([x, x], dim=1)[..., ::2, ::2]
