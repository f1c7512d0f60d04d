"""Learned bias of attention by the relative position of two cells of a fixed grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RelativeBias(nn.Module):
    """One value per head and offset of two cells of a grid.

    Liu et al. 2021, arXiv:2103.14030, eq. 4; the grid has `side` cells along each of `ndim` axes,
    the table (2 side - 1)^ndim offsets, started at a standard deviation of 0.02. Returns (heads,
    cells, cells), query cell before key cell.
    """

    index: Tensor

    def __init__(self, side: int, ndim: int, heads: int) -> None:
        super().__init__()
        self.table = nn.Parameter(
            nn.init.trunc_normal_(torch.empty((2 * side - 1) ** ndim, heads), std=0.02)
        )
        cells = torch.cartesian_prod(*[torch.arange(side)] * ndim)  # (cells, ndim)
        # Offsets from 0, one digit per axis in base 2 side - 1: together the row of the table.
        offsets = cells[:, None] - cells[None, :] + side - 1
        strides = torch.tensor([(2 * side - 1) ** power for power in reversed(range(ndim))])
        # Not saved with the weights: it follows from the arguments.
        self.register_buffer("index", (offsets * strides).sum(-1), persistent=False)

    def forward(self) -> Tensor:
        return self.table[self.index].permute(2, 0, 1)
