"""Convolution blocks of the U-Net's levels."""

from __future__ import annotations

import itertools

from torch import nn

from attnbench.models.layers import CONV, normalisation


def conv_norm_act(ndim: int, inputs: int, outputs: int, norm: str) -> nn.Sequential:
    """3^n convolution, normalisation, leaky ReLU (slope 0.01); (B, inputs, *s) to (B, outputs, *s)."""
    return nn.Sequential(
        CONV[ndim](inputs, outputs, kernel_size=3, padding=1, bias=False),
        normalisation(norm, ndim, outputs),
        nn.LeakyReLU(0.01, inplace=True),
    )


def plain_block(ndim: int, inputs: int, outputs: int, count: int, norm: str) -> nn.Sequential:
    """`count` convolutions one after the other, the first of which changes the width."""
    widths = [inputs] + [outputs] * count
    return nn.Sequential(*(conv_norm_act(ndim, before, after, norm) for before, after in itertools.pairwise(widths)))
