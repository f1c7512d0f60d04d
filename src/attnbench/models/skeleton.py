"""A commented mechanism to begin with, which keeps the contract as it is."""

from __future__ import annotations

_TEXT = '''\
"""My attention, for AttnBench; the contract is in docs/your-model.md.

    attnbench model check ./my_attention.py:MyGate

says what keeps it and what does not. In a study:

    models:
      - unet
      - {name: my_gate, slots: {skip: {name: "./my_attention.py:MyGate", options: {width: 16}}}}
    controls: [gamma0, random, conv1x1, parameters, flops]
"""

import torch
from attnbench.models.layers import conv1x1, resize
from attnbench.models.registry import mechanism
from torch import nn


# Studies are planned without running this file: write every argument out as a literal. All may be
# left out, and the decorator too. Others: default, slots, ndims, finest, deepest, logits, paper.
@mechanism(
    title="My gate",  # in lists
    short="My gate",  # in tables and figures, about 20 characters at most
    scale=("gamma",),  # starts at zero, and at zero the mechanism is the identity: control gamma0
)
class MyGate(nn.Module):
    """x * (1 + gamma * (2 * sigmoid(f(x, gate)) - 1))."""

    def __init__(self, channels: int, ndim: int, gate_channels: int, width: int = 8) -> None:
        """Build it for a level of so many `channels`, in 2-D or 3-D (`ndim`).

        Whoever has `gate_channels` receives the gating signal, and sits in skips; leave it out,
        and the second argument of `forward`, for a mechanism of any slot. What follows, here
        `width`, are options of a study, and has defaults.
        """
        super().__init__()
        self.from_skip = conv1x1(ndim, channels, width, bias=False)
        self.from_gate = conv1x1(ndim, gate_channels, width)
        self.weigh = conv1x1(ndim, width, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def attention_map(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Weight of every position, (B, 1, *spatial), at least 0: drawn by the attention figure.

        May be left out.
        """
        # The gate is one level deeper, at half the resolution, rounded up: sides may be odd.
        signal = resize(self.from_gate(gate), tuple(x.shape[2:]))
        return self.weigh(torch.relu(self.from_skip(x) + signal)).sigmoid()

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Map x (B, channels, *spatial), gate (B, gate_channels, *spatial / 2), to x's shape."""
        return x * (1 + self.gamma * (2 * self.attention_map(x, gate) - 1))
'''


def mechanism_skeleton() -> str:
    """Text of `my_attention.py`: a gate for skips, 2-D and 3-D, with an option and a scale."""
    return _TEXT
