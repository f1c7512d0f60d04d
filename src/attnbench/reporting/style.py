"""One look for every figure: journal widths, and one colour, marker and dash per model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

STYLE_FILE = Path(__file__).parent / "attnbench.mplstyle"

NEUTRAL = "#4d4d4d"
QUIET = "#767676"
OTHERS = "#c4c4c4"
# Okabe and Ito (2008) without black and yellow, then Tol's muted set: distinguishable with every
# common colour blindness
_MODEL_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255",
    "#332288", "#999933", "#44AA99",
)  # fmt: skip
_MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p")
_DASHES: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0, (4, 1.2)),
    (0, (1.2, 1)),
    (0, (5, 1, 1.2, 1)),
    (0, ()),
)
_CLASS_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#F0E442", "#D55E00", "#0072B2")


@dataclass(frozen=True)
class Page:
    """Room of a figure in a journal, in mm: one column, the whole width, height above a caption."""

    single: float
    double: float
    tallest: float

    def columns(self, least_mm: float = 55.0) -> int:
        """Number of panels of at least this width that stand beside each other."""
        return max(1, int(self.double // least_mm))


@dataclass(frozen=True)
class ModelStyle:
    """Look of one model in every figure."""

    label: str
    colour: str
    marker: str
    dashes: tuple[float, tuple[float, ...]]


def model_styles(
    models: Sequence[str], baseline: str, label: Callable[[str], str]
) -> dict[str, ModelStyle]:
    """Look of every model by its position in the study's list; the baseline is grey with circles.

    Ten colours and nine markers give ninety models a pair of their own.
    """
    styles = {baseline: ModelStyle(label(baseline), NEUTRAL, "o", (0, ()))}
    for position, name in enumerate(name for name in models if name != baseline):
        styles[name] = ModelStyle(
            label(name),
            _MODEL_COLOURS[position % len(_MODEL_COLOURS)],
            _MARKERS[position % len(_MARKERS)],
            _DASHES[position % len(_DASHES)],
        )
    return {name: styles[name] for name in models}


def class_colour(number: int) -> str:
    """Colour of class `number` (1 is the first foreground class) over an image."""
    return _CLASS_COLOURS[(number - 1) % len(_CLASS_COLOURS)]


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside this by the project's style, untouched by the user's own settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc_file(STYLE_FILE, use_default_template=False)
        yield


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """Make an empty figure of exactly this printed size, in which labels do not overlap."""
    return Figure(figsize=(width_mm / 25.4, height_mm / 25.4), layout="constrained")
