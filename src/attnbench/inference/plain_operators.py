"""Operators of our own in terms of torch's, for files that programs without AttnBench run."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from attnbench.errors import ModelError


def selective_scan(
    values: Tensor, delta: Tensor, rates: Tensor, read: Tensor, write: Tensor
) -> tuple[Tensor, Tensor]:
    """The selective scan of `models/attention/_scan.py`, whose shapes these are.

    All positions at once, in as many steps as their number has binary digits (Hillis and Steele,
    Data parallel algorithms, Communications of the ACM 29, 1986): each step joins to every position
    what ends just before it. All states are in memory: (B, K, L, N, E). The second result, which
    only a backward pass reads, is empty.

    Raises:
        ModelError: the number of positions is open; how many steps there are depends on it.
    """
    if not isinstance(values.shape[2], int):
        raise ModelError("a selective scan is written for one number of positions")
    decays = torch.exp(delta.unsqueeze(-2) * rates.unsqueeze(1))
    states = read.unsqueeze(-1) * (delta * values).unsqueeze(-2)
    length, reach = values.shape[2], 1
    while reach < length:
        # Before the first position the state is zero, and stays so.
        before = F.pad(states[:, :, :-reach], (0, 0, 0, 0, reach, 0))
        states = states + decays * before
        decays = decays * F.pad(decays[:, :, :-reach], (0, 0, 0, 0, reach, 0))
        reach *= 2
    return (write.unsqueeze(-2) @ states).squeeze(-2), values.new_zeros(0)


def in_plain_operators(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Return a traced network without operators that AttnBench brings."""
    # Imported here: the operator exists once its module has been imported.
    from attnbench.models.attention import _scan  # noqa: F401

    return program.run_decompositions({torch.ops.attnbench.selective_scan.default: selective_scan})
