"""Time to score one class of one case: AttnBench, medpy on whole arrays, MONAI and surface-distance side by side.

Run: OMP_NUM_THREADS=1 python benchmarks/scoring.py

Every column computes Dice, HD, HD95 and ASSD (surface-distance and MONAI by their own definitions) from two integer
masks; the best of several rounds counts. The masks are synthetic, in sizes and shares of foreground of real sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import surface_distance
import torch
from medpy.metric import binary
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from scipy.ndimage import gaussian_filter

from attnbench.scoring.case import score_masks

METRICS = ("dice", "hd", "hd95", "assd")


def ball(shape, centre, radius, spacing):
    grids = np.indices(shape, dtype=np.float32)
    parts = zip(grids, centre, spacing, strict=True)
    return sum(((grid - shape_share) * side) ** 2 for grid, shape_share, side in parts) < radius**2


def moved_ball(shape, radius, spacing):
    centre = [side / 2 for side in shape]
    return ball(shape, [side + 1 for side in centre], radius, spacing), ball(shape, centre, radius, spacing), spacing


def vessels(shape):
    rng = np.random.default_rng(0)
    fields = [gaussian_filter(rng.normal(size=shape), scale) for scale in (3, 2)]
    first = fields[0] / fields[0].std()
    second = first + 0.2 * fields[1] / fields[1].std()
    return np.abs(second) < 0.12, np.abs(first) < 0.12, (1.0, 1.0)


CASES = {
    "2-D lesion, 512 x 512": lambda: moved_ball((512, 512), 20, (1.0, 1.0)),
    "2-D vessels that fill 584 x 565": lambda: vessels((584, 565)),
    "3-D hippocampus, 35 x 50 x 36": lambda: moved_ball((35, 50, 36), 8, (1.0, 1.0, 1.0)),
    "3-D prostate, 256 x 256 x 40, 0.6 x 0.6 x 3 mm": lambda: moved_ball((256, 256, 40), 22, (0.6, 0.6, 3.0)),
    "3-D lesion, 160 x 160 x 160": lambda: moved_ball((160, 160, 160), 6, (1.0, 1.0, 1.0)),
    "3-D organ, 160 x 160 x 160": lambda: moved_ball((160, 160, 160), 40, (1.0, 1.0, 1.0)),
}


def ours(prediction, reference, spacing):
    return [row["value"] for row in score_masks(prediction, reference, spacing, "mm", (1,), METRICS)]


def medpy_whole(prediction, reference, spacing):
    distances = [compute(prediction, reference, spacing) for compute in (binary.hd, binary.hd95, binary.assd)]
    return [binary.dc(prediction, reference), *distances]


def monai(prediction, reference, spacing):
    masks = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    options = {"include_background": True, "spacing": spacing}
    return [
        compute_dice(*masks),
        compute_hausdorff_distance(*masks, **options),
        compute_hausdorff_distance(*masks, percentile=95, **options),
        compute_average_surface_distance(*masks, symmetric=True, **options),
    ]


def deepmind(prediction, reference, spacing):
    masks = reference.astype(bool), prediction.astype(bool)
    distances = surface_distance.compute_surface_distances(*masks, spacing)
    return [
        surface_distance.compute_dice_coefficient(*masks),
        surface_distance.compute_robust_hausdorff(distances, 100),
        surface_distance.compute_robust_hausdorff(distances, 95),
        surface_distance.compute_average_surface_distance(distances),
    ]


def best_ms(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main(rounds: int = 5) -> None:
    torch.set_num_threads(1)
    peers = {"medpy": medpy_whole, "MONAI": monai, "surface-distance": deepmind}
    print(f"| case | AttnBench ms | {' | '.join(f'{name} ms' for name in peers)} | medpy / AttnBench | bits as medpy |")
    print("|---" * (len(peers) + 4) + "|")
    for name, make in CASES.items():
        prediction, reference, spacing = make()
        masks = prediction.astype(np.uint8), reference.astype(np.uint8), spacing
        own = best_ms(lambda masks=masks: ours(*masks), rounds)
        others = [best_ms(lambda peer=peer, masks=masks: peer(*masks), min(rounds, 3)) for peer in peers.values()]
        same = "equal" if ours(*masks) == medpy_whole(*masks) else "DIFFERENT"
        times = " | ".join(f"{other:.1f}" for other in others)
        print(f"| {name} | {own:.1f} | {times} | {others[0] / own:.0f} x | {same} |")


if __name__ == "__main__":
    main()
