"""Names of mechanisms and models, all of them and a model's: no mechanism, and no torch, is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.models.presets import PRESETS

if TYPE_CHECKING:
    from attnbench.study import ModelPart


def mechanism_names() -> tuple[str, ...]:
    """Every mechanism's name, sorted; `attention/<name>.py` registers the mechanism of that name."""
    files = (Path(__file__).parent / "attention").glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))


def model_words() -> tuple[str, ...]:
    """Every word that is a model by itself: `unet`, the mechanisms in the slots of their papers, and the presets."""
    return ("unet", *sorted((*mechanism_names(), *PRESETS)))


def mechanisms_of(model: ModelPart) -> tuple[str, ...]:
    """Names of the mechanisms that a model of a study uses, sorted; the plain U-Net uses none."""
    slots = model.slots or PRESETS.get(model.name, {})
    if slots or model.name == "unet":
        return tuple(sorted({placement.name for placements in slots.values() for placement in placements}))
    return (model.name,)
