"""One table of layers by number of spatial axes: 2-D and 3-D networks are the same code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
UPCONV: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
BATCH_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
MAX_POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
LINEAR_MODE = {2: "bilinear", 3: "trilinear"}


def conv1x1(ndim: int, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    """Convolution with kernel 1: the same linear map at every position.

    Args:
        ndim: spatial axes, 2 or 3.
        inputs: channels before.
        outputs: channels after.
        bias: adds a learned constant per channel.
    """
    return CONV[ndim](inputs, outputs, kernel_size=1, bias=bias)


class InstanceNorm(nn.modules.instancenorm._InstanceNorm):
    """Instance normalisation of (B, C, *spatial).

    On the CPU it is group normalisation with a group per channel: the same numbers up to
    rounding; torch's own goes through batch normalisation, which takes twice as long there.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":
            return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


def normalisation(kind: str, ndim: int, channels: int) -> nn.Module:
    """Normalisation with learned scale and shift.

    `kind` is `instance`, `batch` or `group` (at most 8 groups).
    """
    if kind == "instance":
        return InstanceNorm(channels, affine=True)
    if kind == "batch":
        return BATCH_NORM[ndim](channels)
    groups = max(count for count in (8, 4, 2, 1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)


def single_precision(x: Tensor) -> AbstractContextManager[object]:
    """Context in which automatic mixed precision is off on the device of `x`."""
    # The meta device, on which costs are counted, has no mixed precision to turn off.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


@contextmanager
def sound_gradients() -> Iterator[None]:
    """Context without oneDNN, for bfloat16 on the CPU.

    Its gradients of the weights of a convolution of volumes read and write beside their memory
    where a side is shorter than the kernel (found with torch 2.13 on a CPU with AVX-512): they are
    wrong by as much as they are large, some are not finite, and the process may end.
    """
    # None: what it is told of float32 stays.
    before, *_ = torch.backends.mkldnn.set_flags(False, _fp32_precision=None)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(before, _fp32_precision=None)


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize (B, C, *spatial) linearly to `size`; pixels are areas (align_corners=False)."""
    return (
        x
        if x.shape[2:] == size
        else F.interpolate(x, size, mode=LINEAR_MODE[x.dim() - 2], align_corners=False)
    )
