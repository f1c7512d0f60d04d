"""Convolution blocks of the U-Net's levels: plain, residual, and recurrent residual."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor, nn

from attnbench.models.layers import CONV, conv1x1, normalisation


def conv_norm(ndim: int, inputs: int, outputs: int, norm: str) -> nn.Sequential:
    """3^n convolution and normalisation; (B, inputs, *s) to (B, outputs, *s).

    Args:
        ndim: spatial axes, 2 or 3.
        inputs: channels before.
        outputs: channels after.
        norm: `instance`, `batch` or `group`.
    """
    # No bias: the normalisation has a shift of its own.
    return nn.Sequential(
        CONV[ndim](inputs, outputs, kernel_size=3, padding=1, bias=False),
        normalisation(norm, ndim, outputs),
    )


def activation() -> nn.Module:
    """Leaky ReLU of slope 0.01, as in nnU-Net."""
    # In place saves a tensor per layer: nothing before it needs its own output to go backward.
    return nn.LeakyReLU(0.01, inplace=True)


def plain_block(ndim: int, inputs: int, outputs: int, count: int, norm: str) -> nn.Sequential:
    """`count` times convolution, normalisation and activation; the first changes the width.

    Args:
        ndim: spatial axes, 2 or 3.
        inputs: channels before.
        outputs: channels after.
        count: convolutions, at least 1.
        norm: `instance`, `batch` or `group`.
    """
    widths = [inputs] + [outputs] * count
    pairs = itertools.pairwise(widths)
    return nn.Sequential(
        *(conv_norm(ndim, before, after, norm).append(activation()) for before, after in pairs)
    )


class ResidualBlock(nn.Module):
    """act(norm(conv(act(norm(conv(x))))) + shortcut(x)), (B, inputs, *s) to (B, outputs, *s).

    The shortcut is a normalised 1x1 convolution where the width changes. The encoder block of
    nnU-Net's residual encoders (Isensee et al.: nnU-Net Revisited, MICCAI 2024,
    arXiv:2404.09556), here behind the pooling instead of holding a strided convolution.
    """

    def __init__(self, ndim: int, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm(ndim, inputs, outputs, norm),
            activation(),
            *conv_norm(ndim, outputs, outputs, norm),
        )
        shortcut = (conv1x1(ndim, inputs, outputs, bias=False), normalisation(norm, ndim, outputs))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Sequential(*shortcut)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.shortcut(x))


def residual_block(ndim: int, inputs: int, outputs: int, count: int, norm: str) -> nn.Sequential:
    """`count` residual blocks of two convolutions each; the first changes the width.

    Args:
        ndim: spatial axes, 2 or 3.
        inputs: channels before.
        outputs: channels after.
        count: residual blocks, at least 1.
        norm: `instance`, `batch` or `group`.
    """
    widths = [inputs] + [outputs] * count
    return nn.Sequential(
        *(ResidualBlock(ndim, before, after, norm) for before, after in itertools.pairwise(widths))
    )


class Recurrent(nn.Module):
    """One convolution unit, `steps` + 1 times: y = f(x), then y = f(x + y); keeps the shape."""

    def __init__(self, ndim: int, channels: int, norm: str, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.unit = conv_norm(ndim, channels, channels, norm).append(activation())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.unit(x)
        for _ in range(self.steps):
            y = self.unit(x + y)
        return y


class RecurrentResidualBlock(nn.Module):
    """y = W x (1x1), then y + recurrent convolutions of y.

    Alom, Hasan, Yakopcic, Taha, Asari: Recurrent Residual Convolutional Neural Network based on
    U-Net (R2U-Net) for Medical Image Segmentation. arXiv:1802.06955, fig. 4d with t = 2.
    (B, inputs, *s) to (B, outputs, *s).
    """

    def __init__(
        self, ndim: int, inputs: int, outputs: int, count: int, norm: str, steps: int = 2
    ) -> None:
        super().__init__()
        self.widen = conv1x1(ndim, inputs, outputs)
        self.recurrent = nn.Sequential(
            *(Recurrent(ndim, outputs, norm, steps) for _ in range(count))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.widen(x)
        return y + self.recurrent(y)


# Blocks of a level of the encoder and of the decoder, by their name in a study.
Block = Callable[[int, int, int, int, str], nn.Module]
BLOCKS: dict[str, tuple[Block, Block]] = {
    "plain": (plain_block, plain_block),
    "residual": (residual_block, plain_block),
    "recurrent_residual": (RecurrentResidualBlock, RecurrentResidualBlock),
}
