"""Row 4: a step of self-attention on side^2 positions, beside its explicit form and MONAI's.

One mechanism of 32 channels, batch 1, single precision, forward and backward. The explicit form
is SAGAN's formula as its authors write it, softmax(q k^T) v with the N x N matrix; MONAI's
SABlock has one head of the same width. Memory is that of a process of its own beyond what it had
after a step on 8 x 8 positions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from attnbench.models.registry import create_mechanism
from benchmarks.memory import peak_bytes
from benchmarks.record import Record, compare
from benchmarks.timing import alone, interleave

CHANNELS = 32
SIDES = (32, 64, 128, 256)
# On the CPU the matrix of all pairs of 256^2 positions takes 17 GB, and a step four of them.
LARGEST_EXPLICIT = {"cpu": 128, "cuda": 128}
REPEATS = {32: 9, 64: 5, 128: 3}
FORMS = ("ours", "explicit", "MONAI SABlock")


class Explicit(nn.Module):
    """The weights of a self-attention block, applied with the matrix of all pairs."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).flatten(2) for layer in (self.block.query, self.block.key, self.block.value)
        )
        weights = (q.transpose(1, 2) @ k).softmax(-1)  # (B, N, N)
        return x + self.block.gamma * (v @ weights.transpose(1, 2)).reshape(x.shape)


class Monai(nn.Module):
    """MONAI's self-attention block on the positions of a map."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from monai.networks.blocks.selfattention import SABlock
        self.block = SABlock(hidden_size=CHANNELS, num_heads=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


def make_step(form: str, side: int, device: str) -> Callable[[], None]:
    """A function that takes one forward and backward pass."""
    torch.manual_seed(0)
    block = create_mechanism("self_attention", CHANNELS, 2)
    nn.init.ones_(block.gamma)
    module = {"ours": lambda: block, "explicit": lambda: Explicit(block), "MONAI SABlock": Monai}[
        form
    ]().to(device)
    x = torch.randn(1, CHANNELS, side, side, device=device, requires_grad=True)

    def step() -> None:
        module(x).square().mean().backward()

    return step


def peak_of_step(form: str, side: int, device: str) -> int:
    """Bytes that a step takes beyond those before; meant for a process of its own."""
    make_step(form, 8, device)()
    step = make_step(form, side, device)
    if device == "cpu":
        return peak_bytes(step)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    return torch.cuda.max_memory_allocated() - before


def row_4(device: str) -> Iterator[Record]:
    finish = torch.cuda.synchronize if device == "cuda" else None
    for side in SIDES:
        what = f"N = {side}^2"
        alone_fits = side > LARGEST_EXPLICIT[device]
        peaks = {
            form: alone("benchmarks.self_attention:peak_of_step", form, side, device)
            for form in FORMS[: 1 if alone_fits else None]
        }
        works = {form: make_step(form, side, device) for form in peaks}
        seconds = interleave(works, REPEATS.get(side, 1), warm=0 if side > 64 else 1, finish=finish)
        note = f"{peaks['ours'] / side**2:.0f} bytes per position"
        if alone_fits:
            (own,) = seconds["ours"]
            yield Record(4, what, "explicit: does not fit", own, None, "s")
            yield Record(
                4,
                f"{what}: memory",
                "explicit: does not fit",
                peaks["ours"] / 1e6,
                None,
                "MB",
                note=note,
            )
            continue
        for peer in FORMS[1:]:
            goal = (">= 5" if device == "cuda" else ">= 1") if side >= 64 else ""
            yield compare(4, what, peer, seconds["ours"], seconds[peer], goal)
            memory = [peaks["ours"] / 1e6], [peaks[peer] / 1e6]
            yield compare(
                4, f"{what}: memory", peer, *memory, ">= 1" if side >= 64 else "", note, unit="MB"
            )
