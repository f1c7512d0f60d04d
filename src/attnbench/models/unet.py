"""The one U-Net: 2-D and 3-D, plain when its slots are empty.

Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015,
arXiv:1505.04597; with padding, normalisation and leaky ReLU as in nnU-Net (Isensee et al., Nature Methods 2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.blocks import plain_block
from attnbench.models.layers import MAX_POOL, UPCONV, conv1x1
from attnbench.models.slots import Slots
from attnbench.study import Placement, Slot


class UNet(nn.Module):
    """Maps (B, in_channels, *spatial) to logits (B, classes, *spatial) for any spatial size.

    `widths` are the channels per level, full resolution first; level l works at resolution 1 / 2^l. `classes` counts
    the background. `slots` places mechanisms: `encoder` and `decoder` behind the block of a level, `bottleneck` behind
    the deepest block, `skip` on the way from encoder to decoder. The backbone is created before the mechanisms, so for
    one seed its initial weights are the same whatever the slots hold. Raises `ModelError` for an impossible placement.
    """

    def __init__(
        self,
        ndim: int,
        in_channels: int,
        classes: int,
        widths: Sequence[int] = (16, 32, 64, 128),
        blocks_per_level: int = 2,
        norm: str = "instance",
        slots: Mapping[Slot, Sequence[Placement]] | None = None,
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        pairs = list(itertools.pairwise(widths))  # (fine, coarse)
        self.stride = 2 ** len(pairs)
        self.encoder = nn.ModuleList(
            plain_block(ndim, before, after, blocks_per_level, norm)
            for before, after in zip(inputs, widths, strict=True)
        )
        self.pool = MAX_POOL[ndim](2)
        self.up = nn.ModuleList(UPCONV[ndim](coarse, fine, kernel_size=2, stride=2) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(plain_block(ndim, 2 * fine, fine, blocks_per_level, norm) for fine, _ in pairs)
        self.head = conv1x1(ndim, widths[0], classes)
        self.slots = Slots(ndim, widths, slots or {})

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        x = pad_to_multiple(x, self.stride)
        *fine_blocks, deepest_block = self.encoder
        skips = []
        for level, block in enumerate(fine_blocks):
            x = self.slots("encoder", level, block(x))
            skips.append(x)
            x = self.pool(x)
        x = self.slots("bottleneck", len(skips), deepest_block(x))
        skips = self.slots.mix_skips(skips)
        for level in reversed(range(len(skips))):
            upsampled = self.up[level](x)
            skip = self.slots("skip", level, skips[level], coarse=x, upsampled=upsampled)
            x = self.slots("decoder", level, self.decoder[level](torch.cat([skip, upsampled], dim=1)))
        return self.head(x)[..., *(slice(side) for side in size)]


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """(B, C, *spatial) zero-padded at the far ends so that every side is a multiple of `multiple`."""
    missing = [-side % multiple for side in x.shape[2:]]
    return F.pad(x, [amount for side in reversed(missing) for amount in (0, side)]) if any(missing) else x
