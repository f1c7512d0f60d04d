"""Names of mechanisms, all of them and a model's: no mechanism, and no torch, is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.study import ModelPart


def mechanism_names() -> tuple[str, ...]:
    """Every mechanism's name, sorted; `attention/<name>.py` registers the mechanism of that name."""
    files = (Path(__file__).parent / "attention").glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))


def mechanisms_of(model: ModelPart) -> tuple[str, ...]:
    """Names of the mechanisms that a model of a study uses, sorted; the plain U-Net uses none."""
    placed = {placement.name for placements in model.slots.values() for placement in placements}
    if not model.slots and model.name != "unet":
        placed.add(model.name)
    return tuple(sorted(placed))
