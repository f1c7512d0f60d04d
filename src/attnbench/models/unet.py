"""The one U-Net: 2-D and 3-D, plain when its slots are empty.

Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation.
MICCAI 2015, arXiv:1505.04597; with padding, normalisation and leaky ReLU as in nnU-Net (Isensee
et al., Nature Methods 2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.blocks import BLOCKS
from attnbench.models.layers import MAX_POOL, UPCONV, conv1x1
from attnbench.models.slots import Slots
from attnbench.study.models import Placement
from attnbench.study.names import Slot


class UNet(nn.Module):
    """Map from (B, in_channels, *spatial) to logits (B, classes, *spatial), of any size.

    The backbone is created before the mechanisms, so for one seed its initial weights are the
    same whatever the slots hold.

    With `deep_supervision`, forward in training returns a tuple of logits: those of full
    resolution, then those of every deeper decoder level but the deepest two resolutions of the
    network, each at its own resolution (nnU-Net).

    Args:
        ndim: spatial axes, 2 or 3.
        in_channels: channels of an image.
        classes: classes of a mask, background included.
        widths: channels per level, full resolution first; level l has resolution 1 / 2^l.
        blocks_per_level: units of a level, the `count` of its block.
        norm: `instance`, `batch` or `group`.
        slots: mechanisms, `encoder` and `decoder` behind the block of a level, `bottleneck`
            behind the deepest block, `skip` on the way from encoder to decoder.
        block: a key of `BLOCKS`.
        deep_supervision: trains logits of deeper levels too.
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
        block: str = "plain",
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        inputs = (in_channels, *widths[:-1])
        pairs = list(itertools.pairwise(widths))  # (fine, coarse)
        self.widths = tuple(widths)
        self.stride = 2 ** len(pairs)
        encode, decode = BLOCKS[block]
        self.encoder = nn.ModuleList(
            encode(ndim, before, after, blocks_per_level, norm)
            for before, after in zip(inputs, widths, strict=True)
        )
        self.pool = MAX_POOL[ndim](2)
        self.up = nn.ModuleList(
            UPCONV[ndim](coarse, fine, kernel_size=2, stride=2) for fine, coarse in pairs
        )
        # A level takes its skip and the up-sampled features side by side: twice the width.
        self.decoder = nn.ModuleList(
            decode(ndim, 2 * fine, fine, blocks_per_level, norm) for fine, _ in pairs
        )
        self.head = conv1x1(ndim, widths[0], classes)
        # Not the two deepest resolutions, which are too coarse to learn a mask from (nnU-Net).
        supervised = widths[1 : len(widths) - 2] if deep_supervision else ()
        self.deep_heads = nn.ModuleList(conv1x1(ndim, width, classes) for width in supervised)
        self.slots = Slots(ndim, widths, slots or {})

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        size = x.shape[2:]
        x = pad_to_multiple(x, self.stride)
        *fine_blocks, deepest_block = self.encoder
        skips = []
        for level, block in enumerate(fine_blocks):
            x = self.slots("encoder", level, block(x))
            skips.append(x)
            x = self.pool(x)
        x = self.slots("bottleneck", len(skips), deepest_block(x))
        # Before the first decoder level: a joint mechanism needs the skips of all levels.
        skips = self.slots.mix_skips(skips)
        deep: list[Tensor] = []
        for level in reversed(range(len(skips))):
            upsampled = self.up[level](x)
            skip = self.slots("skip", level, skips[level], coarse=x, upsampled=upsampled)
            x = self.slots(
                "decoder", level, self.decoder[level](torch.cat([skip, upsampled], dim=1))
            )
            # From coarse to fine, each put before the last and cut to ceil(side / 2^level).
            if self.training and 0 < level <= len(self.deep_heads):
                deep.insert(
                    0, crop(self.deep_heads[level - 1](x), [-(-side // 2**level) for side in size])
                )
        logits = crop(self.head(x), size)
        return (logits, *deep) if self.training and self.deep_heads else logits


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Zero-pad (B, C, *spatial) at the far ends to sides that are multiples of `multiple`."""
    missing = [-side % multiple for side in x.shape[2:]]
    # F.pad counts axes from the last one, two amounts each: before and behind.
    return (
        F.pad(x, [amount for side in reversed(missing) for amount in (0, side)])
        if any(missing)
        else x
    )


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cut (B, C, *spatial) at the far ends to `size`."""
    inside: tuple[Any, ...] = (..., *map(slice, size))
    return x[inside]
