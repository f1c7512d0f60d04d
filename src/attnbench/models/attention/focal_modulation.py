"""Focal modulation: a gated sum of ever wider contexts multiplies each position's query.

Yang, Li, Dai, Gao: Focal Modulation Networks. NeurIPS 2022, arXiv:2203.11926, eq. 3-6, with the
kernels 3, 5, 7 of its large receptive field. The block is the whole one of the authors' code
(microsoft/FocalNet, `FocalNetBlock`): layer normalisation before modulation and before an MLP of
4 C, a shortcut around each; linear layers start as there. Departs from it in that there is no
stochastic depth. In 3-D, which the paper has not, the kernels are cubes.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from attnbench.models.attention._heads import feed_forward
from attnbench.models.layers import CONV, conv1x1
from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="Focal modulation",
    short="Focal modulation",
    paper=Paper(
        "Jianwei Yang, Chunyuan Li, Xiyang Dai, Jianfeng Gao",
        2022,
        "Focal Modulation Networks",
        "NeurIPS 2022, arXiv:2203.11926",
    ),
    default=("encoder", "bottleneck"),
    in_paper="in every block of a network made of it",
    deepest=2,
)
class FocalModulation(nn.Module):
    """y = x + W (q * h(sum_l gate_l z_l)), then y + mlp(norm(y)).

    q, z_0 and the gates are one linear map of norm(x); z_l = gelu(depthwise(z_(l-1))) with a kernel
    of 2 l + 1 for l = 1 ... `levels`, and gelu(mean(z_levels)) over all positions as the last
    context; h is a 1x1 convolution. Maps (B, C, *spatial) to the same shape.
    """

    def __init__(self, channels: int, ndim: int, levels: int = 3) -> None:
        super().__init__()
        self.sizes = (channels, channels, levels + 1)
        self.modulation_norm = nn.LayerNorm(channels)
        self.inputs = nn.Linear(channels, sum(self.sizes))
        self.contexts = nn.ModuleList(
            CONV[ndim](
                channels, channels, 2 * level + 3, padding=level + 1, groups=channels, bias=False
            )
            for level in range(levels)
        )
        self.modulator = conv1x1(ndim, channels, channels)
        self.output = nn.Linear(channels, channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = feed_forward(channels)
        # FocalNet's start for all linear layers, also over that of `feed_forward`.
        for layer in (self.inputs, self.output, self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(layer.get_parameter("weight"), std=0.02)
            nn.init.zeros_(layer.get_parameter("bias"))

    def _query_modulator(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, C, *spatial)."""
        mapped = self.inputs(self.modulation_norm(x.movedim(1, -1))).movedim(-1, 1)
        # On the CPU a depth-wise 3-D convolution of features with channels last is several times
        # slower where its kernel is as long as a side.
        if x.dim() == 5 and min(x.shape[2:]) <= 2 * len(self.contexts) + 1:
            mapped = mapped.contiguous()
        query, context, gates = mapped.split(self.sizes, 1)
        *near, everywhere = gates.split(1, 1)
        total = 0.0
        for layer, gate in zip(self.contexts, near, strict=True):
            context = F.gelu(layer(context))
            total = total + gate * context
        mean = F.gelu(context.mean(tuple(range(2, x.dim())), keepdim=True))
        return query, self.modulator(total + everywhere * mean)

    def attention_map(self, x: Tensor) -> Tensor:
        """Size of the positions' modulators, mean of |h| over channels, (B, 1, *spatial)."""
        return self._query_modulator(x)[1].abs().mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        query, modulator = self._query_modulator(x)
        x = x.movedim(1, -1) + self.output((query * modulator).movedim(1, -1))
        return (x + self.mlp(self.mlp_norm(x))).movedim(-1, 1)
