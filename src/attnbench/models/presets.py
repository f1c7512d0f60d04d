"""Models that are several mechanisms at once, named in a study like a mechanism; without torch."""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.study.names import Slot


@dataclass(frozen=True)
class Preset:
    """Names of mechanisms by slot, and the `short` name that tables and figures show."""

    short: str
    slots: dict[Slot, tuple[str, ...]]


PRESETS = {
    # Petit et al. 2021, arXiv:2103.06104
    "u_transformer": Preset(
        "U-Transformer",
        {"bottleneck": ("multi_head_self_attention",), "skip": ("cross_attention",)},
    ),
}
