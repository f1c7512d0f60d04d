"""Deformable convolution in plain torch: every tap of the kernel is moved by its own offset.

Dai, Qi, Xiong, Li, Zhang, Hu, Wei: Deformable Convolutional Networks. ICCV 2017,
arXiv:1703.06211, eq. 2-4, with one group of offsets and values of zero outside the image.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from attnbench.models.layers import CONV, single_precision


class DeformableConvolution(nn.Module):
    """y(p) = sum_t w_t x(p + t + offset_t(p)) + bias, with offsets from a convolution like it.

    `convolution` holds w and bias and is what comes out where all offsets are zero; `offsets` has
    an output per tap and axis, in pixels, all axes of the first tap first, as torchvision has
    them. Values between pixels are interpolated linearly. Computed in single precision at
    least: positions need its digits. Maps (B, C, *spatial) to the same shape; time and memory are
    linear in the number of positions, and beside the offsets no tensor holds a value per tap.
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
            y = _TapSum.apply(x.to(dtype), grids, weights)
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


def _tap(x: Tensor, grid: Tensor, weight: Tensor) -> Tensor:
    """One tap's part of the sum; `weight` is (outputs, inputs), or (C, 1) if depth-wise."""
    # Weighted before it is read, which is the same sum: a dense tap is a product of pixels then.
    if weight.shape[1] == 1:
        weighted = x * weight.reshape(-1, *(1 for _ in x.shape[2:]))
    else:
        weighted = torch.einsum("oc,bc...->bo...", weight, x)
    return F.grid_sample(weighted, grid, align_corners=False)


class _TapSum(torch.autograd.Function):
    """Sum of all taps, (B, outputs, *spatial), of `x`, grids and weights, one row each per tap.

    The backward pass computes each tap again: automatic differentiation would keep every tap's
    values, 74 times the features in D-LKA.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, grids: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, grids, weights)
        total = _tap(x, grids[0], weights[0])
        for grid, weight in zip(grids[1:], weights[1:], strict=True):
            total += _tap(x, grid, weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, grids, weights = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        grad_grids, grad_weights = torch.empty_like(grids), torch.empty_like(weights)
        for tap in range(len(grids)):
            inputs = [part.detach().requires_grad_() for part in (x, grids[tap], weights[tap])]
            with torch.enable_grad(), single_precision(x):
                part = _tap(*inputs)
            found = torch.autograd.grad(part, inputs, grad)
            grad_x += found[0]
            grad_grids[tap], grad_weights[tap] = found[1:]
        return grad_x, grad_grids, grad_weights
