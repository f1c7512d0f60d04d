"""Shifted-window attention: two Swin blocks, the windows of the second shifted by half a window.

Liu et al.: Swin Transformer: Hierarchical Vision Transformer using Shifted Windows. ICCV 2021,
arXiv:2103.14030, eq. 3-4 and fig. 4: windows of 7 (in volumes 4), heads of width 32, relative
position bias, MLP of 4 C, wrapped windows masked. Departs from it in that there is no stochastic
depth, and that sizes that do not fit are masked where they are padded.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._papers import SWIN
from attnbench.models.attention._windows import WindowBlock, default_window
from attnbench.models.registry import mechanism


@mechanism(
    title="Shifted-window attention",
    short="Shifted window",
    paper=SWIN,
    default=("encoder", "bottleneck"),
    in_paper="in every block of a network made of it",
    deepest=2,
    logits=("plain.scale", "plain.bias", "shifted.scale", "shifted.bias"),
)
class ShiftedWindowAttention(nn.Module):
    """A block with plain windows, then one with shifted windows.

    Maps (B, C, *spatial) to the same shape; C below twice `head_width` is one head; time and
    memory are linear in the number of positions.
    """

    def __init__(
        self, channels: int, ndim: int, window: int | None = None, head_width: int = 32
    ) -> None:
        super().__init__()
        window = window or default_window(ndim)
        self.plain = WindowBlock(channels, ndim, window, head_width, shifted=False)
        self.shifted = WindowBlock(channels, ndim, window, head_width, shifted=True)

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives in its shifted window, (B, 1, *spatial).

        Mean over queries and heads.
        """
        return self.shifted.received(self.plain(x.movedim(1, -1))).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shifted(self.plain(x.movedim(1, -1))).movedim(-1, 1)
