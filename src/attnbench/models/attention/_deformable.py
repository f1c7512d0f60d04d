"""Deformable convolution in plain torch: every tap of the kernel is moved by its own offset.

Dai, Qi, Xiong, Li, Zhang, Hu, Wei: Deformable Convolutional Networks. ICCV 2017,
arXiv:1703.06211, eq. 2-4, with one group of offsets and values of zero outside the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from attnbench.models.layers import CONV, single_precision

# Values of all taps, up to which holding them is faster than taking the taps in parts.
HELD = 2**23
# Values of weighted features that are in memory at once in a part, where one tap has no more.
PART = 2**18
_BACKWARD: dict[int, Any] = {
    2: torch.ops.aten.grid_sampler_2d_backward,
    3: torch.ops.aten.grid_sampler_3d_backward,
}


class DeformableConvolution(nn.Module):
    """y(p) = sum_t w_t x(p + t + offset_t(p)) + bias, with offsets from a convolution like it.

    `convolution` holds w and bias and is what comes out where all offsets are zero; `offsets` has
    an output per tap and axis, in pixels, all axes of the first tap first, as torchvision has
    them. Values between pixels are interpolated linearly. Computed in single precision at
    least: positions need its digits. Maps (B, C, *spatial) to the same shape; time and memory are
    linear in the number of positions, and no tensor of more than `HELD` values holds one per tap
    and channel.
    FLOPs are counted as those of `offsets` and `convolution`: interpolation never counts.

    Args:
        ndim: spatial axes, 2 or 3.
        channels: C.
        kernel: length of the kernel along each axis, odd.
        dilation: distance of neighbouring taps.
        groups: C for a depth-wise convolution, or 1.
        bias: adds a learned constant per channel.
    """

    def __init__(
        self,
        ndim: int,
        channels: int,
        kernel: int,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        shared: dict[str, Any] = {"padding": dilation * (kernel // 2), "dilation": dilation}
        self.offsets = CONV[ndim](channels, ndim * kernel**ndim, kernel, **shared)
        self.convolution = CONV[ndim](
            channels, channels, kernel, groups=groups, bias=bias, **shared
        )

    def forward(self, x: Tensor) -> Tensor:
        offsets, layer = self.offsets(x), self.convolution
        if x.is_meta:  # where operations are counted
            y: Tensor = layer(x)
            return y
        with single_precision(x):
            dtype = torch.promote_types(x.dtype, torch.float32)
            weights = layer.weight.flatten(2).permute(2, 0, 1).to(dtype)  # (taps, outputs, inputs)
            grids = sampling_grids(offsets.to(dtype), layer.kernel_size[0], layer.dilation[0])
            held = len(grids) * x.numel() <= HELD
            y = (_tap_sum if held else _TapSum.apply)(x.to(dtype), grids, weights)
            if layer.bias is not None:
                y = y + layer.bias.reshape(-1, *(1 for _ in x.shape[2:]))
            return y


def sampling_grids(offsets: Tensor, kernel: int, dilation: int) -> Tensor:
    """Where each tap reads, as `F.grid_sample` takes it, (taps, B, *spatial, ndim).

    Offsets are (B, taps * ndim, *spatial) in pixels. -1 and 1 are the image's edges, and the last
    axis comes first.
    """
    sides = offsets.shape[2:]
    moved = offsets.unflatten(1, (-1, len(sides))).movedim(0, 1)  # (taps, B, ndim, *spatial)
    like: dict[str, Any] = {"device": offsets.device, "dtype": offsets.dtype}
    taps = dilation * (torch.arange(kernel, **like) - kernel // 2)
    steps = torch.cartesian_prod(*[taps] * len(sides))  # (taps, ndim)
    axes = []
    for axis, side in enumerate(sides):
        place = torch.arange(side, **like).reshape(
            [side if other == axis else 1 for other in range(len(sides))]
        )
        step = steps[:, axis].reshape(-1, 1, *(1 for _ in sides))
        axes.append((2 * (moved[:, :, axis] + step + place) + 1) / side - 1)
    return torch.stack(axes[::-1], -1)


def _tap_sum(x: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
    """`_TapSum` with a value per tap and channel in memory."""
    read = F.grid_sample(x, grids.transpose(0, 1).flatten(1, 2), align_corners=False)
    taps = read.unflatten(2, (len(grids), -1)).transpose(1, 2)  # (B, taps, C, *spatial)
    if weights.shape[2] == 1:
        return (taps * weights.reshape(len(weights), -1, *(1 for _ in x.shape[2:]))).sum(1)
    return torch.einsum("toc,btc...->bo...", weights, taps)


def _weighted(x: Tensor, weights: Tensor) -> Tensor:
    """`x` weighted by each tap, (taps * B, outputs, *spatial); weights as `_TapSum` has them."""
    # Weighted before it is read, which gives the same sum: each tap is a product of pixels then.
    if weights.shape[2] == 1:
        return (x * weights.reshape(len(weights), 1, -1, *(1 for _ in x.shape[2:]))).flatten(0, 1)
    return torch.einsum("toc,bc...->tbo...", weights, x).flatten(0, 1)


def _parts(x: Tensor, grids: Tensor, weights: Tensor) -> Iterator[tuple[Tensor, Tensor, slice]]:
    """As many taps at a time as `PART` values are: their grids (taps * B, ...), weights, rows."""
    step = max(1, PART // (len(x) * weights[0, :, 0].numel() * x[0, 0].numel()))
    for first in range(0, len(grids), step):
        rows = slice(first, first + step)
        yield grids[rows].flatten(0, 1), weights[rows], rows


class _TapSum(torch.autograd.Function):
    """Sum over taps of what each reads, (B, outputs, *spatial), in parts of few taps.

    `x` is (B, inputs, *spatial), grids are those of `sampling_grids`, weights (taps, outputs,
    inputs), or (taps, C, 1) of a depth-wise convolution. The backward pass weights `x` again:
    automatic differentiation would keep it as often as there are taps, 74 times in D-LKA.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, grids, weights)
        total = x.new_zeros(len(x), weights.shape[1], *x.shape[2:])
        for grid, weight, _ in _parts(x, grids, weights):
            read = F.grid_sample(_weighted(x, weight), grid, align_corners=False)
            total += read.unflatten(0, (-1, len(x))).sum(0)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, grids, weights = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        grad_grids, grad_weights = torch.empty_like(grids), torch.empty_like(weights)
        for grid, weight, rows in _parts(x, grids, weights):
            inputs = [x.detach().requires_grad_(), weight.detach().requires_grad_()]
            with torch.enable_grad(), single_precision(x):
                weighted = _weighted(*inputs)
            taps = grad.expand(len(weight), *grad.shape).flatten(0, 1)
            # Linear interpolation, zeros outside, corners not aligned: as in the forward pass.
            found = _BACKWARD[x.dim() - 2](taps, weighted.detach(), grid, 0, 0, False, [True, True])
            grad_grids[rows] = found[1].reshape(grad_grids[rows].shape)
            part, grad_weights[rows] = torch.autograd.grad(weighted, inputs, found[0])
            grad_x += part
        return grad_x, grad_grids, grad_weights
