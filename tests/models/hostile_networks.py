"""Networks that a study cannot train as they are, each for one reason; and some that it can.

All map images (B, 1, H, W) to logits of two classes, but for their reason.
"""

from collections import namedtuple
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Heads = namedtuple("Heads", ["logits", "features"])


class Good(nn.Module):
    """Two convolutions; takes every side."""

    def __init__(self, classes: int = 2, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        return self.last(F.relu(self.first(x)))


class Returns(Good):
    """Base of those that spoil the logits at the end."""

    def forward(self, x):
        return self.spoilt(super().forward(x))


class Pair(Returns):
    def spoilt(self, x):
        return x, x[..., ::2, ::2]


class Listed(Returns):
    def spoilt(self, x):
        return [x]


class Mapped(Returns):
    def spoilt(self, x):
        return {"out": x, "aux": x.mean()}


class Named(Returns):
    def spoilt(self, x):
        return Heads(x, x.mean())


class Nested(Returns):
    def spoilt(self, x):
        return [[x, x], x]


class Nothing(Returns):
    def spoilt(self, x):
        return None


class Softmaxed(Returns):
    def spoilt(self, x):
        return x.softmax(dim=1)


class SoftmaxedInEvaluation(Returns):
    def spoilt(self, x):
        return x if self.training else x.softmax(dim=1)


class Sigmoid(Returns):
    def spoilt(self, x):
        return x.sigmoid()


class LogSoftmaxed(Returns):
    def spoilt(self, x):
        return x.log_softmax(dim=1)


class OneChannel(Good):
    def __init__(self) -> None:
        super().__init__(classes=1)


class ThreeClasses(Good):
    def __init__(self) -> None:
        super().__init__(classes=3)


class Mask(Returns):
    def spoilt(self, x):
        return x.argmax(dim=1)


class HardMask(Returns):
    def spoilt(self, x):
        return F.one_hot(x.argmax(dim=1), 2).movedim(-1, 1).float()


class ChannelsLast(Returns):
    def spoilt(self, x):
        return x.movedim(1, -1)


class Quarter(Returns):
    def spoilt(self, x):
        return x[..., ::4, ::4]


class Twice(Returns):
    def spoilt(self, x):
        return F.interpolate(x, scale_factor=2.0)


class Stacked(Returns):
    """Heads of deep supervision, stacked in training, as MONAI's DynUNet does."""

    def spoilt(self, x):
        return torch.stack([x, x], dim=1) if self.training else x


class DeepInTraining(Returns):
    def spoilt(self, x):
        return [x, x[..., ::2, ::2]] if self.training else x


class Double(Returns):
    def spoilt(self, x):
        return x.double()


class Brain(Returns):
    def spoilt(self, x):
        return x.bfloat16()


class NotFinite(Returns):
    def spoilt(self, x):
        return x.log()


class Detached(Returns):
    def spoilt(self, x):
        return x.detach()


class Array(Returns):
    def spoilt(self, x):
        return np.asarray(x.detach())


class InPlace(Good):
    def forward(self, x):
        return super().forward(x.clamp_(min=0))


class InPlaceAfterwards(Good):
    """A value that the backward pass needs is overwritten."""

    def forward(self, x):
        features = self.first(x).exp()
        logits = self.last(features)
        features.add_(1)
        return logits


class ByValue(Good):
    def forward(self, x):
        return super().forward(x / 2 if x.max().item() > 3 else x)


class Pooled(Good):
    """Batch normalisation of pooled features: one value per channel and image."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        features = self.first(x)
        return self.last(features + self.norm(features.mean(dim=(2, 3), keepdim=True)))


class Strided(Good):
    """Sides that are no multiples of 12 come back larger, as of most encoders."""

    def forward(self, x):
        small = F.avg_pool2d(x, 12, ceil_mode=True)
        return super().forward(F.interpolate(small, scale_factor=12.0))


class Positions(Good):
    """Knows the positions of one size of image."""

    def __init__(self, size=(24, 24)) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, 1, *size))

    def forward(self, x):
        return super().forward(x + self.positions)


class LeftBehind(Good):
    """A tensor that is no buffer stays behind when the network moves to another device."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.full((1, 4, 1, 1), 2.0)

    def forward(self, x):
        return self.last(
            torch.cat([self.first(x)[:, :2], self.scale[:, :2] * self.first(x)[:, 2:]], 1)
        )


class TwoArguments(Good):
    def forward(self, x, mask):
        return super().forward(x * mask)


class Frozen(nn.Module):
    def forward(self, x):
        return torch.cat([x, -x], dim=1)


class Zeroed(Good):
    """Begins with logits of zero, which lie between 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)


class Small(Good):
    """Begins with logits near one half."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.normal_(self.last.weight, std=1e-3)
        nn.init.constant_(self.last.bias, 0.5)


class NoModule:
    def __call__(self, x):
        return x


def factory(width: int = 4):
    return Good(width=width)


def forgetful():
    Good()


built = Good()
part = partial(Good, width=8)
