"""Window attention: a Swin block whose windows are not shifted.

Liu et al.: Swin Transformer: Hierarchical Vision Transformer using Shifted Windows. ICCV 2021,
arXiv:2103.14030, eq. 3 (upper half) and 4: windows of 7 (in volumes 4), heads of width 32,
relative position bias, MLP of 4 C. Departs from it in that there is no stochastic depth, and
that sizes that do not fit are masked where they are padded.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.attention._papers import SWIN
from attnbench.models.attention._windows import WindowBlock, default_window
from attnbench.models.registry import mechanism


@mechanism(
    title="Window attention",
    short="Window attention",
    paper=SWIN,
    default=("encoder", "bottleneck"),
    in_paper="in every block of a network made of it",
    deepest=2,
    logits=("block.scale", "block.bias"),
)
class WindowAttention(nn.Module):
    """y = x + attention(norm(x)) inside windows, then y + mlp(norm(y)).

    Maps (B, C, *spatial) to the same shape; C below twice `head_width` is one head; time and
    memory are linear in the number of positions.
    """

    def __init__(
        self, channels: int, ndim: int, window: int | None = None, head_width: int = 32
    ) -> None:
        super().__init__()
        self.block = WindowBlock(
            channels, ndim, window or default_window(ndim), head_width, shifted=False
        )

    def attention_map(self, x: Tensor) -> Tensor:
        """Attention that each position receives in its window, (B, 1, *spatial).

        Mean over queries and heads.
        """
        return self.block.received(x.movedim(1, -1)).unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.movedim(1, -1)).movedim(-1, 1)
