"""SimAM: every value weighted by how far it stands out of its channel, without parameters.

Yang, Zhang, Li, Xie: SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
Networks. ICML 2021, PMLR 139:11863-11874, eq. 5-6 and the code of its fig. 3.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnbench.models.registry import Paper, mechanism


@mechanism(
    title="SimAM",
    short="SimAM",
    paper=Paper(
        "Lingxiao Yang, Ru-Yuan Zhang, Lida Li, Xiaohua Xie",
        2021,
        "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks",
        "ICML 2021, PMLR 139:11863-11874",
    ),
    default=("encoder", "bottleneck"),
    in_paper="inside every residual block of an ImageNet network",
)
class SimAM(nn.Module):
    """x * sigmoid(d / (4 (v + regularisation)) + 1/2) with d = (x - mean)^2.

    v is the variance of each channel, `regularisation` the paper's lambda. Maps (B, C, *spatial)
    to the same shape.
    """

    def __init__(self, channels: int, ndim: int, regularisation: float = 1e-4) -> None:
        super().__init__()
        self.axes = tuple(range(2, 2 + ndim))
        self.regularisation = regularisation

    def _weights(self, x: Tensor) -> Tensor:
        distance = (x - x.mean(self.axes, keepdim=True)).square()
        # The unbiased variance; a single position has no others, and distance zero.
        others = max(1, x[0, 0].numel() - 1)
        variance = distance.sum(self.axes, keepdim=True) / others
        # (B, C, *spatial)
        return (distance / (4 * (variance + self.regularisation)) + 0.5).sigmoid()

    def attention_map(self, x: Tensor) -> Tensor:
        """Weights of the positions in (0, 1), their mean over channels, (B, 1, *spatial)."""
        return self._weights(x).mean(1, keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self._weights(x)
