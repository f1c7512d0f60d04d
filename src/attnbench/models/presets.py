"""Models that are several mechanisms at once, by name: a word of a study like a mechanism's.
Does not import torch.
"""

from __future__ import annotations

from attnbench.study.models import Placement, Slot

PRESETS: dict[str, dict[Slot, tuple[Placement, ...]]] = {
    # Petit et al. 2021, arXiv:2103.06104
    "u_transformer": {
        "bottleneck": (Placement(name="multi_head_self_attention"),),
        "skip": (Placement(name="cross_attention"),),
    },
}
