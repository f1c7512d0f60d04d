"""Row 10: one large case in overlapping windows, from image to mask, by the same network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from attnbench.inference.sliding import predict_probabilities
from attnbench.training.device import autocast_type
from benchmarks.record import Record, compare
from benchmarks.timing import interleave
from benchmarks.works import Work, claimed, finish, store_of, unet

ROUNDS = 3
WINDOWS_AT_ONCE = 4


@dataclass(frozen=True)
class Case:
    """Size of a case, and the work that gives channels, classes and, by its patch, the window."""

    shape: tuple[int, ...]
    work: Work


CASES = (
    Case((1500, 1500), Work("phantom2d", (256, 256), 1, (16, 32, 64, 128))),
    Case((96, 120, 96), Work("phantom3d", (32, 48, 32), 1, (16, 32, 64, 128))),
)


def row_10(device: str) -> Iterator[Record]:
    """Time the whole case here and by every peer.

    Half a window of overlap and Gaussian weights for everybody, no mirroring; peers average logits.
    """
    with claimed(device) as where:
        for case in CASES:
            yield from _compare(case, where)


def _compare(case: Case, device: torch.device) -> Iterator[Record]:
    from monai.inferers import SlidingWindowInferer

    from benchmarks.peers.nnunet import predictor

    store = store_of(case.work.dataset)
    assert store
    network = unet(case.work, store, device).eval()
    image = torch.randn(store.info.channels, *case.shape, device=device)
    theirs = predictor(network, case.work, store, device)
    slices = image if len(case.shape) == 3 else image.unsqueeze(1)
    inferer = SlidingWindowInferer(case.work.patch, WINDOWS_AT_ONCE, overlap=0.5, mode="gaussian")
    autocast = autocast_type("auto", device)
    works = {
        "here": lambda: next(
            predict_probabilities(network, [image], case.work.patch, autocast)
        ).argmax(dim=0),
        "MONAI": lambda: _monai(inferer, image, network, autocast),
        "nnU-Net v2": lambda: (
            theirs.predict_sliding_window_return_logits(slices).argmax(dim=0).view(case.shape)
        ),
    }
    same = {
        name: f"{_agreement(work(), works['here']()):.2%} of the mask the same"
        for name, work in works.items()
    }
    seconds = interleave(works, ROUNDS, finish=partial(finish, device))
    size, window = (" x ".join(map(str, sides)) for sides in (case.shape, case.work.patch))
    for name in list(works)[1:]:
        yield compare(
            10, f"{size}, window {window}", name, seconds["here"], seconds[name], ">= 1", same[name]
        )


@torch.no_grad()
def _monai(
    inferer: object, image: Tensor, network: nn.Module, autocast: torch.dtype | None
) -> Tensor:
    with torch.autocast(image.device.type, autocast, enabled=autocast is not None):
        return inferer(image.unsqueeze(0), network)[0].argmax(dim=0)


def _agreement(mask: Tensor, other: Tensor) -> float:
    return (mask.cpu() == other.cpu()).double().mean().item()
