"""Mechanisms that break the contract, each in one way; `Good` keeps it."""

import random

import torch
from torch import nn
from torch.nn import functional as F

from attnbench.models.registry import mechanism

CONV = {2: nn.Conv2d, 3: nn.Conv3d}


class Good(nn.Module):
    def __init__(self, channels, ndim, width=4):
        super().__init__()
        self.conv = CONV[ndim](channels, 1, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x))


class Tuple(Good):
    def forward(self, x):
        weights = torch.sigmoid(self.conv(x))
        return x * weights, weights


class OneChannel(Good):
    def forward(self, x):
        return torch.sigmoid(self.conv(x))


class EvenSides(Good):
    def forward(self, x):
        small = F.avg_pool2d(x, 2) if x.dim() == 4 else F.avg_pool3d(x, 2)
        return F.interpolate(small, scale_factor=2.0)


class TwoImages(Good):
    def forward(self, x):
        return x * torch.sigmoid(self.conv(x)).view(2, 1, *x.shape[2:])


class Fails(Good):
    def forward(self, x):
        raise KeyError("not today")


class CallsCuda(Good):
    def __init__(self, channels, ndim):
        super().__init__(channels, ndim)
        self.weight = nn.Parameter(torch.ones(channels).cuda())


class FirstDevice(Good):
    def forward(self, x):
        ramp = torch.arange(x.shape[-1], dtype=x.dtype)
        return x * torch.sigmoid(self.conv(x) + ramp)


class ReadsValues(Good):
    def forward(self, x):
        return x * (torch.sigmoid(self.conv(x)) if x.abs().sum() >= 0 else 1.0)


class AcrossImages(Good):
    def forward(self, x):
        return x * torch.sigmoid(self.conv(x) - x.mean())


class DropsOut(Good):
    def forward(self, x):
        return x * F.dropout(torch.sigmoid(self.conv(x)), 0.1, self.training)


class AlwaysDropsOut(Good):
    def forward(self, x):
        return x * F.dropout(torch.sigmoid(self.conv(x)), 0.1)


class DrawsElsewhere(Good):
    def forward(self, x):
        noise = random.random() if self.training else 0.0
        return x * torch.sigmoid(self.conv(x) + noise)


class Remembers(Good):
    last = 0.0

    def forward(self, x):
        y = x * torch.sigmoid(self.conv(x) + self.last)
        self.last = x.detach().mean()
        return y


class HidesState(Good):
    mean = 0.0

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x * torch.sigmoid(self.conv(x) - self.mean)


class FlatOnly(Good):
    def __init__(self, channels, ndim):
        super().__init__(channels, ndim)
        self.conv = nn.Conv2d(channels, 1, 1)


class WritesInput(Good):
    def forward(self, x):
        return x.mul_(torch.sigmoid(self.conv(x)))


class UnusedParameters(Good):
    def __init__(self, channels, ndim):
        super().__init__(channels, ndim)
        self.spare = nn.Linear(channels, channels)


class Detaches(Good):
    def forward(self, x):
        return x.detach() * torch.sigmoid(self.conv(x.detach()))


class SetsTheSeed(Good):
    def __init__(self, channels, ndim):
        torch.manual_seed(0)
        super().__init__(channels, ndim)


class DividesByNothing(Good):
    def forward(self, x):
        return x * torch.sigmoid(self.conv(x)) / x.norm(dim=1, keepdim=True)


class SinglePrecision(Good):
    def forward(self, x):
        return (x * torch.sigmoid(self.conv(x))).float()


class ViewsMemory(Good):
    def forward(self, x):
        return x * torch.sigmoid(self.conv(x) + x.view(len(x), -1).mean())[..., :1]


class Pairs(Good):
    def forward(self, x):
        flat = x.flatten(2)
        weights = (flat.transpose(1, 2) @ flat).softmax(-1)
        return (flat @ weights).reshape(x.shape) * torch.sigmoid(self.conv(x))


class Heads(Good):
    def __init__(self, channels, ndim):
        if channels % 64:
            raise ValueError(f"{channels} channels do not split into heads of 64")
        super().__init__(channels, ndim)


class OtherNames(Good):
    def __init__(self, in_planes, ratio=16):
        super().__init__(in_planes, 2)


class NeedsOption(Good):
    def __init__(self, channels, ndim, width):
        super().__init__(channels, ndim)


class NoConstructor(nn.Module):
    def forward(self, x):
        return x


@mechanism(scale=("gamma",))
class NoSuchScale(Good):
    pass


@mechanism(scale=("gamma",))
class NoIdentity(Good):
    def __init__(self, channels, ndim):
        super().__init__(channels, ndim)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x)) + self.gamma * x


@mechanism(scale=("gamma",))
class StartsOpen(Good):
    def __init__(self, channels, ndim):
        super().__init__(channels, ndim)
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x + self.gamma * torch.sigmoid(self.conv(x))


@mechanism(logits=("query",))
class NoSuchLogits(Good):
    pass


class FlatMap(Good):
    def attention_map(self, x):
        return self.conv(x).sigmoid()[:, 0]


class NegativeMap(Good):
    def attention_map(self, x):
        return self.conv(x)


class HiddenMap(Good):
    locals()["attention_map"] = lambda self, x: self.conv(x).sigmoid()


def factory(channels, ndim):
    return Good(channels, ndim)
