"""Copies planted among real images, and how many of them the scan finds.

    python benchmarks/duplicates.py FOLDER OUT.csv [--every OTHER.csv] [--datasets NAME ...]

FOLDER holds the originals, a folder per dataset as `attnbench fetch` leaves them. A row per
dataset and kind of copy: planted, found, and the lowest correlation of those found; then pairs
across groups that are found among the dataset's own cases. `--every` writes every pair of the
planted scan with its correlation, whatever the threshold, for docs/decisions/duplicates.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from attnbench.catalog import load_entry
from attnbench.data.read import read_cases
from attnbench.data.scan.hashes import hash_views
from attnbench.data.scan.pairs import LEAST, near_copies
from attnbench.data.scan.thumbnail import thumbnail

DATASETS = ("nuclei_dsb2018", "us_usgra", "retina_drive", "retina_chase", "hippocampus")
PER_KIND = {"retina_drive": 15, "retina_chase": 10}
Floats = NDArray[np.float32]
Change = Callable[[Floats, np.random.Generator], Floats]


def exact(channel: Floats, _: np.random.Generator) -> Floats:
    return channel


def encoded(channel: Floats, rng: np.random.Generator) -> Floats:
    """JPEG of quality 50 to 95, of the image in 8 bits; of a volume, slice by slice."""
    quality, (low, high) = int(rng.integers(50, 96)), (channel.min(), channel.max())
    if channel.ndim == 3:
        # Bright specks of a volume, a million times the rest, would leave 8 bits none of it.
        low, high = np.percentile(channel, (0.1, 99.9))
    values = np.clip((channel - low) / max(high - low, 1e-6), 0, 1) * 255
    planes = values.astype(np.uint8) if channel.ndim == 3 else values.astype(np.uint8)[None]
    decoded = []
    for plane in planes:
        stream = io.BytesIO()
        Image.fromarray(plane).save(stream, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(stream), np.float32))
    return np.stack(decoded) if channel.ndim == 3 else decoded[0]


def shifted(channel: Floats, rng: np.random.Generator) -> Floats:
    """Moved by up to 8 pixels along each axis, 2 of a volume; the edge is repeated."""
    most = 8 if channel.ndim == 2 else 2
    moves = rng.integers(-most, most + 1, channel.ndim)
    moves[0] = moves[0] or most
    return ndimage.shift(channel, moves, order=0, mode="nearest")


def resized(channel: Floats, rng: np.random.Generator) -> Floats:
    """All of it on a grid of 0.8 to 1.25 times the pixels along each axis."""
    return ndimage.zoom(channel, np.exp(rng.uniform(np.log(0.8), np.log(1.25))), order=1)


def cropped(channel: Floats, rng: np.random.Generator) -> Floats:
    """The middle 0.8 to 1 of every side, as from a narrower field of view."""
    cut = [round(side * (1 - rng.uniform(0.8, 1)) / 2) for side in channel.shape]
    return channel[tuple(slice(c, side - c) for c, side in zip(cut, channel.shape, strict=True))]


def framed(channel: Floats, rng: np.random.Generator) -> Floats:
    """Within a frame of its lowest value, that makes every side 1 to 1.25 times as long."""
    share = rng.uniform(0, 0.125)
    return np.pad(channel, [(round(side * share),) * 2 for side in channel.shape], mode="minimum")


def mirrored(channel: Floats, rng: np.random.Generator) -> Floats:
    return np.flip(channel, int(rng.integers(channel.ndim)))


def rotated(channel: Floats, rng: np.random.Generator) -> Floats:
    """By 90, 180 or 270 degrees; of a volume, about its shortest axis."""
    shortest = int(np.argmin(channel.shape)) if channel.ndim == 3 else -1
    plane = [axis for axis in range(channel.ndim) if axis != shortest]
    return np.rot90(channel, int(rng.integers(1, 4)), (plane[0], plane[1]))


def mirrored_encoded_shifted(channel: Floats, rng: np.random.Generator) -> Floats:
    return shifted(encoded(mirrored(channel, rng), rng), rng)


KINDS: dict[str, Change] = {
    "exact": exact,
    "encoded": encoded,
    "shifted": shifted,
    "resized": resized,
    "cropped": cropped,
    "framed": framed,
    "mirrored": mirrored,
    "rotated": rotated,
    "mirrored, encoded and shifted": mirrored_encoded_shifted,
}


def plant(images: list[NDArray[np.generic]], count: int) -> Iterator[tuple[str, int, Floats]]:
    """Yield kind, original and copy of `count` images drawn for every kind."""
    for number, (kind, change) in enumerate(KINDS.items()):
        rng = np.random.default_rng(number)
        for original in rng.choice(len(images), count, replace=False).tolist():
            seed = int(rng.integers(2**31))
            # All channels of an image are changed alike.
            yield (
                kind,
                original,
                np.stack(
                    [
                        change(channel.astype(np.float32), np.random.default_rng(seed))
                        for channel in images[original]
                    ]
                ),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=Path)
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    every: list[dict[str, object]] = []
    for dataset in given.datasets:
        cases = list(read_cases(load_entry(dataset), given.folder / dataset))
        groups = [case.group for case in cases]
        images = [case.image for case in cases]
        planted = list(plant(images, PER_KIND.get(dataset, 25)))
        everything = [*images, *(copy for _, _, copy in planted)]
        start = time.perf_counter()
        thumbnails = np.array([thumbnail(image) for image in everything])
        hashes = np.array([hash_views(small) for small in thumbnails])
        found, candidates = near_copies(thumbnails, hashes, min(LEAST, 0.3))
        seconds = time.perf_counter() - start
        values = {(near.first, near.second): near.overlay.correlation for near in found}
        mine = {(original, len(images) + k): kind for k, (kind, original, _) in enumerate(planted)}
        source = [*range(len(images)), *(original for _, original, _ in planted)]
        for kind in KINDS:
            of_kind = [values.get(pair, 0.0) for pair, name in mine.items() if name == kind]
            hits = [value for value in of_kind if value >= LEAST]
            rows.append(
                {
                    "dataset": dataset,
                    "kind": kind,
                    "planted": len(of_kind),
                    "found": len(hits),
                    "lowest_correlation": f"{min(of_kind):.3f}",
                }
            )
        for (first, second), value in values.items():
            across = groups[source[first]] != groups[source[second]]
            own = max(first, second) < len(images)
            another = "another case" if own else "a copy of another case"
            kind = mine.get((first, second)) or (
                another if across else "within a group or of one original"
            )
            every.append({"dataset": dataset, "kind": kind, "correlation": f"{value:.4f}"})
        false = sum(
            value >= LEAST
            for (first, second), value in values.items()
            if groups[source[first]] != groups[source[second]]
        )
        rows.append(
            {
                "dataset": dataset,
                "kind": "pairs of different cases, across groups",
                "planted": 0,
                "found": false,
                "lowest_correlation": "",
            }
        )
        print(
            f"{dataset}: {len(everything)} images, {len(candidates)} views to distance "
            f"{candidates.reach:g} in {seconds:.1f} s",
            flush=True,
        )
        for row in rows[-len(KINDS) - 1 :]:
            print("  ", *row.values(), flush=True)
    for path, table in ((given.out, rows), (given.every, every)):
        if path and table:
            with path.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, table[0], lineterminator="\n")
                writer.writeheader()
                writer.writerows(table)


if __name__ == "__main__":
    main()
