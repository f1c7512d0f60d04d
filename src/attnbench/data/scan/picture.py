"""Pairs of copies side by side in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attnbench.data.scan.tables import Pair

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 192
_GAP = 8
_LINE = 14
_ACROSS = 3
_LETTERS = 30


def draw_pairs(pairs: Sequence[Pair], thumbnails: Mapping[str, NDArray[np.uint8]]) -> Image:
    """Return a picture of the pairs, three in a row, with cases, groups and correlation below.

    Of a volume the middle slice is shown.

    Args:
        pairs: to show, in their order; without any the picture says so.
        thumbnails: (S, H, W) of every case in `pairs`.
    """
    from PIL import Image, ImageDraw

    columns = max(1, min(_ACROSS, len(pairs)))
    rows = max(1, -(-len(pairs) // columns))
    width, height = 2 * _SIDE + 3 * _GAP, _SIDE + 2 * _GAP + 3 * _LINE
    sheet = Image.new("L", (columns * width, rows * height), 255)
    pen = ImageDraw.Draw(sheet)
    if not pairs:
        pen.text((_GAP, _GAP), "No image is a copy of another.", fill=0)
    for number, pair in enumerate(pairs):
        left, top = (number % columns) * width, (number // columns) * height
        for place, case in enumerate((pair.case_a, pair.case_b)):
            tile = Image.fromarray(thumbnails[case][len(thumbnails[case]) // 2])
            sheet.paste(tile.resize((_SIDE, _SIDE)), (left + _GAP + place * (_SIDE + _GAP), top))
        for line, text in enumerate(_lines(pair)):
            pen.text((left + _GAP, top + _SIDE + 2 + line * _LINE), text, fill=0)
    return sheet


def _lines(pair: Pair) -> tuple[str, str, str]:
    where = "DIFFERENT GROUPS" if pair.across_groups else "one group"
    how = "all pixels equal" if pair.kind == "exact" else f"correlation {pair.correlation:.2f}"
    cases = " | ".join(map(_short, (pair.case_a, pair.case_b)))
    groups = " | ".join(map(_short, (pair.group_a, pair.group_b)))
    return cases, f"groups: {groups}", f"{where}; {how}; {pair.turn}"


def _short(name: str) -> str:
    kept = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 3]}..."
    return kept.encode("ascii", "replace").decode()
