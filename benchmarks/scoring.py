"""Row 6: Dice, HD, HD95 and ASSD of one class, against medpy on whole arrays and others.

MONAI, surface-distance and scikit-image follow definitions of their own; only medpy gives the
same numbers, and the row ends with an error where it does not, bit for bit. Masks are what a
U-Net predicts after a short training on the datasets that are there, and synthetic ones in sizes
and shares of foreground of others.
"""

from __future__ import annotations

import timeit
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import surface_distance
import torch
from medpy.metric import binary
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from scipy.ndimage import gaussian_filter
from skimage.metrics import hausdorff_distance

from attnbench.data.normalise import Normalisation
from attnbench.inference.sliding import on_own_grid, predict_probabilities
from attnbench.inference.trained import as_mask
from attnbench.scoring.case import score_masks
from benchmarks.record import Record, compare
from benchmarks.timing import interleave
from benchmarks.works import Ours, Work, claimed, store_of

Case = tuple[np.ndarray, np.ndarray, tuple[float, ...]]
METRICS = ("dice", "hd", "hd95", "assd")
REPEATS = 5
# Small cases are scored several times per turn, as a job scores them: the first call finds cold
# caches.
SECONDS = 0.01


def ball(shape, centre, radius, spacing):
    grids = np.indices(shape, dtype=np.float32)
    parts = zip(grids, centre, spacing, strict=True)
    return sum(((grid - shape_share) * side) ** 2 for grid, shape_share, side in parts) < radius**2


def moved_ball(shape, radius, spacing):
    centre = [side / 2 for side in shape]
    return (
        ball(shape, [side + 1 for side in centre], radius, spacing),
        ball(shape, centre, radius, spacing),
        spacing,
    )


def vessels(shape):
    rng = np.random.default_rng(0)
    fields = [gaussian_filter(rng.normal(size=shape), scale) for scale in (3, 2)]
    first = fields[0] / fields[0].std()
    second = first + 0.2 * fields[1] / fields[1].std()
    return np.abs(second) < 0.12, np.abs(first) < 0.12, (1.0, 1.0)


# What is trained, for how many steps, and the class that is scored.
TRAINED = (
    (Work("retina_drive", (96, 96), 4, (8, 16, 32, 64)), 200, 1),
    (Work("nuclei_dsb2018", (96, 96), 4, (8, 16, 32, 64)), 200, 1),
    (Work("hippocampus", (32, 48, 32), 2, (8, 16, 32, 64)), 100, 1),
    (Work("phantom3d", (24, 24, 16), 4, (8, 16, 32, 64)), 200, 1),
)


def predictions(device: str) -> Iterator[tuple[str, Case]]:
    """For each dataset that is there, the last case and a U-Net's prediction of it."""
    for work, steps, number in TRAINED:
        store = store_of(work.dataset)
        if store is None:
            continue
        with claimed(device) as where:
            ours = Ours(work, store, where)
            for _ in range(steps):
                ours.step()
            index = len(store) - 1
            image = torch.from_numpy(Normalisation("z_score").image(store, index)).to(where)
            predicted = next(
                predict_probabilities(ours.network.eval(), [image], work.patch, ours.autocast)
            )
            prediction = as_mask(on_own_grid(predicted, store.original_shape(index))) == number
        reference = np.array(store.reference(index)) == number
        size, dice = " x ".join(map(str, reference.shape)), binary.dc(prediction, reference)
        case = prediction, reference, tuple(store.original_spacing(index))
        yield f"{work.dataset}, {size}, predicted, Dice {dice:.2f}", case


SYNTHETIC: dict[str, Callable[[], Case]] = {
    "2-D lesion, 512 x 512": lambda: moved_ball((512, 512), 20, (1.0, 1.0)),
    "2-D vessels that fill 584 x 565": lambda: vessels((584, 565)),
    "3-D hippocampus, 35 x 50 x 36": lambda: moved_ball((35, 50, 36), 8, (1.0, 1.0, 1.0)),
    "3-D prostate, 256 x 256 x 40, 0.6 x 0.6 x 3 mm": lambda: moved_ball(
        (256, 256, 40), 22, (0.6, 0.6, 3.0)
    ),
    "3-D lesion, 160 x 160 x 160": lambda: moved_ball((160, 160, 160), 6, (1.0, 1.0, 1.0)),
    "3-D organ, 160 x 160 x 160": lambda: moved_ball((160, 160, 160), 40, (1.0, 1.0, 1.0)),
}


def ours(prediction, reference, spacing):
    return [
        row["value"] for row in score_masks(prediction, reference, spacing, "mm", (1,), METRICS)
    ]


def medpy_whole(prediction, reference, spacing):
    distances = [
        compute(prediction, reference, spacing) for compute in (binary.hd, binary.hd95, binary.assd)
    ]
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


def skimage(prediction, reference, _spacing):
    return [hausdorff_distance(reference.astype(bool), prediction.astype(bool))]


# Name, function, goal: what must be ten times faster, and what no slower.
PEERS = (
    ("medpy, whole array", medpy_whole, ">= 10"),
    ("MONAI", monai, ">= 1"),
    ("surface-distance", deepmind, ">= 1"),
    ("scikit-image, HD alone, in pixels", skimage, ""),
)


def repeat_call(work: Callable[[], object], count: int) -> None:
    for _ in range(count):
        work()


def row_6(device: str) -> Iterator[Record]:
    warnings.filterwarnings("ignore", message=".*always_return_as_numpy.*", category=FutureWarning)
    synthetic = ((name, make()) for name, make in SYNTHETIC.items())
    for case, (prediction, reference, spacing) in (*predictions(device), *synthetic):
        masks = prediction.astype(np.uint8), reference.astype(np.uint8), spacing
        if ours(*masks) != medpy_whole(*masks):
            raise AssertionError(f"{case}: {ours(*masks)}, medpy {medpy_whole(*masks)}")
        count = max(
            1, round(SECONDS / min(timeit.repeat(partial(ours, *masks), number=1, repeat=3)))
        )
        works = {"ours": partial(ours, *masks)} | {
            name: partial(score, *masks) for name, score, _ in PEERS
        }
        turns = {name: partial(repeat_call, work, count) for name, work in works.items()}
        seconds = {
            name: [t / count for t in times]
            for name, times in interleave(turns, REPEATS, warm=0).items()
        }
        for name, _, goal in PEERS:
            yield compare(6, case, name, seconds["ours"], seconds[name], goal)
