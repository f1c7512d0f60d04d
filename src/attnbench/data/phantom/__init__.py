"""Embedded phantoms: organ, lesions and vessels of known difficulty, generated from a seed.

Classes: 1 organ (large, smooth), 2 lesion (small, in the organ, sometimes none), 3 vessel (a
branching tree 2 to 3 pixels wide that enters the organ). Cysts, glands and strands outside the
organ look like them and are not annotated. One code makes 2-D and 3-D phantoms.
"""

from __future__ import annotations

from collections.abc import Iterator

from attnbench.catalog.entry import Entry
from attnbench.data.case import RawCase
from attnbench.data.phantom.anatomy import draw_body, draw_decoys, draw_mask
from attnbench.data.phantom.render import Appearance, render, tissue
from attnbench.data.phantom.settings import Difficulty, Settings

__all__ = ["Difficulty", "Settings", "generate", "phantom_case"]

_ANATOMY, _DIFFICULTY, _DECOYS, _NOISE = range(4)


def generate(entry: Entry) -> Iterator[RawCase]:
    """Yield the cases of the phantom dataset `entry`, group by group."""
    settings = Settings.of(entry)
    for group in range(settings.groups):
        for case in range(settings.cases_per_group):
            yield phantom_case(settings, group, case)


def phantom_case(
    settings: Settings, group: int, case: int, difficulty: Difficulty | None = None
) -> RawCase:
    """Generate one case: the same whatever else is generated.

    It has image (1, *size) float32, mask (*size) uint8, spacing 1 pixel, and as facts blur,
    contrast and clutter.

    Args:
        settings: of the dataset.
        group: number of the group.
        case: number of the case in its group.
        difficulty: instead of the case's own; anatomy and noise stay the same.
    """
    # A generator per purpose: another difficulty or one more decoy changes no other draw.
    body = draw_body(settings.rng(group, 0), settings)
    look = Appearance.draw(settings.rng(group, 1), settings.size)
    rngs = [settings.rng(group, 2, case, purpose) for purpose in range(4)]
    difficulty = difficulty or Difficulty.draw(rngs[_DIFFICULTY], settings)
    mask = draw_mask(rngs[_ANATOMY], body, settings.lesion_absent)
    levels = tissue(mask, draw_decoys(rngs[_DECOYS], body, mask), difficulty)
    noise = rngs[_NOISE]
    image = render(noise, levels, difficulty.contrast, look.varied(noise))
    name = f"group{group:02d}"
    return RawCase(
        f"{name}-case{case}",
        name,
        image,
        mask,
        (1.0,) * len(settings.size),
        facts=difficulty.facts(),
    )
