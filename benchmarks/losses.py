"""What a loss costs: a training step by each as a multiple of one by `dice_ce`.

    python benchmarks/losses.py

One thread, the default U-Net, three classes, a batch of 2: 2-D patches of 128 x 128 and 3-D ones of
32 x 32 x 32. Losses take turns, and processor time is counted, so that what else the machine does
falsifies little; the ratio is that of the medians. Prints the ratios of the table in
docs/losses.md.
"""

from __future__ import annotations

import time
from statistics import median

import torch

from attnbench.models.unet import UNet
from attnbench.study.groups import TrainingSettings
from attnbench.study.loss import DEFAULT_LOSS, LossSettings
from attnbench.training.loop import take_step
from attnbench.training.loss import loss_of
from attnbench.training.losses import loss_names
from attnbench.training.optimiser import make_optimiser

ROUNDS = 5
PATCHES = ((128, 128), (32, 32, 32))


def ratios(patch: tuple[int, ...]) -> dict[str, float]:
    """Median seconds of a step by each loss over those of `dice_ce`."""
    torch.manual_seed(0)
    network = UNet(len(patch), 1, 3, (16, 32, 64, 128)).train()
    optimiser = make_optimiser(network, TrainingSettings(), torch.device("cpu"))
    images = torch.randn(2, 1, *patch)
    # A block of each class, as masks are: distances and skeletons have something to measure.
    masks = torch.zeros(2, *patch, dtype=torch.long)
    masks[:, 4:20, 4:20] = 1
    masks[:, 10:28, 18:30] = 2
    losses = {name: loss_of(LossSettings(name=name)) for name in loss_names()}
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(ROUNDS):
        for name, loss in losses.items():
            started = time.process_time()
            take_step(network, images, masks, loss, optimiser, None)
            seconds[name].append(time.process_time() - started)
    base = median(seconds[DEFAULT_LOSS.name])
    return {name: median(times) / base for name, times in seconds.items()}


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    for patch in PATCHES:
        for name, ratio in ratios(patch).items():
            print(f"{name} {' x '.join(map(str, patch))}: {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
