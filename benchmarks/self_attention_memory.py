"""Peak memory and time of one training step of self-attention against the explicit form, in separate processes.

    python benchmarks/self_attention_memory.py [--largest-explicit 128]

One mechanism of 32 channels, batch 1, single precision, on the CPU; N = side^2 positions. Memory is the process' peak
(ru_maxrss) less its peak after a step on 8 x 8 positions, which pays for the library; the time is that of the second
of two steps. The explicit form is SAGAN's formula as its authors write it: softmax(q k^T) v with the N x N matrix.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time

import torch
from torch import nn

from attnbench.models import create_mechanism

CHANNELS = 32
SIDES = (32, 64, 96, 128, 192, 256)


class Explicit(nn.Module):
    """The weights of a self-attention block, applied with the matrix of all pairs."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (layer(x).flatten(2) for layer in (self.block.query, self.block.key, self.block.value))
        weights = (q.transpose(1, 2) @ k).softmax(-1)  # (B, N, N)
        return x + self.block.gamma * (v @ weights.transpose(1, 2)).reshape(x.shape)


def step(module: nn.Module, side: int) -> float:
    """Seconds of one forward and backward pass."""
    x = torch.randn(1, CHANNELS, side, side, requires_grad=True)
    started = time.perf_counter()
    module(x).square().mean().backward()
    return time.perf_counter() - started


def peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(form: str, side: int) -> dict[str, float]:
    """Run in a process of its own: bytes above the baseline, and seconds."""
    torch.manual_seed(0)
    module = create_mechanism("self_attention", CHANNELS, 2)
    nn.init.ones_(module.gamma)
    if form == "explicit":
        module = Explicit(module)
    step(module, 8)
    baseline = peak()
    step(module, side)
    return {"seconds": step(module, side), "bytes": peak() - baseline}


def in_its_own_process(form: str, side: int) -> dict[str, float]:
    """The measurement of a fresh interpreter."""
    shown = subprocess.run([sys.executable, __file__, "--one", form, str(side)], capture_output=True, text=True)
    if shown.returncode:
        raise SystemExit(f"{form} at {side}x{side} failed: {shown.stderr.strip() or shown.returncode}")
    return json.loads(shown.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest-explicit", type=int, default=128, help="largest side of the explicit form")
    parser.add_argument("--one", nargs=2, metavar=("FORM", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], int(arguments.one[1]))))
        return
    print(
        f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} CPUs, {torch.get_num_threads()} thread(s)\n"
    )
    print("| N | MB | seconds | bytes per position | explicit MB | explicit seconds | times less memory |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for side in SIDES:
        ours = in_its_own_process("attnbench", side)
        line = f"| {side}^2 | {ours['bytes'] / 1e6:.1f} | {ours['seconds']:.2f} | {ours['bytes'] / side**2:.0f} |"
        if side <= arguments.largest_explicit:
            theirs = in_its_own_process("explicit", side)
            ratio = theirs["bytes"] / ours["bytes"]
            line += f" {theirs['bytes'] / 1e6:.1f} | {theirs['seconds']:.2f} | {ratio:.0f} |"
        else:
            line += " | | |"
        print(line, flush=True)


if __name__ == "__main__":
    main()
