"""Pixels of a dataset and parameters of a model, as far as they can be told before either is there.

Nothing is read but the catalog; once a dataset is prepared and a model described, their files
say it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from attnbench.catalog import ArchiveOrigin, EmbeddedOrigin, Entry
from attnbench.study.groups import DatasetSettings
from attnbench.study.models import BackboneSettings, ModelSettings

_MB = 10**6
# Pixels per byte of a file, and bytes per pixel and channel in the case store. Of 740 images of
# six sets (docs/reliability.md); uncompressed formats by what they are.
_PIXELS: dict[str, tuple[float, int]] = {
    ".png": (1.7, 1), ".jpg": (8, 1), ".jpeg": (8, 1), ".tif": (0.45, 1), ".tiff": (0.45, 1),
    ".gif": (1.3, 1), ".bmp": (0.4, 1), ".gz": (0.87, 2), ".nii": (0.5, 2), ".mha": (0.5, 2),
    ".mhd": (0.5, 2), ".nrrd": (0.8, 2), ".dcm": (0.5, 2), ".npz": (1, 1), ".tar": (0.87, 2),
}  # fmt: skip
_OTHER = (0.5, 2)
# Of an archive of the Decathlon: the rest are test images without references.
_OF_ARCHIVE = 0.65
# Of mechanisms and external networks nothing is known before they are built: the mean of the
# catalog of mechanisms over the plain U-Net, and a large network of the literature.
_VARIANT = 1.25
_EXTERNAL = 30_000_000


@dataclass(frozen=True)
class Voxels:
    """Voxels of all cases of a dataset: on their own grids, and on the study's working grid.

    `bytes` of a stored voxel per channel. `known`: they follow from the catalog's and the study's
    numbers; else they were inferred from the sizes of files.
    """

    own: float
    working: float
    bytes: int
    known: bool


def voxels_of(entry: Entry, settings: DatasetSettings) -> Voxels:
    """Return the voxels of a dataset from what the catalog says of its files."""
    own, stored, known = _own_grid(entry)
    working = own
    if settings.size:
        working = float(math.prod(settings.size) * entry.cases)
    elif settings.spacing and entry.spacing:
        sides = zip(entry.spacing, settings.spacing, strict=True)
        working = own * math.prod(is_ / wanted for is_, wanted in sides)
    resampled = bool(settings.size or settings.spacing)
    return Voxels(own, working, 4 if resampled else stored, known)


def _own_grid(entry: Entry) -> tuple[float, int, bool]:
    """Voxels of all cases, bytes of a stored one, and whether they are known."""
    if isinstance(entry.origin, EmbeddedOrigin):
        return float(math.prod(entry.reader.settings.get("size", ())) * entry.cases), 4, True
    if isinstance(entry.origin, ArchiveOrigin):
        side = entry.name.rpartition("_")[2]
        # Squares of the size that the name says.
        if entry.family and side.isdigit():
            return float(int(side) ** entry.ndim * entry.cases), 1, True
        pixels, stored = _PIXELS[".tar"]
        return download_bytes(entry) * _OF_ARCHIVE * pixels, stored, False
    images = [row for row in entry.files() if row.role == "image"]
    of_images = [(row.bytes, *_PIXELS.get(_suffix(row.path), _OTHER)) for row in images]
    own = sum(size * pixels for size, pixels, _ in of_images)
    return own, max((stored for _, _, stored in of_images), default=1), False


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def download_bytes(entry: Entry, there: Callable[[str], bool] = lambda _: False) -> float:
    """Return the bytes of the originals that a download brings: listed, stated, or at most.

    `there` says of a file, by its path below the dataset's folder, that it has come already.
    """
    if isinstance(entry.origin, ArchiveOrigin):
        stated = (entry.download_mb or entry.at_most_mb or 0) * _MB
        return 0.0 if there(entry.origin.filename) else stated
    rows = {row.path: row.bytes for row in entry.files()}
    return float(sum(size for path, size in rows.items() if not there(path)))


def parameters_of(
    model: ModelSettings, backbone: BackboneSettings, ndim: int, channels: int, classes: int
) -> tuple[int, bool]:
    """Return the parameters of a model that is not built, and whether that is their very number.

    Args:
        model: of the study; its backbone is given as `backbone`.
        backbone: the U-Net around its mechanisms.
        ndim: spatial axes.
        channels: of an image.
        classes: of a mask, background included.
    """
    if model.is_external:
        return _EXTERNAL, False
    plain = _unet(backbone, ndim, channels, classes)
    exact = not model.slots and model.control is None and backbone.block == "plain"
    return (plain, True) if exact else (round(plain * _VARIANT), False)


def _unet(backbone: BackboneSettings, ndim: int, channels: int, classes: int) -> int:
    """Parameters of the plain U-Net of `models/unet.py`, in closed form."""
    widths, count = backbone.widths, backbone.blocks_per_level
    kernel = 3**ndim

    def block(inputs: int, outputs: int) -> int:
        convolutions = inputs * outputs + (count - 1) * outputs**2
        return kernel * convolutions + 2 * outputs * count

    total = sum(block(*pair) for pair in pairwise((channels, *widths)))
    for fine, coarse in pairwise(widths):
        total += 2**ndim * coarse * fine + fine + block(2 * fine, fine)
    heads = [widths[0]]
    heads += widths[1 : len(widths) - 2] if backbone.deep_supervision else ()
    total += sum(width * classes + classes for width in heads)
    # A residual block has two convolutions, and a shortcut where the width changes.
    return total if backbone.block == "plain" else 2 * total
